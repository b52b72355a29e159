// Asking again and again while a page is seen, where there is no stream to follow.
import { isPassing, problemOf } from "../../api/errors";
import { backoff, type Phase } from "../../api/stream";
import type { Listening } from "./connection.svelte";

/** Looks like a stream to whoever shows the connection. */
export class Poll implements Listening {
  heard = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over = false;
  private asking = false;
  private failures = 0;

  constructor(
    private readonly read: () => Promise<void>,
    private readonly phase: (phase: Phase) => void,
    /** How long after an answer it asks again, in ms. */
    private readonly every: number,
  ) {
    phase({ kind: "connecting" });
    document.addEventListener("visibilitychange", this.seen);
    void this.ask();
  }

  stop(): void {
    this.over = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }

  now(): void {
    if (!this.asking && !this.over) void this.ask();
  }

  /** A hidden page does not ask anyway. */
  pause(): void {}
  resume(): void {}

  private readonly seen = (): void => {
    if (!document.hidden) this.now();
  };

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    this.asking = true;
    let delay = this.every;
    try {
      await this.read();
      this.heard = Date.now();
      this.failures = 0;
      this.phase({ kind: "live" });
    } catch (thrown) {
      const problem = problemOf(thrown);
      if (!isPassing(problem)) {
        this.over = true;
        this.phase({ kind: "refused", problem });
      } else {
        this.failures += 1;
        delay = Math.max(backoff(this.failures, Math.random()), problem.retryAfter ?? 0);
        this.phase({ kind: "waiting", until: Date.now() + delay, problem });
      }
    } finally {
      this.asking = false;
      if (!this.over) {
        this.timer = setTimeout(() => {
          if (!document.hidden) void this.ask();
        }, delay);
      }
    }
  }
}
