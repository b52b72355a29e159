// The jobs of a partition as the page of jobs shows them: the stream, the pages after it, and the counts by state.
import type { Job, JobState } from "../../gen/headway/v1/job_pb";
import { unary, type Api } from "../api/client";
import { inWords, problemOf } from "../api/errors";
import { partitionName } from "../api/names";
import { duration } from "../api/time";
import { BOOKMARK } from "../api/stream";
import { connection, type Followed } from "./connection.svelte";
import { JobTable, type Row } from "./job-table";

const LISTED = 1_000;
const PAGE = 500;
const INTERVAL = 250;
/** Counts are asked for at most so often, in ms. */
const COUNT_EVERY = 1_000;
/** A list that grew beyond this is begun anew, so that a page that stays open stays small. */
const MOST = 50_000;

export interface Filter {
  readonly states: readonly JobState[];
  readonly labels: Readonly<Record<string, string>>;
}

export class JobsView {
  private readonly table = new JobTable();
  /** Rises, at most once a frame, when the table changed. */
  private version = $state(0);
  private frame = 0;
  /** Whether a listing is under way. */
  private anew = true;
  private token = "";
  private readonly over = new AbortController();
  private readonly listing: { readonly parent: string; readonly states: JobState[]; readonly labels: Record<string, string> };

  followed: Followed = $state.raw() as Followed;
  /** Whether the first listing is complete. */
  listed = $state(false);
  more = $state(false);
  loading = $state(false);
  /** What went wrong with the last page, if anything. */
  problem = $state("");
  counts: ReadonlyMap<JobState, number> = $state.raw(new Map());
  private countsWanted = false;
  private counting = false;

  constructor(
    private readonly api: Api,
    partition: string,
    filter: Filter,
    /** Counts that are known already, to be shown until newer ones come. */
    counts?: ReadonlyMap<JobState, number>,
  ) {
    if (counts) this.counts = counts;
    this.listing = { parent: partitionName(partition), states: [...filter.states], labels: { ...filter.labels } };
    this.start();
    void this.count();
  }

  stop(): void {
    this.over.abort();
    this.followed.stop();
    cancelAnimationFrame(this.frame);
  }

  /** The rows whose id or name contains the query; read it where a change of any row matters. */
  rows(query: string): readonly Row[] {
    void this.version;
    return this.table.matching(query);
  }

  get(uid: string): Job | undefined {
    void this.version;
    return this.table.get(uid);
  }

  /** Takes in what an action answered, before the stream says so. */
  answered(job: Job): void {
    if (this.table.get(job.uid)) this.table.put([job]);
    this.changed();
  }

  /** Loads the page that follows, if there is one. */
  async loadMore(): Promise<void> {
    if (!this.more || this.loading) return;
    this.loading = true;
    this.table.beginPage();
    const token = this.token;
    let jobs: readonly Job[] = [];
    try {
      const page = await this.api.listJobs({ ...this.listing, pageSize: PAGE, pageToken: token }, unary(this.over.signal));
      // A listing that began meanwhile has a token of its own.
      if (token === this.token) {
        jobs = page.jobs;
        this.token = page.nextPageToken;
        this.more = page.nextPageToken !== "";
      }
      this.problem = "";
    } catch (thrown) {
      if (!this.over.signal.aborted) this.problem = inWords(problemOf(thrown));
    } finally {
      this.table.endPage(jobs);
      this.loading = false;
      this.changed();
    }
  }

  private start(): void {
    this.followed = connection.follow({
      open: (resumeToken, signal) =>
        this.api.watchJobs(
          { ...this.listing, maxListed: LISTED, minInterval: duration(INTERVAL), bookmarkInterval: duration(BOOKMARK), resumeToken },
          { signal },
        ),
      token: ({ resumeToken }) => resumeToken,
      message: (message) => {
        if (this.table.apply(message)) this.changed();
        if (message.reset) this.anew = true;
        if (message.listed) {
          // After a mere interruption what was missed is shown, and the pages go on where they were.
          if (this.anew) {
            this.token = message.nextPageToken;
            this.more = message.nextPageToken !== "";
            this.anew = false;
          }
          this.listed = true;
        }
        if (message.jobs.length || message.removed.length) void this.count();
        if (this.table.size > MOST) this.restart();
      },
    });
  }

  private restart(): void {
    this.followed.stop();
    this.table.clear();
    this.more = false;
    this.token = "";
    this.listed = false;
    this.anew = true;
    this.start();
  }

  private changed(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.version += 1;
    });
  }

  private async count(): Promise<void> {
    this.countsWanted = true;
    if (this.counting) return;
    this.counting = true;
    while (this.countsWanted && !this.over.signal.aborted) {
      this.countsWanted = false;
      try {
        const { counts } = await this.api.countJobs({ parent: this.listing.parent }, unary(this.over.signal));
        this.counts = new Map(counts.map(({ state, jobs }) => [state, Number(jobs)]));
      } catch {
        // The stream says what is wrong; the next change asks again.
      }
      await new Promise((resolve) => setTimeout(resolve, COUNT_EVERY));
    }
    this.counting = false;
  }
}
