// A stream that goes on by itself when it is lost: backoff with jitter, resume tokens, and a watch over silence.
import { Code } from "@connectrpc/connect";
import { isPassing, problemOf, type Problem } from "./errors";

/** How often bookmarks are asked for, in ms. */
export const BOOKMARK = 5_000;
/** Silence for this many bookmark intervals means that the stream is behind. */
const BEHIND_AFTER = 2;
/** Silence for this many bookmark intervals means that it is lost, whatever the browser believes. */
const LOST_AFTER = 4;
/** A stream that lived so long, in ms, begins with the shortest delay when it is lost. */
const PROVEN = 5_000;
const SHORTEST_DELAY = 250;
const LONGEST_DELAY = 10_000;

/** What a stream is doing. Times are in ms since 1970. */
export type Phase =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "behind" }
  | { readonly kind: "waiting"; readonly until: number; readonly problem: Problem }
  | { readonly kind: "paused" }
  | { readonly kind: "ended" }
  | { readonly kind: "refused"; readonly problem: Problem };

export interface Source<Message> {
  /** Opens a stream that goes on after `token`; the token is empty at first. */
  open(token: string, signal: AbortSignal): AsyncIterable<Message>;
  /** The token in a message; empty if it has none. */
  token(message: Message): string;
  message(message: Message): void;
  phase(phase: Phase): void;
  /** Whether OK at the end means that all was said. Otherwise it is a loss like any other. */
  readonly ends?: boolean;
}

export interface Clock {
  now(): number;
  /** Waits, or until the signal. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
}

export const realClock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    }),
};

/** The delay before attempt `attempt`, from 1: half of it is random. */
export function backoff(attempt: number, random: number): number {
  const full = Math.min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** Math.min(attempt - 1, 10));
  return full / 2 + (full / 2) * random;
}

export class Stream<Message> {
  /** When something was last heard, in ms since 1970; 0 before the first message. */
  heard = 0;
  private token = "";
  private readonly over = new AbortController();
  /** Ends the wait, or the stream, that is under way. */
  private interruption = new AbortController();
  private held = false;
  private release: (() => void) | undefined;

  constructor(
    private readonly source: Source<Message>,
    private readonly clock: Clock = realClock,
  ) {
    void this.run();
  }

  /** Ends it for good. */
  stop(): void {
    this.over.abort();
    this.interruption.abort();
    this.release?.();
  }

  /** Tries again at once if it waits to. */
  now(): void {
    if (!this.held && this.waiting) this.interruption.abort();
  }

  /** Lets go of the connection until `resume`. */
  pause(): void {
    if (this.held || this.over.signal.aborted) return;
    this.held = true;
    this.interruption.abort();
  }

  resume(): void {
    this.held = false;
    this.release?.();
  }

  private waiting = false;

  private async run(): Promise<void> {
    let attempt = 0;
    while (!this.over.signal.aborted) {
      if (this.held) {
        this.source.phase({ kind: "paused" });
        await new Promise<void>((resolve) => (this.release = resolve));
        this.release = undefined;
        attempt = 0;
        continue;
      }
      this.interruption = new AbortController();
      this.source.phase({ kind: "connecting" });
      const opened = this.clock.now();
      const resumed = this.token !== "";
      const lost = await this.follow();
      if (this.over.signal.aborted) return;
      if (this.held) continue;
      if (lost === "ended") return this.source.phase({ kind: "ended" });
      if (resumed && lost.code === Code.InvalidArgument) {
        // A token that this server cannot read: begin again.
        this.token = "";
        continue;
      }
      if (!isPassing(lost)) return this.source.phase({ kind: "refused", problem: lost });
      if (this.heard > opened && this.clock.now() - opened >= PROVEN) attempt = 0;
      attempt += 1;
      const delay = Math.max(backoff(attempt, this.clock.random()), lost.retryAfter ?? 0);
      this.source.phase({ kind: "waiting", until: this.clock.now() + delay, problem: lost });
      this.interruption = new AbortController();
      this.waiting = true;
      await this.clock.sleep(delay, this.interruption.signal);
      this.waiting = false;
    }
  }

  /** Follows one connection to its end, and says why it ended. */
  private async follow(): Promise<Problem | "ended"> {
    const connection = new AbortController();
    const abort = (): void => connection.abort();
    this.interruption.signal.addEventListener("abort", abort);
    let last = this.clock.now();
    let silent = false;
    let live = false;
    const watch = setInterval(() => {
      const silence = this.clock.now() - last;
      if (silence > LOST_AFTER * BOOKMARK) {
        silent = true;
        connection.abort();
      } else if (live && silence > BEHIND_AFTER * BOOKMARK) {
        live = false;
        this.source.phase({ kind: "behind" });
      }
    }, 1_000);
    try {
      for await (const message of this.source.open(this.token, connection.signal)) {
        if (connection.signal.aborted) break;
        last = this.heard = this.clock.now();
        this.token = this.source.token(message) || this.token;
        if (!live) {
          live = true;
          this.source.phase({ kind: "live" });
        }
        this.source.message(message);
      }
      if (this.source.ends && !connection.signal.aborted) return "ended";
      return lostBecause(silent ? "The server stopped answering." : "The server ended the stream.");
    } catch (thrown) {
      return silent ? lostBecause("The server stopped answering.") : problemOf(thrown);
    } finally {
      clearInterval(watch);
      this.interruption.signal.removeEventListener("abort", abort);
      connection.abort();
    }
  }
}

function lostBecause(message: string): Problem {
  return {
    code: Code.Unavailable,
    message,
    reason: "",
    fields: [],
    preconditions: [],
    metadata: {},
    retryAfter: undefined,
  };
}
