// The job that is being written, as JSON of the contract's CreateJobRequest: the form and the editor are two views of it.
import { fromJson, type DescMessage, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { CreateJobRequestSchema, type CreateJobRequest } from "../gen/headway/v1/job_service_pb";

export const SPLITTERS = ["files", "lines", "json", "range", "list"] as const;
export type Splitter = (typeof SPLITTERS)[number];

/** An example of each splitter's definition, and what an item of it is. */
export const EXAMPLES: Readonly<
  Record<Splitter, { readonly definition: JsonValue; readonly item: string }>
> = {
  files: {
    definition: { root: "/srv/manuals", glob: "**/*.pdf", group: 20 },
    item: "up to group files of one folder, at a path that the batch workers see.",
  },
  lines: {
    definition: { path: "/srv/people.csv", format: "csv", header: true, group: 100 },
    item: "lines, rows of CSV or values of NDJSON, up to group at once.",
  },
  json: {
    definition: ["a", { id: 7 }, ["b", ["c"]]],
    item: "each element that is not an array; an inner array is a sub-batch.",
  },
  range: {
    definition: { from: 0, to: 1_000_000, step: 1 },
    item: "the integers from, from + step, and so on below to.",
  },
  list: { definition: { items: ["a", "b", "c"] }, item: "the strings." },
};

export function isSplitter(name: string): name is Splitter {
  return SPLITTERS.some((known) => known === name);
}

export function blank(): JsonObject {
  return {
    spec: {
      batch: { splitter: "range", json: { from: 0, to: 1000 }, item: { pipe: "", type: "" } },
    },
  };
}

/** A job whose work a type makes. */
export function ofType(id: string): JsonObject {
  return { spec: { jobType: { jobType: `jobTypes/${id}`, parameters: {} } } };
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path such as `spec.batch.item.pipe`. */
export function get(draft: JsonObject, path: string): JsonValue | undefined {
  let value: JsonValue | undefined = draft;
  for (const key of path.split(".")) value = isObject(value) ? value[key] : undefined;
  return value;
}

export function text(draft: JsonObject, path: string): string {
  const value = get(draft, path);
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** A copy with another value at a path. No value, and no text, takes the field away, and what is empty then. */
export function set(draft: JsonObject, path: string, value: JsonValue | undefined): JsonObject {
  const [key = "", ...rest] = path.split(".");
  const copy: JsonObject = { ...draft };
  const below = copy[key];
  if (!rest.length) {
    if (value === undefined || value === "") delete copy[key];
    else copy[key] = value;
    return copy;
  }
  const inner = set(isObject(below) ? below : {}, rest.join("."), value);
  if (Object.keys(inner).length || rest.length === 0) copy[key] = inner;
  else delete copy[key];
  return copy;
}

/** Names of fields as the form looks for them: the contract's may be written in snake_case too. A spec alone is a request with it. */
export function normalised(value: JsonValue): JsonValue {
  if (!isObject(value)) return value;
  const bare =
    !("spec" in value) && ["task", "batch", "jobType", "job_type"].some((key) => key in value);
  return withNames(CreateJobRequestSchema, bare ? { spec: value } : value);
}

function withNames(message: DescMessage, value: JsonObject): JsonObject {
  const copy: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    const field = message.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    const nested = field?.fieldKind === "message" ? field.message : undefined;
    const ours = nested !== undefined && nested.typeName.startsWith("headway.") && isObject(inner);
    copy[field?.jsonName ?? key] = ours ? withNames(nested, inner) : inner;
  }
  return copy;
}

/** The request. Throws where a field is none of the contract, or of another type. */
export function requestOf(
  draft: JsonObject,
  parent: string,
  requestId: string,
  validateOnly: boolean,
): CreateJobRequest {
  return fromJson(CreateJobRequestSchema, { parent, requestId, ...draft, validateOnly });
}

/** A path of the server as the form writes it: `spec.retry_policy.max_attempts` becomes `spec.retryPolicy.maxAttempts`. */
export function formPath(path: string): string {
  return path.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** Whether something wrong at a path of the server is wrong in the field of the form. */
export function concerns(field: string, path: string): boolean {
  const wrong = formPath(path);
  return wrong === field || [".", "[", "/"].some((next) => wrong.startsWith(field + next));
}

/** What is wrong, said beside the field of the form; with the place in a field that is JSON, which the server tells by pointer. */
export function clause({
  field,
  description,
}: {
  readonly field: string;
  readonly description: string;
}): string {
  const pointer = field.indexOf("/");
  return pointer < 0 ? description : `${field.slice(pointer)}: ${description}`;
}

export function toBase64(value: string): string {
  return btoa(
    Array.from(new TextEncoder().encode(value), (byte) => String.fromCharCode(byte)).join(""),
  );
}

/** The text that was encoded, or nothing if it is no text. */
export function fromBase64(value: string): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0)),
    );
  } catch {
    return undefined;
  }
}

/** Labels as they are written in a form: one `key=value` a line. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");
}

/** What such a text says. */
export function labelsOf(text: string): Record<string, string> {
  const pairs = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const [key = "", ...value] = line.split("=");
      return [key.trim(), value.join("=").trim()] as const;
    });
  return Object.fromEntries(pairs);
}
