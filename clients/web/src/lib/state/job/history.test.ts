import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { JobSchema } from "../../../gen/headway/v1/job_pb";
import { extended, series, ticks, timeTicks, type Sample } from "./history";

const at = (second: number, done: number, failed = 0, run = 0): Sample => ({
  time: second * 1_000,
  done,
  failed,
  run,
});

describe("the rates of a job", () => {
  it("add up to what was done, however the samples lie", () => {
    const samples = [at(1, 3), at(7.5, 60, 2), at(8, 60, 2), at(31, 1_000, 40)];
    const { buckets, length } = series(samples, 0, 31_000, 20);
    // The last bucket is only begun: its rate is of the part that is over.
    const sum = (value: "done" | "failed") =>
      buckets.reduce(
        (total, bucket) => total + (bucket[value] * Math.min(length, 31_000 - bucket.from)) / 1_000,
        0,
      );
    expect(sum("done")).toBeCloseTo(1_000);
    expect(sum("failed")).toBeCloseTo(40);
    expect(buckets.length).toBeLessThanOrEqual(20);
  });

  it("show where it stood still", () => {
    const { buckets } = series([at(10, 100), at(20, 100), at(30, 200)], 0, 30_000, 30);
    expect(buckets.map(({ done }) => Math.round(done))).toEqual([
      ...Array(10).fill(10),
      ...Array(10).fill(0),
      ...Array(10).fill(10),
    ]);
  });

  it("start the failures again with a retry", () => {
    const { buckets, retries } = series([at(10, 0, 50), at(20, 40, 10, 1)], 0, 20_000, 20);
    expect(retries).toEqual([10_000]);
    expect(
      buckets
        .slice(10)
        .every(({ done, failed }) => Math.round(done) === 4 && Math.round(failed) === 1),
    ).toBe(true);
  });
});

it("keeps about a sample a second of what is seen live, and not too many", () => {
  const state = (ms: number) =>
    create(JobSchema, {
      updateTime: { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1e6 },
      progress: { itemsDone: BigInt(ms) },
    });
  let samples: readonly Sample[] = [];
  for (let ms = 0; ms <= 10_000; ms += 250) samples = extended(samples, state(ms));
  expect(samples.length).toBeLessThanOrEqual(16);
  expect(samples.at(-1)).toMatchObject({ time: 10_000, done: 10_000 });
  for (let second = 11; second < 6_000; second++)
    samples = extended(samples, state(second * 1_000));
  expect(samples.length).toBeLessThanOrEqual(2_000);
  expect(samples[0]?.time).toBe(0);
  expect(samples.at(-1)?.time).toBe(5_999_000);
});

it("has round ticks that cover everything", () => {
  expect(ticks(412, 4)).toEqual([0, 200, 400, 600]);
  expect(ticks(0.7, 4)).toEqual([0, 0.2, 0.4, 0.6, 0.8]);
  expect(ticks(4, 4)).toEqual([0, 1, 2, 3, 4]);
  expect(timeTicks(45_000, 5)).toEqual([0, 10_000, 20_000, 30_000, 40_000]);
});
