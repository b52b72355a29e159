// The events of a job: those that are kept, and then each that happens.
import type { AuditEvent } from "../../../gen/headway/v1/event_pb";
import { unary, type Api } from "../../api/client";
import { problemOf } from "../../api/errors";
import { BOOKMARK } from "../../api/stream";
import { duration } from "../../api/time";
import { connection, type Followed } from "../page/connection.svelte";

/** Events kept on the page at most: the newest. */
const MOST = 500;
const PAGE = 200;

interface Batch {
  readonly events: readonly AuditEvent[];
  readonly cursor: string;
  /** Whether some before these are not kept any more. */
  readonly lost?: boolean;
}

export class EventsView {
  /** Newest first. */
  events: readonly AuditEvent[] = $state.raw([]);
  /** Whether there were older ones than those shown. */
  cut = $state(false);
  /** Whether those that are kept are shown. */
  listed = $state(false);
  readonly followed: Followed;

  constructor(
    private readonly api: Api,
    private readonly parent: string,
    happened: (event: AuditEvent) => void,
  ) {
    this.followed = connection.follow<Batch>(
      {
        open: (token, signal) => this.read(token, signal),
        token: ({ cursor }) => cursor,
        message: ({ events, lost }) => {
          if (lost) this.cut = true;
          if (!events.length) return;
          const all = [...events.toReversed(), ...this.events];
          this.cut ||= all.length > MOST;
          this.events = all.slice(0, MOST);
          for (const event of events) happened(event);
        },
      },
      true,
    );
  }

  stop(): void {
    this.followed.stop();
  }

  private async *read(token: string, signal: AbortSignal): AsyncIterable<Batch> {
    let after = token;
    for (let more = true; more;) {
      try {
        const page = await this.api.listEvents(
          { parent: this.parent, after, pageSize: PAGE },
          unary(signal),
        );
        after = page.nextCursor;
        more = page.nextPageToken !== "";
        yield { events: page.events, cursor: after };
      } catch (thrown) {
        const problem = problemOf(thrown);
        const earliest = problem.metadata.earliest_cursor;
        if (problem.reason !== "CURSOR_EXPIRED" || !earliest || earliest === after) throw thrown;
        after = earliest;
        yield { events: [], cursor: after, lost: true };
      }
    }
    this.listed = true;
    for await (const { events, resumeToken } of this.api.watchEvents(
      { parent: this.parent, resumeToken: after, bookmarkInterval: duration(BOOKMARK) },
      { signal },
    )) {
      yield { events, cursor: resumeToken };
    }
  }
}
