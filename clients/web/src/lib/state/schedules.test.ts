import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ScheduleService } from "../../gen/headway/v1/schedule_pb";
import { makeApi } from "../api/client";
import { runSchedule } from "./schedules";

const NAME = "partitions/p/schedules/nightly";

/** An API that refuses the first calls with these codes; and the request ids that it saw. */
function refusing(...codes: Code[]) {
  const ids: string[] = [];
  const api = makeApi(
    createRouterTransport(({ service }) => {
      service(ScheduleService, {
        runSchedule: ({ name, requestId }) => {
          expect(name).toBe(NAME);
          ids.push(requestId);
          const code = codes.shift();
          if (code !== undefined) throw new ConnectError("not now", code);
          return { name: "partitions/p/jobs/nightly-now" };
        },
      });
    }),
  );
  return { api, ids };
}

it("has another request id for each click", async () => {
  const { api, ids } = refusing();
  await runSchedule(api, NAME);
  await runSchedule(api, NAME);
  expect(ids).toHaveLength(2);
  expect(ids[0]).not.toBe("");
  expect(ids[0]).not.toBe(ids[1]);
});

it.each([Code.Unavailable, Code.DeadlineExceeded])(
  "repeats with the same id after code %i",
  async (code) => {
    const { api, ids } = refusing(code);
    expect((await runSchedule(api, NAME)).name).toBe("partitions/p/jobs/nightly-now");
    expect(ids).toHaveLength(2);
    expect(ids[0]).toBe(ids[1]);
  },
);

it("repeats only once, and not what was refused", async () => {
  const down = refusing(Code.Unavailable, Code.Unavailable);
  await expect(runSchedule(down.api, NAME)).rejects.toThrow("not now");
  expect(down.ids).toHaveLength(2);
  const gone = refusing(Code.NotFound);
  await expect(runSchedule(gone.api, NAME)).rejects.toThrow("not now");
  expect(gone.ids).toHaveLength(1);
});
