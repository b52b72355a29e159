// What happened, said once: for a moment at the edge of the page, and to screen readers.

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly failed: boolean;
}

/** How long a notice of success stays, in ms. One of failure stays until it is closed. */
const STAYS = 5_000;
const MOST = 4;

class Notices {
  shown: readonly Notice[] = $state.raw([]);
  private next = 0;

  say(text: string, failed = false): void {
    const id = this.next++;
    this.shown = [...this.shown, { id, text, failed }].slice(-MOST);
    if (!failed) setTimeout(() => this.close(id), STAYS);
  }

  close(id: number): void {
    this.shown = this.shown.filter((notice) => notice.id !== id);
  }
}

export const notices = new Notices();
