// The jobs that tests make.

import { fromJson, type JsonObject } from "@bufbuild/protobuf";

import { type Api, type Job, type JobSpec, JobSpecSchema } from "./api.ts";
import type { Gate } from "./server.ts";

/** The partition of all tests' jobs. */
export const PARTITION = "default";
export const PARENT = `partitions/${PARTITION}`;

/** The pipe of the steered worker. */
export const WORK = "work";
/** A pipe that nobody works on. */
export const IDLE = "nobody";

/** A pipe whose messages the broker gives up. */
export const DOOMED = "doomed";

/** Calls at once, where many are made. */
const AT_ONCE = 64;

/** Numbers, and lists of them, which become sub-batches. */
export type Tree = (number | Tree)[];

/** What the items of a job do; see tests/src/bin/headway-test-steered.rs. */
export interface Items {
  /** Numbers up to this one, or these, or the files of a folder. */
  count: number | Tree | { folder: string };
  gate?: Gate;
  broken?: Gate;
  /** Items fail whose number is a multiple of it. */
  each?: number;
  /** While it is there, item 1 fails in another way. */
  missing?: Gate;
  /** How long each takes, in milliseconds. */
  takes?: number;
  pipe?: string;
}

/** A job of numbers; `more` is any other part of its spec, as JSON. */
export function numbers(
  { count, gate, broken, each, missing, takes, pipe = WORK }: Items,
  more: JsonObject = {},
): JobSpec {
  const isFolder = typeof count === "object" && "folder" in count;
  const payload: JsonObject = isFolder ? {} : { number: "{{item}}" };
  if (gate !== undefined) payload.gate = gate.path;
  if (broken !== undefined) payload.broken = broken.path;
  if (each !== undefined) payload.each = each;
  if (missing !== undefined) payload.missing = missing.path;
  if (takes !== undefined) payload.takes = takes;
  const item = { pipe, type: "number", payload };
  const what: JsonObject = isFolder
    ? { splitter: "files", json: { root: count.folder } }
    : typeof count === "number"
      ? { splitter: "range", json: { from: 0, to: count } }
      : { splitter: "json", json: count };
  return fromJson(JobSpecSchema, { ...more, batch: { ...what, item } });
}

/** A job of one task that waits forever. */
export function waiting(more: JsonObject = {}): JobSpec {
  return fromJson(JobSpecSchema, { ...more, task: { pipe: IDLE, type: "number" } });
}

/** Creates a job. */
export async function create(api: Api, jobId: string, spec: JobSpec): Promise<Job> {
  return await api.createJob({ parent: PARENT, jobId, spec });
}

/** Creates many jobs, with many calls at once. */
export async function createMany(
  api: Api,
  count: number,
  spec: (number: number) => JobSpec,
  prefix: string,
): Promise<void> {
  let next = 0;
  const caller = async () => {
    for (let number = next++; number < count; number = next++) {
      await create(api, `${prefix}-${String(number).padStart(5, "0")}`, spec(number));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
}
