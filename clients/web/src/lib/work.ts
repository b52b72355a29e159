// The kinds of work of a job that is being written, and the change from one kind to another.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { get, isObject, set, text } from "./draft";

/** The fields of the contract's JobSpec, by their names in JSON: a job has one of them. */
export const KINDS = ["batch", "task", "jobType"] as const;
export type Kind = (typeof KINDS)[number];

export function kindOf(draft: JsonObject): Kind {
  return KINDS.find((kind) => get(draft, `spec.${kind}`) !== undefined) ?? "batch";
}

/**
 * The spec of a draft with another kind of work. Remembers in `written` what was written for the
 * kind before, and uses what was written for the next one earlier.
 */
export function withKind(
  draft: JsonObject,
  next: Kind,
  written: Map<Kind, JsonValue> = new Map(),
): JsonObject {
  const kind = kindOf(draft);
  const before = get(draft, `spec.${kind}`);
  if (before !== undefined) written.set(kind, before);
  const pipe = text(draft, kind === "batch" ? "spec.batch.item.pipe" : "spec.task.pipe");
  const spec = get(draft, "spec");
  return {
    ...set(isObject(spec) ? spec : {}, kind, undefined),
    [next]: written.get(next) ?? fresh(next, pipe),
  };
}

function fresh(kind: Kind, pipe: string): JsonObject {
  switch (kind) {
    case "batch":
      return { splitter: "range", json: { from: 0, to: 1000 }, item: { pipe, type: "" } };
    case "task":
      return { pipe, type: "", contentType: "application/json" };
    case "jobType":
      return { jobType: "", parameters: {} };
  }
}
