// One job, live: its state, how fast it went, and whether it is still there.
import { Code } from "@connectrpc/connect";
import { JobState, type Job } from "../../../gen/headway/v1/job_pb";
import type { JobSpec } from "../../../gen/headway/v1/job_spec_pb";
import { unary, type Api } from "../../api/client";
import { inWords, isPassing, problemOf } from "../../api/errors";
import { BOOKMARK } from "../../api/stream";
import { duration } from "../../api/time";
import { hasEnded } from "../../states";
import { connection, type Followed } from "../page/connection.svelte";
import { extended, sampleOf, type Sample } from "./history";

/** Until a job that has ended is settled it is asked for so often, in ms: the watch is over by then. */
const ASK_EVERY = 2_000;

export class JobView {
  job: Job | undefined = $state.raw();
  /** With payload and definition, which the stream leaves out. */
  spec: JobSpec | undefined = $state.raw();
  samples: readonly Sample[] = $state.raw([]);
  /** Whether it was deleted, or never was. */
  gone = $state(false);
  followed: Followed = $state.raw() as Followed;
  /** Why it cannot be shown, if the server said so. */
  readonly refusal = $derived.by(() => {
    const phase = this.followed.phase;
    return phase.kind === "refused" && phase.problem.code !== Code.NotFound
      ? inWords(phase.problem)
      : "";
  });
  private readonly over = new AbortController();
  private reading = false;
  private historyRead = false;
  private asking: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly api: Api,
    readonly name: string,
  ) {
    this.watch();
    void this.readRest();
  }

  stop(): void {
    this.over.abort();
    this.followed.stop();
    clearInterval(this.asking);
  }

  /** What an action answered: the job, or nothing if it is gone. */
  answered(job: Job | undefined): void {
    if (!job) {
      this.gone = true;
      this.followed.stop();
      clearInterval(this.asking);
      return;
    }
    const before = this.job;
    this.take(job);
    if (before && hasEnded(before.state) && !hasEnded(job.state)) this.watchAgain();
  }

  /** The events say that something happened; after the end nobody else does. */
  happened(revision: bigint): void {
    if (this.job && hasEnded(this.job.state) && revision > this.job.revision) void this.ask();
  }

  private watchAgain(): void {
    this.followed.stop();
    this.watch();
  }

  private watch(): void {
    this.followed = connection.follow({
      ends: true,
      open: (resumeToken, signal) =>
        this.api.watchJob(
          {
            name: this.name,
            minInterval: duration(200),
            bookmarkInterval: duration(BOOKMARK),
            resumeToken,
          },
          { signal },
        ),
      token: ({ resumeToken }) => resumeToken,
      message: ({ job }) => {
        if (!job) return;
        this.take(job);
        void this.readRest();
      },
      refused: ({ code }) => {
        if (code === Code.NotFound) this.answered(undefined);
      },
    });
  }

  private take(job: Job): void {
    if (this.job?.uid === job.uid && job.revision < this.job.revision) return;
    this.job = job;
    if (job.state !== JobState.WAITING) this.samples = extended(this.samples, job);
    const unsettled = hasEnded(job.state) && !job.settledTime;
    if (!unsettled) {
      clearInterval(this.asking);
      this.asking = undefined;
    } else {
      this.asking ??= setInterval(() => {
        if (!document.hidden) void this.ask();
      }, ASK_EVERY);
    }
  }

  /** Reads the job once more; if it goes on, it is watched again. */
  private async ask(): Promise<void> {
    try {
      this.answered(await this.api.getJob({ name: this.name }, unary(this.over.signal)));
    } catch (thrown) {
      if (problemOf(thrown).code === Code.NotFound) this.answered(undefined);
    }
  }

  /** Reads what the stream does not say, until it was read once. */
  private async readRest(): Promise<void> {
    if (this.reading) return;
    this.reading = true;
    if (!this.spec) await this.read();
    if (!this.historyRead) await this.readHistory();
    this.reading = false;
  }

  private async read(): Promise<void> {
    try {
      const job = await this.api.getJob({ name: this.name }, unary(this.over.signal));
      this.spec = job.spec;
      this.take(job);
    } catch (thrown) {
      if (problemOf(thrown).code === Code.NotFound) this.answered(undefined);
    }
  }

  private async readHistory(): Promise<void> {
    try {
      const { samples } = await this.api.getJobHistory(
        { name: this.name },
        unary(this.over.signal),
      );
      const past = samples.map(sampleOf);
      const last = past.at(-1)?.time ?? 0;
      this.samples = [...past, ...this.samples.filter(({ time }) => time > last)];
      this.historyRead = true;
    } catch (thrown) {
      // Until it can be read the chart begins with what is seen.
      this.historyRead = !isPassing(problemOf(thrown));
    }
  }
}
