import { createRouterTransport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { EventService } from "../../gen/headway/v1/event_pb";
import { JobService } from "../../gen/headway/v1/job_service_pb";
import { JobTypeService } from "../../gen/headway/v1/job_type_pb";
import { PartitionService } from "../../gen/headway/v1/partition_pb";
import { PipeService } from "../../gen/headway/v1/pipe_pb";
import { ScheduleService } from "../../gen/headway/v1/schedule_pb";
import { makeApi } from "./client";

it("has the methods of all services, each under a name of its own", () => {
  const services = [
    JobService,
    ScheduleService,
    JobTypeService,
    PartitionService,
    PipeService,
    EventService,
  ];
  const names = services.flatMap(({ method }) => Object.keys(method));
  expect(new Set(names).size).toBe(names.length);
  expect(Object.keys(makeApi(createRouterTransport(() => {}))).toSorted()).toEqual(
    names.toSorted(),
  );
});

it("calls each method at its own service", async () => {
  const api = makeApi(
    createRouterTransport(({ service }) => {
      service(JobService, { getJob: ({ name }) => ({ name }) });
      service(ScheduleService, { getSchedule: ({ name }) => ({ name }) });
      service(JobTypeService, { getJobType: ({ name }) => ({ name }) });
      service(PartitionService, { getPartition: ({ name }) => ({ name }) });
      service(PipeService, { getPipeLimits: ({ name }) => ({ name }) });
      service(EventService, { listEvents: ({ parent }) => ({ nextCursor: parent }) });
    }),
  );
  expect((await api.getJob({ name: "a" })).name).toBe("a");
  expect((await api.getSchedule({ name: "b" })).name).toBe("b");
  expect((await api.getJobType({ name: "c" })).name).toBe("c");
  expect((await api.getPartition({ name: "d" })).name).toBe("d");
  expect((await api.getPipeLimits({ name: "e" })).name).toBe("e");
  expect((await api.listEvents({ parent: "f" })).nextCursor).toBe("f");
});
