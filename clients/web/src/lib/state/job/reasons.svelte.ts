// Why a job does not run, or does not end: asked whenever it changed, and now and then while nothing changes.
import type { Job } from "../../../gen/headway/v1/job_pb";
import { JobReason_Kind, type JobReason } from "../../../gen/headway/v1/job_explanation_pb";
import { unary, type Api } from "../../api/client";
import { hasEnded } from "../../states";

/** At most so often, in ms. */
const EVERY = 1_000;
/** While nothing changes, in ms: workers come and go without a change of the job. */
const IDLE = 5_000;
/** What any job that runs could say. */
const USUAL = new Set([
  JobReason_Kind.ENDED,
  JobReason_Kind.IN_FLIGHT,
  JobReason_Kind.MOVING,
  JobReason_Kind.SPLITTING,
]);

export class ReasonsView {
  reasons: readonly JobReason[] = $state.raw([]);
  private readonly over = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private asking = false;
  private askedAt = 0;

  constructor(
    private readonly api: Api,
    private readonly name: string,
  ) {}

  stop(): void {
    this.over.abort();
    clearTimeout(this.timer);
  }

  /** The job changed. */
  changed(job: Job): void {
    this.ended = hasEnded(job.state);
    if (this.ended) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.reasons = [];
      return;
    }
    this.askIn(Math.max(0, this.askedAt + EVERY - Date.now()));
  }

  private askIn(wait: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), wait);
  }

  private async ask(): Promise<void> {
    if (this.asking || this.ended || this.over.signal.aborted) return;
    if (document.hidden) return this.askIn(IDLE);
    this.asking = true;
    this.askedAt = Date.now();
    try {
      const { reasons } = await this.api.explainJob({ name: this.name }, unary(this.over.signal));
      if (!this.ended) this.reasons = reasons.filter(({ kind }) => !USUAL.has(kind));
    } catch {
      // Whether the server can be reached is shown elsewhere.
    } finally {
      this.asking = false;
    }
    if (!this.ended && !this.over.signal.aborted) this.askIn(IDLE);
  }
}
