import { describe, expect, it } from "vitest";
import { JobState } from "../../../gen/headway/v1/job_pb";
import { expression } from "./filter";

describe("the expression of what is shown", () => {
  const all = { states: [], labels: {}, filter: "" };

  it("is empty for all jobs", () => {
    expect(expression(all)).toBe("");
    expect(expression({ ...all, filter: "  " })).toBe("");
  });

  it("has what was typed first, and all of the rest", () => {
    const filter = {
      states: [JobState.FAILED, JobState.CANCELLED],
      labels: { "a:b": 'say "*" \\' },
      filter: "id = a OR id = b",
    };
    expect(expression(filter)).toBe(
      String.raw`id = a OR id = b AND state = (FAILED OR CANCELLED) AND labels."a:b" = "say \"\*\" \\"`,
    );
    expect(expression({ ...all, states: [JobState.ACTIVE] })).toBe("state = ACTIVE");
  });
});
