// The orders that jobs can be listed in, and the same orders here, so that what the stream tells finds its place among what was listed.
import { lastPart } from "../../api/names";
import type { Job } from "../../../gen/headway/v1/job_pb";

export interface Order {
  /** As ListJobs takes it; empty for the newest first. */
  readonly text: string;
  readonly words: string;
  readonly descending: boolean;
  /** What is compared before the age. */
  readonly key: (job: Job) => string;
}

const none = (): string => "";
const byName = (job: Job): string => job.spec?.displayName ?? "";
const byId = (job: Job): string => lastPart(job.name);

export const NEWEST: Order = { text: "", words: "Newest first", descending: true, key: none };
export const ORDERS: readonly Order[] = [
  NEWEST,
  { text: "create_time", words: "Oldest first", descending: false, key: none },
  { text: "display_name", words: "Name, A to Z", descending: false, key: byName },
  { text: "display_name desc", words: "Name, Z to A", descending: true, key: byName },
  { text: "id", words: "Id, A to Z", descending: false, key: byId },
  { text: "id desc", words: "Id, Z to A", descending: true, key: byId },
];

/** What two jobs are compared by. */
export interface Placed {
  readonly key: string;
  /** Microseconds since 1970. */
  readonly created: number;
  readonly uid: string;
}

/** Whether `a` stands before `b`; at the same moment by uid, so that the order never depends on how a job came here. */
export function before(order: Order, a: Placed, b: Placed): boolean {
  const difference =
    compareTexts(a.key, b.key) ||
    a.created - b.created ||
    (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0);
  return order.descending ? difference > 0 : difference < 0;
}

/** Compares texts by their code points, as the server does; strings themselves are compared by the halves of surrogate pairs. */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for what is beyond all other units. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
