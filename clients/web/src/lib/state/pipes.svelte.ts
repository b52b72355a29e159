// The pipes of a partition, asked for again and again while the page is seen, and what their rates were meanwhile.
import type { Pipe } from "../../gen/headway/v1/pipe_pb";
import { unary, type Api } from "../api/client";
import { backoff, type Phase } from "../api/stream";
import { isPassing, problemOf } from "../api/errors";
import { partitionName } from "../api/names";
import { connection, type Followed } from "./connection.svelte";

const EVERY = 2_000;
const PAGE = 100;
/** Pipes shown at most. */
const MOST = 1_000;
/** Rates kept of each pipe: two minutes. */
const RATES = 60;

export class PipesView {
  pipes: readonly Pipe[] = $state.raw([]);
  /** Items per second by the name of the pipe, the newest last. */
  rates: ReadonlyMap<string, readonly number[]> = $state.raw(new Map());
  loaded = $state(false);
  readonly followed: Followed;

  constructor(api: Api, partition: string) {
    this.followed = connection.poll((phase) => new Poll(() => this.read(api, partition), phase));
  }

  stop(): void {
    this.followed.stop();
  }

  private async read(api: Api, partition: string): Promise<void> {
    const pipes: Pipe[] = [];
    let pageToken = "";
    do {
      const page = await api.listPipes({ parent: partitionName(partition), pageSize: PAGE, pageToken }, unary());
      pipes.push(...page.pipes);
      pageToken = page.nextPageToken;
    } while (pageToken && pipes.length < MOST);
    this.pipes = pipes;
    this.rates = new Map(pipes.map(({ name, itemsPerSecond }) => [name, [...(this.rates.get(name) ?? []), itemsPerSecond].slice(-RATES)]));
    this.loaded = true;
  }
}

/** Asks every two seconds while the page is seen; looks like a stream to whoever shows the connection. */
class Poll {
  heard = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over = false;
  private asking = false;
  private failures = 0;

  constructor(
    private readonly read: () => Promise<void>,
    private readonly phase: (phase: Phase) => void,
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
    let delay = EVERY;
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
