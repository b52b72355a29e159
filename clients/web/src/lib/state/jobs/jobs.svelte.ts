// The jobs of a partition as the page of jobs shows them: the stream, the pages after it, and the counts by state.
import type { Job, JobState } from "../../../gen/headway/v1/job_pb";
import { unary, type Api } from "../../api/client";
import { inWords, problemOf } from "../../api/errors";
import { partitionName } from "../../api/names";
import { duration } from "../../api/time";
import { BOOKMARK } from "../../api/stream";
import { connection, type Followed } from "../page/connection.svelte";
import { expression, type Filter } from "./filter";
import { JobTable, type Row } from "./job-table";
import { NEWEST, type Order } from "./order";

const LISTED = 1_000;
const PAGE = 500;
const INTERVAL = 250;
/** Between two counts are this many ms at least, and so many times what a count takes. */
const COUNT_EVERY = 1_000;
const COUNT_REST = 9;
/** A list that grew beyond this is begun again, so that a page that stays open stays small. */
const MOST = 50_000;

export class JobsView {
  private readonly table: JobTable;
  /** Rises, at most once a frame, when the table changed. */
  private version = $state(0);
  private frame = 0;
  /** Whether a listing is under way. */
  private anew = true;
  private token = "";
  /** Rises with each listing of the stream, after which the pages begin again. */
  private generation = 0;
  private readonly over = new AbortController();
  private readonly listing: { readonly parent: string; readonly filter: string };
  /** What is counted by state: jobs in all states, with all labels. */
  private readonly counted: { readonly parent: string; readonly filter: string };

  followed: Followed = $state.raw() as Followed;
  /** Whether the first listing is complete. */
  listed = $state(false);
  more = $state(false);
  loading = $state(false);
  /** What went wrong with the last page, if anything. */
  problem = $state("");
  counts: ReadonlyMap<JobState, number> = $state.raw(new Map());
  /** The names of listed jobs that this version of the server cannot read. */
  unreadable: ReadonlySet<string> = $state.raw(new Set());
  private countsWanted = false;
  private counting = false;

  constructor(
    private readonly api: Api,
    partition: string,
    filter: Filter,
    private readonly order: Order = NEWEST,
    /** Counts that are known already, to be shown until newer ones come. */
    counts?: ReadonlyMap<JobState, number>,
  ) {
    if (counts) this.counts = counts;
    this.table = new JobTable(order);
    const parent = partitionName(partition);
    this.listing = { parent, filter: expression(filter) };
    this.counted = { parent, filter: filter.filter };
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
    const { generation, token } = this;
    const asked = { ...this.listing, orderBy: this.order.text, pageSize: PAGE, pageToken: token };
    let outdated = false;
    try {
      const page = await this.api.listJobs(asked, unary(this.over.signal));
      outdated = generation !== this.generation;
      if (!outdated) {
        this.token = page.nextPageToken;
        this.more = page.nextPageToken !== "";
        this.table.endPage(page.jobs, this.more);
        this.nameUnreadable(page.unreadable);
        this.listed = true;
      }
      this.problem = "";
    } catch (thrown) {
      if (!this.over.signal.aborted) this.problem = inWords(problemOf(thrown));
    } finally {
      this.table.forgetPage();
      // At once: who hears that it is over sees what came.
      this.version += 1;
      this.loading = false;
    }
    // The stream lists the newest jobs, so in another order even the first page is asked for here.
    if (outdated && this.order !== NEWEST) void this.loadMore();
  }

  private start(): void {
    this.followed = connection.follow({
      open: (resumeToken, signal) =>
        this.api.watchJobs(
          {
            ...this.listing,
            maxListed: this.order === NEWEST ? LISTED : 1,
            minInterval: duration(INTERVAL),
            bookmarkInterval: duration(BOOKMARK),
            resumeToken,
          },
          { signal },
        ),
      token: ({ resumeToken }) => resumeToken,
      message: (message) => {
        if (this.table.apply(message)) this.changed();
        if (message.listingBegins) {
          this.anew = true;
          this.unreadable = new Set();
        }
        this.nameUnreadable(message.unreadable);
        if (message.listingComplete) {
          // After a mere interruption what was missed is shown, and the pages go on where they were.
          if (this.anew) {
            this.anew = false;
            this.generation += 1;
            this.begin(message.nextPageToken);
          }
        }
        if (message.jobs.length || message.removed.length) void this.count();
        if (this.table.size > MOST) this.restart();
      },
    });
  }

  /** A listing of the stream is complete. */
  private begin(nextPageToken: string): void {
    if (this.order === NEWEST) {
      this.token = nextPageToken;
      this.more = nextPageToken !== "";
      this.listed = true;
    } else {
      this.token = "";
      this.more = true;
      void this.loadMore();
    }
  }

  private nameUnreadable(names: readonly string[]): void {
    if (names.length) this.unreadable = new Set([...this.unreadable, ...names]);
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
      const began = performance.now();
      try {
        const { counts } = await this.api.countJobs(this.counted, unary(this.over.signal));
        this.counts = new Map(counts.map(({ state, jobCount }) => [state, Number(jobCount)]));
      } catch {
        // The stream says what is wrong; the next change asks again.
      }
      const rest = Math.max(COUNT_EVERY, COUNT_REST * (performance.now() - began));
      await new Promise((resolve) => setTimeout(resolve, rest));
    }
    this.counting = false;
  }
}
