// How fast a job went over its life: samples of its progress, and the rates between them in buckets of one length.
import type { Job } from "../../../gen/headway/v1/job_pb";
import type { JobSample } from "../../../gen/headway/v1/job_history_pb";
import { at } from "../../api/time";

/** How far a job was at a time, in ms since 1970. */
export interface Sample {
  readonly time: number;
  readonly done: number;
  readonly failed: number;
  readonly run: number;
}

/** Samples kept at most; more are thinned out. */
const MOST = 2_000;
/** Samples but the last are about so far apart, in ms. */
const APART = 1_000;
/** Lengths of a bucket, in seconds. */
const LENGTHS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800,
] as const;
/** A chart covers at least so much, in ms. */
const LEAST = 20_000;

export interface Bucket {
  /** Its beginning, in ms since 1970. */
  readonly from: number;
  /** Items per second that ended well, and in failure. */
  readonly done: number;
  readonly failed: number;
}

export interface Series {
  readonly from: number;
  readonly to: number;
  /** Length of a bucket, in ms. */
  readonly length: number;
  readonly buckets: readonly Bucket[];
  /** When runs after the first one began. */
  readonly retries: readonly number[];
}

export function sampleOf(sample: JobSample): Sample {
  return {
    time: at(sample.sampleTime) ?? 0,
    done: Number(sample.itemsDone),
    failed: Number(sample.itemsFailed),
    run: sample.run,
  };
}

/** Adds the state of a job to its samples. */
export function extended(samples: readonly Sample[], job: Job): readonly Sample[] {
  const progress = job.progress;
  const time = at(job.updateTime);
  const last = samples.at(-1);
  if (!progress || time === undefined || (last && time < last.time)) return samples;
  const next: Sample = {
    time,
    done: Number(progress.itemsDone),
    failed: Number(progress.itemsFailed),
    run: job.run,
  };
  const before = samples.at(-2);
  const replaces =
    last !== undefined &&
    before !== undefined &&
    time - before.time < APART &&
    last.run === next.run;
  const all = [...(replaces ? samples.slice(0, -1) : samples), next];
  if (all.length <= MOST) return all;
  // Every second one of the older half goes.
  return all.filter((_, index) => index % 2 === 0 || index > MOST / 2);
}

/** Rates from the beginning to `to`, in at most `most` buckets. What happened between two samples is spread evenly. */
export function series(samples: readonly Sample[], from: number, to: number, most: number): Series {
  const span = Math.max(to - from, LEAST);
  const seconds = LENGTHS.find((length) => span / (length * 1_000) <= most) ?? span / 1_000 / most;
  const length = seconds * 1_000;
  const number = Math.max(1, Math.ceil(span / length));
  const done = new Float64Array(number);
  const failed = new Float64Array(number);
  const retries: number[] = [];
  let last: Sample = { time: from, done: 0, failed: 0, run: 0 };
  for (const sample of samples) {
    if (sample.time < last.time) continue;
    // A retry forgets the failures of the run before.
    const base = sample.run === last.run ? last.failed : 0;
    if (sample.run > last.run) retries.push(last.time);
    spread(done, from, length, last.time, sample.time, sample.done - last.done);
    spread(failed, from, length, last.time, sample.time, sample.failed - base);
    last = sample;
  }
  const buckets = Array.from(done, (items, index) => {
    const begin = from + index * length;
    // The bucket that is not over yet is judged by the part that is.
    const over = Math.max(Math.min(length, to - begin), Math.min(APART, length)) / 1_000;
    return { from: begin, done: items / over, failed: (failed[index] ?? 0) / over };
  });
  return { from, to: from + number * length, length, buckets, retries };
}

function spread(
  into: Float64Array,
  from: number,
  length: number,
  begin: number,
  end: number,
  items: number,
): void {
  if (items <= 0) return;
  const first = clamp(Math.floor((begin - from) / length), into.length);
  const last = clamp(Math.ceil((end - from) / length) - 1, into.length);
  if (last <= first || end <= begin) {
    into[last] = (into[last] ?? 0) + items;
    return;
  }
  for (let index = first; index <= last; index++) {
    const overlap =
      Math.min(end, from + (index + 1) * length) - Math.max(begin, from + index * length);
    into[index] = (into[index] ?? 0) + (items * overlap) / (end - begin);
  }
}

function clamp(index: number, length: number): number {
  return Math.max(0, Math.min(length - 1, index));
}

/** Round numbers from 0 to at least `top`: about `number` steps of 1, 2 or 5 times a power of ten. */
export function ticks(top: number, number: number): readonly number[] {
  if (top <= 0) return [0, 1];
  const rough = top / number;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)),
  );
}

/** Round times within a span of this many ms, from 0 on. */
export function timeTicks(span: number, number: number): readonly number[] {
  const seconds =
    LENGTHS.find((length) => span / (length * 1_000) <= number) ?? span / 1_000 / number;
  return Array.from(
    { length: Math.floor(span / (seconds * 1_000)) + 1 },
    (_, index) => index * seconds * 1_000,
  );
}
