// States of jobs and kinds of events in words and colours, and what may be done in each state.
import { BatchState } from "../gen/headway/v1/batch_pb";
import { EventKind } from "../gen/headway/v1/event_pb";
import { JobState, type Job } from "../gen/headway/v1/job_pb";

/** States in the order of a job's life. */
export const STATES = [
  JobState.WAITING,
  JobState.ACTIVE,
  JobState.PAUSED,
  JobState.COMPLETED,
  JobState.FAILED,
  JobState.CANCELLED,
] as const;

export interface Look {
  readonly word: string;
  /** A custom property of `app.css`, and the name of the icon. */
  readonly tone: Tone;
}

export type Tone = "waiting" | "active" | "paused" | "completed" | "failed" | "cancelled";

const UNKNOWN: Look = { word: "Unknown", tone: "waiting" };

const LOOKS: ReadonlyMap<JobState, Look> = new Map([
  [JobState.WAITING, { word: "Waiting", tone: "waiting" }],
  [JobState.ACTIVE, { word: "Active", tone: "active" }],
  [JobState.PAUSED, { word: "Paused", tone: "paused" }],
  [JobState.COMPLETED, { word: "Completed", tone: "completed" }],
  [JobState.FAILED, { word: "Failed", tone: "failed" }],
  [JobState.CANCELLED, { word: "Cancelled", tone: "cancelled" }],
]);

export function lookOf(state: JobState): Look {
  return LOOKS.get(state) ?? UNKNOWN;
}

export function hasEnded(state: JobState): boolean {
  return state === JobState.COMPLETED || state === JobState.FAILED || state === JobState.CANCELLED;
}

const BATCH_LOOKS: ReadonlyMap<BatchState, Look> = new Map([
  [BatchState.WAITING, { word: "waiting", tone: "waiting" }],
  [BatchState.ACTIVE, { word: "under way", tone: "active" }],
  [BatchState.DONE, { word: "done", tone: "completed" }],
  [BatchState.INCOMPLETE, { word: "incomplete", tone: "failed" }],
]);

export function batchLook(state: BatchState): Look {
  return BATCH_LOOKS.get(state) ?? UNKNOWN;
}

const EVENT_WORDS: ReadonlyMap<EventKind, Look> = new Map([
  [EventKind.JOB_CREATED, { word: "Created", tone: "waiting" }],
  [EventKind.JOB_STARTED, { word: "Started", tone: "active" }],
  [EventKind.JOB_PAUSED, { word: "Paused", tone: "paused" }],
  [EventKind.JOB_RESUMED, { word: "Resumed", tone: "active" }],
  [EventKind.JOB_CANCELLED, { word: "Cancelled", tone: "cancelled" }],
  [EventKind.JOB_RETRIED, { word: "Retried", tone: "active" }],
  [EventKind.JOB_BATCH_SPLIT, { word: "Batch split", tone: "waiting" }],
  [EventKind.JOB_FAILURE_RECORDED, { word: "Failure recorded", tone: "failed" }],
  [EventKind.JOB_COMPLETED, { word: "Completed", tone: "completed" }],
  [EventKind.JOB_FAILED, { word: "Failed", tone: "failed" }],
  [EventKind.JOB_SETTLED, { word: "Settled", tone: "waiting" }],
  [EventKind.JOB_DELETED, { word: "Deleted", tone: "cancelled" }],
  [EventKind.JOB_UPDATED, { word: "Changed", tone: "waiting" }],
]);

export function eventLook(kind: EventKind): Look {
  return EVENT_WORDS.get(kind) ?? UNKNOWN;
}

export const ACTIONS = ["pause", "resume", "cancel", "retry", "delete"] as const;
export type Action = (typeof ACTIONS)[number];

export interface ActionWords {
  readonly label: string;
  readonly done: string;
  /** What it means, after the word "will": said before it is done. */
  readonly means: string;
  readonly key: string;
}

export const ACTION_WORDS: Readonly<Record<Action, ActionWords>> = {
  pause: {
    label: "Pause",
    done: "Paused",
    means: "Nothing new is released, and queued items are set aside. Items that run now finish.",
    key: "p",
  },
  resume: {
    label: "Resume",
    done: "Resumed",
    means: "Items that were set aside are sent again.",
    key: "r",
  },
  cancel: {
    label: "Cancel",
    done: "Cancelled",
    means:
      "Items that have not run are discarded. The job can be retried once none of its items runs.",
    key: "c",
  },
  retry: {
    label: "Retry",
    done: "Retried",
    means: "Failed and discarded items run again. Done items stay done.",
    key: "t",
  },
  delete: {
    label: "Delete",
    done: "Deleted",
    means:
      "The job, its progress and its failures are removed for good. A job that has not ended is cancelled first.",
    key: "d",
  },
};

/** Why an action is not possible now; nothing if it is. */
export function obstacle(action: Action, job: Job): string | undefined {
  const state = job.state;
  const word = lookOf(state).word.toLowerCase();
  const article = /^[aeiou]/.test(word) ? "An" : "A";
  switch (action) {
    case "pause":
      if (state === JobState.PAUSED) return "It is paused already.";
      return hasEnded(state) ? `${article} ${word} job cannot be paused.` : undefined;
    case "resume":
      if (state === JobState.PAUSED) return undefined;
      return hasEnded(state) ? `${article} ${word} job cannot be resumed.` : "It is not paused.";
    case "cancel":
      if (state === JobState.CANCELLED) return "It is cancelled already.";
      return hasEnded(state)
        ? `${article} ${word} job has ended and cannot be cancelled.`
        : undefined;
    case "retry":
      if (state === JobState.FAILED) return undefined;
      if (state === JobState.CANCELLED)
        return job.settledTime
          ? undefined
          : "A cancelled job can be retried once none of its items runs.";
      return state === JobState.COMPLETED
        ? "A completed job has nothing to retry."
        : "Only a job that failed or was cancelled can be retried.";
    case "delete":
      return undefined;
  }
}

/** Why failures cannot be run again now; nothing if they can: while a job runs, and when it can be retried. */
export function obstacleToFailures(job: Job): string | undefined {
  return hasEnded(job.state) ? obstacle("retry", job) : undefined;
}
