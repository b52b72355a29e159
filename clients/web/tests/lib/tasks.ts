// What the main thread of a page does, from the browser's own trace: how much of a processor each task took.
// Time on the wall would also measure whatever else the machine does.

import assert from "node:assert/strict";

import type { Browser, Page } from "playwright-core";

/** An event of a trace in the format of Chromium; times are in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  /** The time on the wall. */
  readonly dur?: number;
  /** The time on a processor. */
  readonly tdur?: number;
}

/** The tasks that the main thread of a page ran, in milliseconds on a processor. */
export interface Tasks {
  readonly longest: number;
  /** The sum of those tasks that took longer than 50 ms, the limit of the Long Tasks API. */
  readonly long: number;
}

const LONG = 50;
const BEGUN = "tasks-begun";
const ENDED = "tasks-ended";

/** Runs `work` and tells which tasks the main thread of the page ran meanwhile. */
export async function tasksDuring(
  browser: Browser,
  page: Page,
  work: () => Promise<void>,
): Promise<Tasks> {
  await browser.startTracing(page, {
    categories: ["disabled-by-default-devtools.timeline", "blink.user_timing"],
  });
  let trace: Buffer;
  try {
    await mark(page, BEGUN);
    await work();
    await mark(page, ENDED);
  } finally {
    trace = await browser.stopTracing();
  }
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  // The marks say which thread it is, and that the trace is whole: a full buffer takes no more events.
  const begun = traceEvents.find(({ name }) => name === BEGUN);
  const ended = traceEvents.find(({ name }) => name === ENDED);
  assert.ok(
    begun !== undefined && ended !== undefined && begun.tid === ended.tid,
    "the trace is not whole",
  );
  // Of a task that a trace cuts off at its begin or end, it does not tell the time.
  const tasks = traceEvents.filter(({ name, pid, tid, ts, dur }) => {
    return (
      name === "RunTask" &&
      pid === begun.pid &&
      tid === begun.tid &&
      ts > begun.ts &&
      dur !== undefined &&
      ts + dur < ended.ts
    );
  });
  assert.ok(
    tasks.length > 0 && tasks.every(({ tdur }) => tdur !== undefined),
    "the trace does not tell the time of tasks on a processor",
  );
  const times = tasks.map(({ tdur }) => tdur! / 1000);
  return {
    longest: Math.max(...times),
    long: times.filter((time) => time > LONG).reduce((sum, time) => sum + time, 0),
  };
}

async function mark(page: Page, name: string): Promise<void> {
  await page.evaluate((name) => void performance.mark(name), name);
}
