// The tree of batches of a job, as far as it is in sight.
import type { Batch } from "../../../gen/headway/v1/batch_pb";
import { unary, type Api } from "../../api/client";
import { inWords, problemOf } from "../../api/errors";
import type { Children } from "../../icicle";

/** Children of one batch that are loaded at most. */
const MOST_CHILDREN = 500;
const PAGE = 250;
/** Children whose own children are loaded at most: the largest. */
const MOST_OPEN = 24;
/** Calls under way at once. */
const AT_ONCE = 4;
/** The tree is read at most so often, in ms, and never more than a quarter of the time. */
const EVERY = 1_000;

export class BatchesView {
  root: Batch | undefined = $state.raw();
  /** From the root to the batch that fills the width. */
  path: readonly Batch[] = $state.raw([]);
  problem = $state("");
  loaded = $state(false);
  private children: ReadonlyMap<string, Children> = $state.raw(new Map());
  private readonly over = new AbortController();
  private wanted = false;
  private reading = false;

  constructor(
    private readonly api: Api,
    private readonly job: string,
  ) {
    this.refresh();
  }

  get top(): Batch | undefined {
    return this.path.at(-1);
  }

  stop(): void {
    this.over.abort();
  }

  childrenOf = (name: string): Children | undefined => this.children.get(name);

  /** Makes a batch fill the width: one below the present one, or one that it is in. */
  zoom(to: Batch): void {
    const known = this.path.findIndex(({ name }) => name === to.name);
    if (known >= 0) this.path = this.path.slice(0, known + 1);
    else {
      const between = this.find(to.parentBatch);
      this.path = [
        ...this.path,
        ...(between && between.name !== this.top?.name ? [between] : []),
        to,
      ];
    }
    this.refresh();
  }

  out(): void {
    const above = this.path.at(-2);
    if (above) this.zoom(above);
  }

  /** Reads what is in sight again, soon. */
  refresh(): void {
    this.wanted = true;
    if (!this.reading) void this.read();
  }

  private find(name: string): Batch | undefined {
    for (const { batches } of this.children.values()) {
      const found = batches.find((batch) => batch.name === name);
      if (found) return found;
    }
    return this.root?.name === name ? this.root : undefined;
  }

  private async read(): Promise<void> {
    this.reading = true;
    while (this.wanted && !this.over.signal.aborted) {
      this.wanted = false;
      const begun = Date.now();
      try {
        await this.readSight();
        this.problem = "";
      } catch (thrown) {
        if (!this.over.signal.aborted) this.problem = inWords(problemOf(thrown));
      }
      this.loaded = true;
      const pause = Math.max(EVERY, 3 * (Date.now() - begun));
      // What was clicked is not kept waiting for what merely changed.
      for (let waited = 0; waited < pause && !this.hurry; waited += 100)
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    this.reading = false;
  }

  /** Whether the batch in focus was never read. */
  private get hurry(): boolean {
    return this.wanted && this.top !== undefined && !this.children.has(this.top.name);
  }

  private async readSight(): Promise<void> {
    const { batches } = await this.api.listBatches({ parent: this.job }, unary(this.over.signal));
    const root = batches[0];
    this.root = root;
    if (!root) return;
    if (!this.path.length) this.path = [root];
    const top = this.path.at(-1) ?? root;
    const kept = new Map(this.children);
    const above = this.path.at(-2);
    if (above) kept.set(above.name, await this.readChildren(above.name));
    const first = await this.readChildren(top.name);
    kept.set(top.name, first);
    this.children = new Map(kept);
    const open = first.batches
      .filter(({ batchCount }) => batchCount > 0n)
      .toSorted((a, b) => Number(b.itemsKnown - a.itemsKnown))
      .slice(0, MOST_OPEN);
    let next = 0;
    const reader = async (): Promise<void> => {
      for (let batch = open[next++]; batch; batch = open[next++])
        kept.set(batch.name, await this.readChildren(batch.name, true));
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, open.length) }, reader));
    // Only what is in sight, and the way to it, is kept.
    const sight = new Set([...this.path.map(({ name }) => name), ...open.map(({ name }) => name)]);
    this.children = new Map([...kept].filter(([name]) => sight.has(name)));
    this.path = this.path.map((batch) =>
      batch.name === root.name ? root : (this.find(batch.name) ?? batch),
    );
  }

  /** The children of a batch, or only the first page of them. */
  private async readChildren(parentBatch: string, first = false): Promise<Children> {
    const batches: Batch[] = [];
    let pageToken = "";
    do {
      const page = await this.api.listBatches(
        { parent: this.job, parentBatch, pageSize: first ? 100 : PAGE, pageToken },
        unary(this.over.signal),
      );
      batches.push(...page.batches);
      pageToken = page.nextPageToken;
    } while (pageToken && !first && batches.length < MOST_CHILDREN);
    return { batches, more: pageToken !== "" };
  }
}
