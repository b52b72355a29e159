import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
} from "../../gen/google/rpc/error_details_pb";
import { StatusSchema } from "../../gen/google/rpc/status_pb";
import { inWords, isPassing, problemOf, reasonOf } from "./errors";

describe("an error in words", () => {
  it("names each wrong field", () => {
    const problem = problemOf(
      new ConnectError("two fields are wrong", Code.InvalidArgument, undefined, [
        { desc: ErrorInfoSchema, value: { reason: "INVALID", domain: "headway.dev" } },
        {
          desc: BadRequestSchema,
          value: {
            fieldViolations: [
              { field: "spec.task.pipe", description: "must be set" },
              { field: "job_id", description: "is too long" },
            ],
          },
        },
      ]),
    );
    expect(problem).toMatchObject({
      reason: "INVALID",
      fields: [{ field: "spec.task.pipe", description: "must be set" }, { field: "job_id" }],
    });
    expect(inWords(problem)).toBe(
      "Two fields are wrong. spec.task.pipe: must be set job_id: is too long",
    );
    expect(isPassing(problem)).toBe(false);
  });

  it("says what the state does not allow, once", () => {
    const error = (message: string) =>
      new ConnectError(message, Code.FailedPrecondition, undefined, [
        {
          desc: PreconditionFailureSchema,
          value: {
            violations: [{ type: "STATE", subject: "j", description: "the job has ended" }],
          },
        },
      ]);
    expect(inWords(problemOf(error("it cannot be paused")))).toBe(
      "It cannot be paused. The job has ended.",
    );
    expect(inWords(problemOf(error("it cannot be paused: the job has ended")))).toBe(
      "It cannot be paused: the job has ended.",
    );
  });

  it("leaves the path of a field as it is", () => {
    expect(
      problemOf(new ConnectError("spec.task.pipe must be set", Code.InvalidArgument)).message,
    ).toBe("spec.task.pipe must be set.");
    expect(
      problemOf(new ConnectError("max_in_flight must be more", Code.InvalidArgument)).message,
    ).toBe("max_in_flight must be more.");
  });

  it("takes a broken connection for a server that cannot be reached", () => {
    for (const thrown of [
      new TypeError("Failed to fetch"),
      new TypeError("NetworkError when attempting to fetch resource."),
      new ConnectError("network error"),
    ]) {
      expect(problemOf(thrown)).toMatchObject({
        code: Code.Unavailable,
        message: "The server cannot be reached.",
      });
    }
    expect(isPassing(problemOf(new TypeError("Load failed")))).toBe(true);
  });

  it("finds the reason in the status of one part of a call", () => {
    const details = [
      anyPack(BadRequestSchema, create(BadRequestSchema)),
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "JOB_EXISTS" })),
    ];
    expect(reasonOf(create(StatusSchema, { code: 6, message: "it exists", details }))).toBe(
      "JOB_EXISTS",
    );
    expect(reasonOf(create(StatusSchema, { code: 13, message: "it broke" }))).toBe("");
  });
});
