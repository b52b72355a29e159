// How well this page hears from the server, over all of its streams, in words.
import type { Problem } from "../../api/errors";
import { Stream, realClock, type Phase, type Source } from "../../api/stream";

/** Streams of a page nobody sees are let go after so long, in ms. */
const HIDDEN_FOR = 5 * 60_000;
/** By HTTP/1.1 a browser has six connections to a server, and each stream of each tab holds one. */
const HIDDEN_FOR_WITH_FEW_CONNECTIONS = 5_000;

/** What is told to stop, to wait, or to go on. */
export interface Listening {
  /** When something was last heard, in ms since 1970. */
  readonly heard: number;
  stop(): void;
  now(): void;
  pause(): void;
  resume(): void;
}

/** A stream and what it is doing, for as long as a page has it open. */
export class Followed {
  phase = $state.raw<Phase>({ kind: "connecting" });
  /** When the shown data was last known to be right, in ms since 1970; 0 if never. */
  asOf = $state.raw(0);
  /** Whether what is shown may be out of date. */
  readonly stale = $derived(
    this.asOf > 0 && this.phase.kind !== "live" && this.phase.kind !== "ended",
  );
  private readonly stream: Listening;

  constructor(
    start: (phase: (phase: Phase) => void) => Listening,
    private readonly forget: (followed: Followed) => void,
    /** Whether the page is live without it: a refusal is shown in its place only. */
    readonly minor: boolean,
  ) {
    this.stream = start((phase) => {
      // Silence begins where the last message was, and not where it was noticed.
      if (this.phase.kind === "live" || phase.kind === "live")
        this.asOf = this.stream?.heard || Date.now();
      this.phase = phase;
    });
  }

  stop(): void {
    this.stream.stop();
    this.forget(this);
  }
  now(): void {
    this.stream.now();
  }
  pause(): void {
    this.stream.pause();
  }
  resume(): void {
    this.stream.resume();
  }
}

export type Health =
  "idle" | "live" | "connecting" | "reconnecting" | "behind" | "offline" | "paused" | "refused";

class Connection {
  private open = $state.raw<readonly Followed[]>([]);
  private network = $state(globalThis.navigator?.onLine ?? true);

  /** The state of the worst stream. */
  readonly health: Health = $derived.by(() => {
    const kinds = this.open
      .filter(({ phase, minor }) => !(minor && phase.kind === "refused"))
      .map(({ phase }) => phase.kind);
    if (kinds.includes("waiting")) return this.network ? "reconnecting" : "offline";
    if (kinds.includes("refused")) return "refused";
    if (kinds.includes("behind")) return "behind";
    if (kinds.includes("connecting"))
      return this.open.some(({ asOf }) => asOf > 0) ? "reconnecting" : "connecting";
    if (kinds.includes("paused")) return "paused";
    return kinds.includes("live") ? "live" : "idle";
  });

  /** When the next attempt is, in ms since 1970, if one is waited for. */
  readonly nextAttempt: number | undefined = $derived.by(() => {
    const times = this.open.flatMap(({ phase }) => (phase.kind === "waiting" ? [phase.until] : []));
    return times.length ? Math.min(...times) : undefined;
  });

  /** What the server or the browser said, if something is wrong. */
  readonly trouble: string = $derived.by(() => {
    for (const { phase, minor } of this.open) {
      if (phase.kind === "waiting" || (phase.kind === "refused" && !minor))
        return phase.problem.message;
    }
    return "";
  });

  /** Since when what is shown may be out of date. */
  readonly asOf: number = $derived(
    Math.min(...this.open.filter(({ stale }) => stale).map(({ asOf }) => asOf)),
  );

  /** Follows a source until it is stopped. */
  follow<Message>(
    source: Omit<Source<Message>, "phase"> & { refused?(problem: Problem): void },
    minor = false,
  ): Followed {
    const followed = new Followed(
      (phase) => {
        const told = (now: Phase): void => {
          phase(now);
          if (now.kind === "refused") source.refused?.(now.problem);
        };
        return new Stream<Message>({ ...source, phase: told }, realClock);
      },
      (gone) => (this.open = this.open.filter((other) => other !== gone)),
      minor,
    );
    this.open = [...this.open, followed];
    return followed;
  }

  /** The same for what is asked for again and again. */
  poll(start: (phase: (phase: Phase) => void) => Listening): Followed {
    const followed = new Followed(
      start,
      (gone) => (this.open = this.open.filter((other) => other !== gone)),
      false,
    );
    this.open = [...this.open, followed];
    return followed;
  }

  now(): void {
    for (const followed of this.open) followed.now();
  }

  /** Begins to look after the page's visibility and the network. */
  attend(): void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) {
        timer = setTimeout(
          () => this.open.forEach((followed) => followed.pause()),
          hasFewConnections() ? HIDDEN_FOR_WITH_FEW_CONNECTIONS : HIDDEN_FOR,
        );
      } else {
        this.open.forEach((followed) => followed.resume());
        this.now();
      }
    });
    window.addEventListener("online", () => {
      this.network = true;
      this.now();
    });
    window.addEventListener("offline", () => (this.network = false));
  }
}

function hasFewConnections(): boolean {
  const [page] = performance.getEntriesByType("navigation");
  return page instanceof PerformanceNavigationTiming && page.nextHopProtocol === "http/1.1";
}

export const connection = new Connection();
