// Doing something to jobs: one or many, a few at a time, and what came of each in words.
import type { Job } from "../../../gen/headway/v1/job_pb";
import { randomId, unary, type Api } from "../../api/client";
import { inWords, problemOf } from "../../api/errors";
import { counted } from "../../format";
import { lookOf, obstacle, ACTION_WORDS, type Action } from "../../states";

/** Calls under way at once. */
const AT_ONCE = 6;

/**
 * Does it to one job; answers with the job, unless that is gone. The uid goes along, so that it never
 * meets a job that was created again under the name.
 */
export async function act(
  api: Api,
  action: Action,
  { name, uid }: Pick<Job, "name" | "uid">,
  correlation: string = randomId(),
  signal?: AbortSignal,
): Promise<Job | undefined> {
  const options = unary(signal, correlation);
  switch (action) {
    case "pause":
      return api.pauseJob({ name, uid }, options);
    case "resume":
      return api.resumeJob({ name, uid }, options);
    case "cancel":
      return api.cancelJob({ name, uid }, options);
    case "retry":
      return api.retryJob({ name, uid }, options);
    case "delete":
      await api.deleteJob({ name, uid }, options);
      return undefined;
  }
}

/** What an action on a selection would do. */
export interface Plan {
  readonly action: Action;
  readonly jobs: readonly Job[];
  /** `Cancel 12 jobs: 10 active, 2 waiting.` */
  readonly does: string;
  /** `3 of the 15 selected are left alone.` and why; empty if none is. */
  readonly leaves: string;
}

export function plan(action: Action, selected: readonly Job[]): Plan {
  const able: Job[] = [];
  const left: Job[] = [];
  const reasons = new Set<string>();
  for (const job of selected) {
    const why = obstacle(action, job);
    if (why === undefined) able.push(job);
    else {
      left.push(job);
      reasons.add(why);
    }
  }
  const why = reasons.size === 1 ? [...reasons].join("") : `${byState(left)}.`;
  return {
    action,
    jobs: able,
    does: `${ACTION_WORDS[action].label} ${counted(able.length, "job")}${able.length ? `: ${byState(able)}` : ""}.`,
    leaves: left.length
      ? `${left.length} of the ${selected.length} selected ${left.length === 1 ? "is" : "are"} left alone. ${why}`
      : "",
  };
}

/** `10 active, 2 waiting`. */
function byState(jobs: readonly Job[]): string {
  const states = new Map<string, number>();
  for (const { state } of jobs) {
    const word = lookOf(state).word.toLowerCase();
    states.set(word, (states.get(word) ?? 0) + 1);
  }
  return [...states]
    .sort((a, b) => b[1] - a[1])
    .map(([word, number]) => `${number} ${word}`)
    .join(", ");
}

/** A job for which it did not work, and why. */
export interface Refusal {
  readonly job: Job;
  readonly why: string;
}

/** Carries a plan out. The calls share one correlation id, by which the audit log shows them together. */
export async function carryOut(
  api: Api,
  { action, jobs }: Plan,
  each: { done(job: Job, answer: Job | undefined): void; refused(refusal: Refusal): void },
  signal?: AbortSignal,
): Promise<void> {
  const correlation = randomId();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let job = jobs[next++]; job && !signal?.aborted; job = jobs[next++]) {
      try {
        each.done(job, await act(api, action, job, correlation, signal));
      } catch (thrown) {
        if (!signal?.aborted) each.refused({ job, why: inWords(problemOf(thrown)) });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, jobs.length) }, worker));
}
