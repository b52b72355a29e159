import { describe, expect, it } from "vitest";
import { MOST_AT_ONCE, RequestIds, jobsOf, requestOfMany } from "./many";

const TASK = { task: { pipe: "work" } };

describe("many jobs", () => {
  it("are a list, or JSON one a line", async () => {
    const expected = { jobs: [{ jobId: "a", spec: TASK }, { spec: TASK }] };
    expect(
      await jobsOf(
        '{"job_id": "a", "spec": {"task": {"pipe": "work"}}}\n\n{"task": {"pipe": "work"}}\n',
      ),
    ).toEqual(expected);
    expect(await jobsOf(JSON.stringify([{ jobId: "a", spec: TASK }, TASK], null, 2))).toEqual(
      expected,
    );
    expect(
      await jobsOf("- {job_id: a, spec: {task: {pipe: work}}}\n- task:\n    pipe: work\n"),
    ).toEqual(expected);
    expect(await jobsOf(JSON.stringify(TASK, null, 2))).toEqual({ jobs: [{ spec: TASK }] });
  });

  it("that cannot be read are refused with their place", async () => {
    expect(await jobsOf('{"task": {}}\n{"task": \n{"task": {}}')).toMatchObject({ line: 2 });
    expect(await jobsOf("task: {}")).toMatchObject({
      problem: expect.stringContaining("neither a list"),
      line: 1,
    });
    expect(await jobsOf("- task: [\n")).toHaveProperty("problem");
    expect(await jobsOf("- task: {}\n- 5\n")).toMatchObject({
      problem: expect.stringContaining("Job 2"),
    });
    expect(await jobsOf(JSON.stringify(Array(MOST_AT_ONCE + 1).fill(TASK)))).toMatchObject({
      problem: expect.stringContaining("1001 jobs"),
    });
    expect(() =>
      requestOfMany([{ spec: TASK }, { spec: { tusk: {} } }], "partitions/p", new RequestIds()),
    ).toThrow(/^Job 2: .*tusk/);
  });

  it("are the same jobs when they are sent again, whatever is mended beside them", () => {
    const ids = new RequestIds();
    const of = (...jobs: object[]) =>
      requestOfMany(
        jobs.map((job) => ({ ...job })),
        "partitions/p",
        ids,
      ).jobs.map(({ requestId }) => requestId);
    const first = of(
      { spec: TASK },
      { spec: TASK },
      { jobId: "a", spec: TASK },
      { spec: { task: { pipe: "other" } } },
    );
    expect(first[2]).toBe("");
    expect(new Set(first).size).toBe(4);
    expect(
      of({ spec: TASK }, { spec: TASK }, { spec: { task: { pipe: "mended" } } }).slice(0, 2),
    ).toEqual(first.slice(0, 2));
  });
});
