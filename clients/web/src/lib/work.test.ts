import { toJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { CreateJobRequestSchema } from "../gen/headway/v1/job_service_pb";
import { blank, get, requestOf, set } from "./draft";
import { KINDS, kindOf, withKind } from "./work";

/** What a draft's request says, once the contract has read it. */
function sent(draft: JsonObject): JsonValue {
  return toJson(CreateJobRequestSchema, requestOf(draft, "partitions/p", "r", false));
}

it.each(KINDS.flatMap((from) => KINDS.map((to) => [from, to] as const)))(
  "makes a request after the change from %s to %s",
  (from, to) => {
    const draft = { spec: withKind({ spec: withKind(blank(), from) }, to) };
    expect(kindOf(draft)).toBe(to);
    expect(sent(draft)).toMatchObject({ spec: { [to]: {} } });
  },
);

it("sends the job type that is chosen then", () => {
  const draft = set(
    { spec: withKind(blank(), "jobType") },
    "spec.jobType.jobType",
    "jobTypes/export",
  );
  expect(sent(draft)).toMatchObject({ spec: { jobType: { jobType: "jobTypes/export" } } });
});

it("takes the pipe along, and brings back what was written before", () => {
  const written = new Map();
  const batch = set(blank(), "spec.batch.item.pipe", "documents");
  const task = { spec: withKind(batch, "task", written) };
  expect(get(task, "spec.task.pipe")).toBe("documents");
  const typed = set(task, "spec.task.type", "scan");
  const again = { spec: withKind(typed, "batch", written) };
  expect(again).toEqual(batch);
  expect(get({ spec: withKind(again, "task", written) }, "spec.task.type")).toBe("scan");
});
