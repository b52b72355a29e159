// The pipes of a partition, and what their rates were while the page was open.
import type { Pipe } from "../../gen/headway/v1/pipe_pb";
import { unary, type Api } from "../api/client";
import { partitionName } from "../api/names";
import { Listing, allPages } from "./page/listing.svelte";

const EVERY = 2_000;
const PAGE = 100;
/** Rates kept of each pipe: two minutes. */
const RATES = 60;

export class PipesView extends Listing<Pipe> {
  /** Items per second by the name of the pipe, the newest last. */
  rates: ReadonlyMap<string, readonly number[]> = $state.raw(new Map());

  constructor(api: Api, partition: string) {
    super(async () => {
      const ask = (pageToken: string) =>
        api.listPipes({ parent: partitionName(partition), pageSize: PAGE, pageToken }, unary());
      const pipes = await allPages(ask, (page) => page.pipes);
      this.rates = new Map(
        pipes.map(({ name, itemsPerSecond }) => [
          name,
          [...(this.rates.get(name) ?? []), itemsPerSecond].slice(-RATES),
        ]),
      );
      return pipes;
    }, EVERY);
  }
}
