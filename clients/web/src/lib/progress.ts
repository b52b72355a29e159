// The parts of a job's items, as bars and legends show them.
import { JobState, type Job } from "../gen/headway/v1/job_pb";
import { count, counted, percentage } from "./format";

export type PartName =
  "done" | "failed" | "discarded" | "in-flight" | "parked" | "delayed" | "queued";

export interface Part {
  readonly name: PartName;
  readonly word: string;
  readonly items: number;
  /** Of the whole bar, 0 to 1. */
  readonly share: number;
}

/** All parts, in the order in which the bar shows them; they add up to the items known. */
export function partsOf(job: Job): readonly Part[] {
  const progress = job.progress;
  if (!progress) return [];
  const done = Number(progress.itemsDone);
  // While more may be found, the bar says what the percentage says: what is known is not all.
  const estimated =
    !progress.totalFinal && progress.percentage > 0 ? (done * 100) / progress.percentage : 0;
  const whole = Math.max(Number(progress.itemsKnown), Number(progress.itemsExpected), estimated, 1);
  const inFlight = Number(progress.itemsInFlight);
  const parked = Number(progress.itemsParked);
  const delayed = Number(progress.itemsDelayed);
  const part = (name: PartName, word: string, items: number): Part => ({
    name,
    word,
    items,
    share: items / whole,
  });
  return [
    part("done", "Done", done),
    part("failed", "Failed", Number(progress.itemsFailed)),
    part("discarded", "Discarded", Number(progress.itemsDiscarded)),
    part("in-flight", "In flight", inFlight),
    part("parked", "Parked", parked),
    part("delayed", "Delayed", delayed),
    part(
      "queued",
      "Not yet released",
      Math.max(0, Number(progress.itemsOpen) - inFlight - parked - delayed),
    ),
  ];
}

/** How many items there are in all, as far as it is known: `1,200`, or `1,200+` while more may be found. */
export function total(job: Job): string {
  const progress = job.progress;
  const items = progress
    ? progress.itemsExpected > progress.itemsKnown
      ? progress.itemsExpected
      : progress.itemsKnown
    : 0n;
  return `${count(items)}${progress?.totalFinal ? "" : "+"}`;
}

/** The progress of a job in a sentence. */
export function progressInWords(job: Job): string {
  const progress = job.progress;
  if (!progress) return "nothing is known yet";
  const whole =
    progress.itemsExpected > progress.itemsKnown ? progress.itemsExpected : progress.itemsKnown;
  const words = [
    `${percentage(progress.percentage)}, ${count(progress.itemsDone)} of ${progress.totalFinal ? "" : "at least "}${counted(whole, "item")} done`,
  ];
  if (progress.itemsFailed) words.push(`${count(progress.itemsFailed)} failed`);
  if (progress.itemsDiscarded) words.push(`${count(progress.itemsDiscarded)} discarded`);
  if (progress.itemsInFlight && job.state === JobState.ACTIVE)
    words.push(`${count(progress.itemsInFlight)} in flight`);
  if (progress.itemsParked) words.push(`${count(progress.itemsParked)} parked`);
  return words.join(", ");
}
