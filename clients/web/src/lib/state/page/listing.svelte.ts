// A list without a stream of its own, asked for again and again while the page is seen.
import { connection, type Followed } from "./connection.svelte";
import { Poll } from "./poll";

/** Items of a list that are shown at most. */
export const MOST = 1_000;

export class Listing<Item> {
  items: readonly Item[] = $state.raw([]);
  loaded = $state(false);
  readonly followed: Followed;

  constructor(read: () => Promise<readonly Item[]>, every = 5_000) {
    const take = async (): Promise<void> => {
      this.items = await read();
      this.loaded = true;
    };
    this.followed = connection.poll((phase) => new Poll(take, phase, every));
  }

  stop(): void {
    this.followed.stop();
  }

  /** Asks now, because something was changed here. */
  again(): void {
    this.followed.now();
  }
}

/** What all pages have, up to `MOST` items. */
export async function allPages<Page extends { readonly nextPageToken: string }, Item>(
  ask: (pageToken: string) => Promise<Page>,
  of: (page: Page) => readonly Item[],
): Promise<readonly Item[]> {
  const items: Item[] = [];
  let token = "";
  do {
    const page = await ask(token);
    items.push(...of(page));
    token = page.nextPageToken;
  } while (token && items.length < MOST);
  return items;
}
