// A job's spec as people read and write it: JSON values are part of it, which responses have as text.
import { toJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { JobSpecSchema, type JobSpec } from "../gen/headway/v1/job_spec_pb";
import { isObject } from "./draft";

/** The spec as JSON. A text stays where numbers would lose their values. */
export function specJson(spec: JobSpec): JsonObject {
  const json = toJson(JobSpecSchema, spec);
  if (!isObject(json)) return {};
  const { batch, jobType } = json;
  const copy = { ...json };
  if (isObject(batch)) {
    const nested = nest(nest(batch, "jsonText", "json"), "parametersJsonText", "parameters");
    copy["batch"] = isObject(nested["item"])
      ? { ...nested, item: nest(nested["item"], "payloadJsonText", "payload") }
      : nested;
  }
  if (isObject(jobType)) copy["jobType"] = nest(jobType, "parametersJsonText", "parameters");
  return copy;
}

function nest(object: JsonObject, text: string, nested: string): JsonObject {
  const said = object[text];
  const value = typeof said === "string" ? exactly(said) : undefined;
  if (value === undefined) return object;
  // In the place of the text.
  return Object.fromEntries(
    Object.entries(object).map(([key, each]) => (key === text ? [nested, value] : [key, each])),
  );
}

/** The value of a JSON text; nothing where it is none, or has whole numbers that are not kept. */
function exactly(text: string): JsonValue | undefined {
  const outside = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const numbers = outside.match(/-?\d[\d.eE+-]*/g) ?? [];
  if (numbers.some((number) => /^-?\d+$/.test(number) && !Number.isSafeInteger(Number(number))))
    return undefined;
  try {
    const value: JsonValue = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}
