import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb";
import { BatchSchema } from "../../../gen/headway/v1/batch_pb";
import { EventService } from "../../../gen/headway/v1/event_pb";
import { JobState } from "../../../gen/headway/v1/job_pb";
import { JobService } from "../../../gen/headway/v1/job_service_pb";
import { makeApi } from "../../api/client";
import { BatchesView } from "./batches.svelte";
import { EventsView } from "./events.svelte";
import { JobView } from "./job.svelte";

const NAME = "partitions/p/jobs/j";
const views: { stop(): void }[] = [];

afterEach(() => {
  for (const view of views.splice(0)) view.stop();
});

function opened<View extends { stop(): void }>(view: View): View {
  views.push(view);
  return view;
}

function apiOf(
  implementation: Partial<ServiceImpl<typeof JobService> & ServiceImpl<typeof EventService>>,
) {
  return makeApi(
    createRouterTransport(({ service }) => {
      service(JobService, implementation);
      service(EventService, implementation);
    }),
  );
}

/** Until the caller goes. */
function forever(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

describe("the events of a job", () => {
  it("are all that are kept, and then each that happens, newest first", async () => {
    const asked: string[] = [];
    const api = apiOf({
      listEvents: ({ after }) => {
        asked.push(`list ${after}`);
        return after === ""
          ? { events: [{ cursor: "1" }, { cursor: "2" }], nextCursor: "2", nextPageToken: "more" }
          : { events: [{ cursor: "3" }], nextCursor: "3" };
      },
      watchEvents: async function* ({ resumeToken }, { signal }) {
        asked.push(`watch ${resumeToken}`);
        yield { events: [{ cursor: "4" }], resumeToken: "4" };
        await forever(signal);
      },
    });
    const happened: string[] = [];
    const view = opened(new EventsView(api, NAME, ({ cursor }) => happened.push(cursor)));
    await vi.waitFor(() =>
      expect(view.events.map(({ cursor }) => cursor)).toEqual(["4", "3", "2", "1"]),
    );
    expect(asked).toEqual(["list ", "list 2", "watch 3"]);
    expect(happened).toEqual(["1", "2", "3", "4"]);
    expect(view.cut).toBe(false);
  });

  it("begin with the earliest when a cursor has expired, and say that some are missing", async () => {
    const expired = new ConnectError("too old", Code.OutOfRange, undefined, [
      {
        desc: ErrorInfoSchema,
        value: {
          reason: "CURSOR_EXPIRED",
          domain: "headway.dev",
          metadata: { earliest_cursor: "70" },
        },
      },
    ]);
    const api = apiOf({
      listEvents: ({ after }) => {
        if (after !== "70") throw expired;
        return { events: [{ cursor: "71" }], nextCursor: "71" };
      },
      watchEvents: async function* (_, { signal }) {
        yield { resumeToken: "71" };
        await forever(signal);
      },
    });
    const view = opened(new EventsView(api, NAME, () => {}));
    await vi.waitFor(() => expect(view.events.map(({ cursor }) => cursor)).toEqual(["71"]));
    expect(view.cut).toBe(true);
  });
});

describe("the tree of batches", () => {
  const batch = (number: number, batchCount = 0n) =>
    create(BatchSchema, {
      name: `${NAME}/batches/${number}`,
      parentBatch: `${NAME}/batches/1`,
      itemsKnown: BigInt(number),
      batchCount,
    });

  it("loads at most 500 children, and those of the largest", async () => {
    let now = 0;
    let most = 0;
    const asked: string[] = [];
    const api = apiOf({
      listBatches: async ({ parent, parentBatch, pageSize, pageToken }) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 1));
        now -= 1;
        expect(parent).toBe(NAME);
        if (!parentBatch) return { batches: [batch(1, 900n)] };
        if (parentBatch !== `${NAME}/batches/1`) {
          asked.push(parentBatch);
          return { batches: [] };
        }
        const from = Number(pageToken || 2);
        return {
          batches: Array.from({ length: pageSize }, (_, index) => batch(from + index, 1n)),
          nextPageToken: String(from + pageSize),
        };
      },
    });
    const view = opened(new BatchesView(api, NAME));
    await vi.waitFor(() => expect(view.loaded).toBe(true));
    expect(view.childrenOf(`${NAME}/batches/1`)).toMatchObject({
      more: true,
      batches: { length: 500 },
    });
    expect(asked.toSorted()).toEqual(
      Array.from({ length: 24 }, (_, index) => `${NAME}/batches/${501 - index}`).toSorted(),
    );
    expect(most).toBeLessThanOrEqual(4);
    view.zoom(batch(501, 1n));
    expect(view.path.map(({ name }) => name)).toEqual([`${NAME}/batches/1`, `${NAME}/batches/501`]);
    view.out();
    expect(view.path).toHaveLength(1);
  });
});

describe("a job that is looked at", () => {
  it("is gone when its watch says so", async () => {
    const api = apiOf({
      getJob: () => ({ name: NAME, uid: "u", state: JobState.ACTIVE, revision: 1n }),
      getJobHistory: () => ({}),
      watchJob: async function* () {
        yield {
          job: { name: NAME, uid: "u", state: JobState.ACTIVE, revision: 2n },
          resumeToken: "2",
        };
        throw new ConnectError("it was deleted", Code.NotFound);
      },
    });
    const view = opened(new JobView(api, NAME));
    await vi.waitFor(() => expect(view.gone).toBe(true));
    expect(view.job?.revision).toBe(2n);
  });

  it("is watched again once somebody else retries it", async () => {
    let retried = false;
    const watched: boolean[] = [];
    const state = () => ({
      name: NAME,
      uid: "u",
      state: retried ? JobState.ACTIVE : JobState.FAILED,
      revision: retried ? 6n : 5n,
      run: retried ? 1 : 0,
      settledTime: { seconds: 1n },
    });
    const api = apiOf({
      getJob: () => state(),
      getJobHistory: () => ({}),
      watchJob: async function* (_, { signal }) {
        watched.push(retried);
        yield { job: state(), resumeToken: "t" };
        if (retried) await forever(signal);
      },
    });
    const view = opened(new JobView(api, NAME));
    await vi.waitFor(() => expect(view.followed.phase.kind).toBe("ended"));
    view.happened(5n);
    retried = true;
    view.happened(6n);
    await vi.waitFor(() => expect(view.job?.state).toBe(JobState.ACTIVE));
    await vi.waitFor(() => expect(watched).toEqual([false, true]));
  });
});
