import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb";
import { Submission } from "./submission.svelte";

function refusing(error: ConnectError): () => Promise<never> {
  return () => Promise.reject(error);
}

it("knows when somebody else changed the same thing first", async () => {
  const submission = new Submission();
  const mismatch = new ConnectError("it was changed", Code.Aborted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "ETAG_MISMATCH", domain: "headway.dev" } },
  ]);
  expect(await submission.send(refusing(mismatch))).toBe(false);
  expect(submission.overtaken).toBe(true);
  expect(submission.elsewhere([])).toBe(
    "Somebody else changed this in the meantime, so nothing was saved.",
  );

  // Another call that was aborted may simply be repeated.
  const aborted = new ConnectError("try again", Code.Aborted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "CONFLICT", domain: "headway.dev" } },
  ]);
  await submission.send(refusing(aborted));
  expect(submission.overtaken).toBe(false);
  expect(submission.elsewhere([])).toBe("Try again.");

  expect(await submission.send(async () => {})).toBe(true);
  expect(submission.overtaken).toBe(false);
  expect(submission.elsewhere([])).toBe("");
});

it("says beside each field what is wrong with it, and the rest below", async () => {
  const submission = new Submission();
  const wrong = new ConnectError("one field is wrong", Code.InvalidArgument, undefined, [
    {
      desc: BadRequestSchema,
      value: {
        fieldViolations: [
          { field: "pipe_limits.max_in_flight", description: "must be 0 to 10000000, not -1" },
        ],
      },
    },
  ]);
  await submission.send(refusing(wrong));
  expect(submission.problem("pipeLimits.maxInFlight")).toBe("must be 0 to 10000000, not -1");
  expect(submission.elsewhere(["pipeLimits.maxInFlight"])).toBe("Check the marked fields.");
  expect(submission.elsewhere([])).toContain("One field is wrong.");
});
