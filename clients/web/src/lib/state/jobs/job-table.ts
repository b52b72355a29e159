// The jobs that are loaded, in an order. A message costs what it changes, however many jobs there are.
import type { WatchJobsResponse } from "../../../gen/headway/v1/job_service_pb";
import type { Job } from "../../../gen/headway/v1/job_pb";
import { lastPart } from "../../api/names";
import { before, NEWEST, type Order } from "./order";

/** A place in the list; its job is replaced as it changes. */
export interface Row {
  readonly uid: string;
  /** What the order goes by before the age. */
  readonly key: string;
  /** Microseconds since 1970. */
  readonly created: number;
  job: Job;
  /** The listing in which it was last shown. */
  listing: number;
}

/** From this many new jobs on, they are merged in one pass. */
const MERGE_FROM = 16;

function createdAt(job: Job): number {
  const time = job.createTime;
  return time ? Number(time.seconds) * 1e6 + Math.floor(time.nanos / 1000) : 0;
}

export class JobTable {
  private rows: Row[] = [];
  private readonly byUid = new Map<string, Row>();
  private listing = 0;
  /** Jobs removed while a page is being loaded: the page may be older than their removal. */
  private removedMeanwhile: Set<string> | undefined;
  /** Jobs that came while a page was being loaded, and may have their place in it although it is older. */
  private heldMeanwhile: Job[] = [];
  private filtered: { readonly query: string; readonly rows: readonly Row[] } | undefined;
  /** In an order that the stream does not list in: what stands behind this row comes with a later page. */
  private bound: Row | undefined;
  /** The listing whose first page is here; -1 before any. */
  private paged = -1;

  constructor(private readonly order: Order = NEWEST) {}

  get size(): number {
    return this.rows.length;
  }

  /** Takes a message of the stream in. Returns whether anything changed. */
  apply(message: WatchJobsResponse): boolean {
    if (message.listingBegins) this.listing += 1;
    this.put(message.jobs);
    for (const { uid } of message.removed) this.remove(uid);
    // What was shown before a new listing stays in sight until the listing is complete.
    if (
      this.order === NEWEST &&
      message.listingComplete &&
      this.rows.some((row) => row.listing !== this.listing)
    ) {
      this.keep((row) => row.listing === this.listing);
    }
    return (
      message.jobs.length > 0 ||
      message.removed.length > 0 ||
      message.listingBegins ||
      message.listingComplete
    );
  }

  /** Takes the newest states of jobs in; a state older than the known one is left out. */
  put(jobs: readonly Job[]): void {
    const fresh: Row[] = [];
    for (const job of jobs) {
      const known = this.byUid.get(job.uid);
      if (known) {
        if (job.revision >= known.job.revision || known.listing !== this.listing) known.job = job;
        known.listing = this.listing;
      } else {
        const row = {
          uid: job.uid,
          key: this.order.key(job),
          created: createdAt(job),
          job,
          listing: this.listing,
        };
        if (this.bound && this.before(this.bound, row)) {
          if (this.removedMeanwhile) this.heldMeanwhile.push(job);
          continue;
        }
        this.byUid.set(job.uid, row);
        fresh.push(row);
      }
    }
    if (fresh.length) this.insert(fresh);
  }

  remove(uid: string): void {
    this.removedMeanwhile?.add(uid);
    const row = this.byUid.get(uid);
    if (!row) return;
    this.byUid.delete(uid);
    this.rows.splice(this.placeOf(row), 1);
    this.filtered = undefined;
  }

  /** A page is being loaded: from now on removals are remembered. */
  beginPage(): void {
    this.removedMeanwhile = new Set();
    this.heldMeanwhile = [];
  }

  /** Takes in a page that was asked for at `beginPage`, and whether others follow it. */
  endPage(jobs: readonly Job[], more = false): void {
    const removed = this.removedMeanwhile ?? new Set();
    const held = this.heldMeanwhile;
    this.forgetPage();
    this.bound = undefined;
    const present = ({ uid }: Job): boolean => !removed.has(uid);
    this.put(jobs.filter(present));
    if (this.order === NEWEST) return;
    this.put(held.filter(present));
    const last = jobs.at(-1);
    const first = this.paged !== this.listing;
    this.paged = this.listing;
    if (last && more) {
      // It may be gone meanwhile, and still says how far the pages reach.
      const bound = {
        uid: last.uid,
        key: this.order.key(last),
        created: createdAt(last),
        job: last,
        listing: this.listing,
      };
      this.bound = bound;
      this.keep((row) => (!first || row.listing === this.listing) && !this.before(bound, row));
    } else if (first) {
      this.keep((row) => row.listing === this.listing);
    }
  }

  /** No page is being loaded any more. */
  forgetPage(): void {
    this.removedMeanwhile = undefined;
    this.heldMeanwhile = [];
  }

  clear(): void {
    this.rows = [];
    this.byUid.clear();
    this.filtered = undefined;
    this.bound = undefined;
    this.paged = -1;
  }

  get(uid: string): Job | undefined {
    return this.byUid.get(uid)?.job;
  }

  /** The jobs whose id or display name contains the query. The same rows as long as none comes or goes. */
  matching(query: string): readonly Row[] {
    // In another order the stream's listing says nothing about the beginning.
    if (this.order !== NEWEST && this.paged < 0) return [];
    const wanted = query.trim().toLowerCase();
    if (!wanted) return this.rows;
    if (this.filtered?.query !== wanted)
      this.filtered = { query: wanted, rows: this.rows.filter(({ job }) => matches(job, wanted)) };
    return this.filtered.rows;
  }

  private insert(fresh: Row[]): void {
    this.filtered = undefined;
    if (fresh.length < MERGE_FROM) {
      for (const row of fresh) this.rows.splice(this.placeOf(row), 0, row);
      return;
    }
    fresh.sort((a, b) => (this.before(a, b) ? -1 : 1));
    const last = this.rows.at(-1);
    const first = fresh[0];
    if (!last || !first || this.before(last, first)) {
      for (const row of fresh) this.rows.push(row);
      return;
    }
    const merged: Row[] = [];
    let old = 0;
    for (const row of fresh) {
      for (let other = this.rows[old]; other && this.before(other, row); other = this.rows[++old])
        merged.push(other);
      merged.push(row);
    }
    for (let other = this.rows[old]; other; other = this.rows[++old]) merged.push(other);
    this.rows = merged;
  }

  private keep(wanted: (row: Row) => boolean): void {
    for (const row of this.rows) if (!wanted(row)) this.byUid.delete(row.uid);
    this.rows = this.rows.filter(wanted);
    this.filtered = undefined;
  }

  private before(a: Row, b: Row): boolean {
    return before(this.order, a, b);
  }

  /** Where a row is, or belongs. */
  private placeOf(row: Row): number {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.rows[middle];
      if (other && this.before(other, row)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function matches(job: Job, wanted: string): boolean {
  return (
    lastPart(job.name).toLowerCase().includes(wanted) ||
    (job.spec?.displayName.toLowerCase().includes(wanted) ?? false)
  );
}
