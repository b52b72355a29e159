// Many jobs in one text: a list in JSON or YAML, or JSON one job a line.
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { randomId } from "./api/client";
import { isObject, normalised } from "./draft";
import { parse } from "./source";
import {
  BatchCreateJobsRequestSchema,
  type BatchCreateJobsRequest,
} from "../gen/headway/v1/job_service_pb";

/** The most jobs that one call takes. */
export const MOST_AT_ONCE = 1_000;

/** The largest text that is read, in bytes: what the server takes in one call. */
export const MOST_BYTES = 4 * 1024 * 1024;

/** Jobs as they are written, or what keeps them from being read. */
export type Jobs =
  | { readonly jobs: readonly JsonObject[] }
  | { readonly jobs?: never; readonly problem: string; readonly line: number };

export async function jobsOf(text: string): Promise<Jobs> {
  const values = text.trimStart().startsWith("{") ? await lines(text) : await list(text);
  if (!("values" in values)) return values;
  const jobs = values.values.map(normalised);
  const bad = jobs.findIndex((job) => !isObject(job));
  if (bad >= 0)
    return {
      problem: `Job ${bad + 1} is not an object with fields such as task or batch.`,
      line: 0,
    };
  if (jobs.length > MOST_AT_ONCE)
    return {
      problem: `These are ${jobs.length} jobs. At most ${MOST_AT_ONCE} can be submitted at once; "headway submit-all" takes any number.`,
      line: 0,
    };
  return { jobs: jobs.filter(isObject) };
}

type Values =
  { readonly values: readonly JsonValue[] } | { readonly problem: string; readonly line: number };

/** One job a line, or a single one over several. */
async function lines(text: string): Promise<Values> {
  const values: JsonValue[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    const parsed = await parse(line, "json");
    if ("value" in parsed) {
      values.push(parsed.value);
      continue;
    }
    const whole = await parse(text, "json");
    return "value" in whole
      ? { values: [whole.value] }
      : { problem: parsed.problem, line: index + 1 };
  }
  return { values };
}

async function list(text: string): Promise<Values> {
  const parsed = await parse(text, "yaml");
  if (!("value" in parsed)) return { problem: parsed.problem, line: parsed.line ?? 0 };
  return Array.isArray(parsed.value)
    ? { values: parsed.value }
    : { problem: "This is neither a list of jobs nor JSON with one job per line.", line: 1 };
}

/** Makes jobs without ids the same jobs when they are sent again: an id of its own for each that is written. */
export class RequestIds {
  private readonly known = new Map<string, string>();

  /** The id of a job, by what it says and how often the same was written before. */
  of(job: string, before: number): string {
    const key = `${before} ${job}`;
    const id = this.known.get(key) ?? randomId();
    this.known.set(key, id);
    return id;
  }
}

/** The request. Throws where a field is none of the contract, or of another type; says which job that is. */
export function requestOfMany(
  jobs: readonly JsonObject[],
  parent: string,
  ids: RequestIds,
): BatchCreateJobsRequest {
  const seen = new Map<string, number>();
  const request = fromJson(BatchCreateJobsRequestSchema, { parent });
  for (const [index, job] of jobs.entries()) {
    const text = JSON.stringify(job);
    const before = seen.get(text) ?? 0;
    seen.set(text, before + 1);
    const entry =
      "jobId" in job || "requestId" in job ? job : { ...job, requestId: ids.of(text, before) };
    try {
      request.jobs.push(...fromJson(BatchCreateJobsRequestSchema, { jobs: [entry] }).jobs);
    } catch (thrown) {
      throw new Error(
        `Job ${index + 1}: ${thrown instanceof Error ? thrown.message : "it cannot be read"}`,
        { cause: thrown },
      );
    }
  }
  return request;
}
