// Which jobs are shown, as the expression that lists, streams and changes of many jobs go by.
import { JobState } from "../../../gen/headway/v1/job_pb";

export interface Filter {
  readonly states: readonly JobState[];
  readonly labels: Readonly<Record<string, string>>;
  /** An expression, as ListJobs takes it. */
  readonly filter: string;
}

/** What was typed comes first, so that errors name places in it. */
export function expression({ states, labels, filter }: Filter): string {
  const names = states.map((state) => JobState[state]);
  const inStates =
    names.length > 1 ? [`state = (${names.join(" OR ")})`] : names.map((name) => `state = ${name}`);
  const labelled = Object.entries(labels).map(
    ([key, value]) => `labels.${quoted(key)} = ${quoted(value)}`,
  );
  return [...(filter.trim() ? [filter] : []), ...inStates, ...labelled].join(" AND ");
}

/** A text that stands for itself: a `*` in it is no pattern. */
function quoted(text: string): string {
  return `"${text.replace(/[\\"*]/g, "\\$&")}"`;
}
