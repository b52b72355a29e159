import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb";
import {
  JobService,
  type WatchJobRequest,
  type WatchJobResponse,
} from "../../gen/headway/v1/job_service_pb";
import { makeApi } from "./client";
import { BOOKMARK, Stream, backoff, realClock, type Clock, type Phase } from "./stream";
import { duration } from "./time";

type Answer = (
  request: WatchJobRequest,
  signal: AbortSignal,
) => AsyncIterable<{ resumeToken: string; job?: { revision: bigint } }>;

/** A stream of a job, answered by these, one connection after the other. */
function follow(answers: Answer[], clock: Clock = realClock, ends = true) {
  const asked: string[] = [];
  const phases: Phase[] = [];
  const revisions: bigint[] = [];
  const api = makeApi(
    createRouterTransport(({ service }) => {
      service(JobService, {
        watchJob: (request, context) => {
          asked.push(request.resumeToken);
          const answer = answers.shift();
          if (!answer) throw new ConnectError("no more", Code.PermissionDenied);
          return answer(request, context.signal);
        },
      });
    }),
  );
  const stream = new Stream<WatchJobResponse>(
    {
      ends,
      open: (resumeToken, signal) =>
        api.watchJob({ name: "partitions/p/jobs/j", resumeToken }, { signal }),
      token: ({ resumeToken }) => resumeToken,
      message: ({ job }) => {
        if (job) revisions.push(job.revision);
      },
      phase: (phase) => phases.push(phase),
    },
    clock,
  );
  return { stream, asked, phases, revisions, kinds: () => phases.map(({ kind }) => kind) };
}

/** A clock that does not wait, and remembers for how long it should have. */
function quick(): Clock & { readonly waited: number[] } {
  const waited: number[] = [];
  return {
    waited,
    now: () => Date.now(),
    random: () => 1,
    sleep: async (ms) => void waited.push(ms),
  };
}

async function* say(
  ...revisions: bigint[]
): AsyncIterable<{ resumeToken: string; job: { revision: bigint } }> {
  for (const revision of revisions) yield { resumeToken: `at ${revision}`, job: { revision } };
}

function lose(error: ConnectError, ...revisions: bigint[]): Answer {
  return async function* () {
    yield* say(...revisions);
    throw error;
  };
}

describe("a stream", () => {
  it("goes on with the token of its last message, and ends with OK", async () => {
    const seen = follow(
      [lose(new ConnectError("bye", Code.Unavailable), 1n, 2n), () => say(3n)],
      quick(),
    );
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("ended"));
    expect(seen.asked).toEqual(["", "at 2"]);
    expect(seen.revisions).toEqual([1n, 2n, 3n]);
    expect(seen.kinds()).toEqual(["connecting", "live", "waiting", "connecting", "live", "ended"]);
  });

  it("waits as long as the server asks, and longer each time", async () => {
    const clock = quick();
    const later = new ConnectError("later", Code.Unavailable, undefined, [
      { desc: RetryInfoSchema, value: { retryDelay: duration(7_500) } },
    ]);
    const bye = new ConnectError("bye", Code.Unavailable);
    const seen = follow([lose(later), lose(bye), lose(bye), () => say(1n)], clock);
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("ended"));
    expect(clock.waited).toEqual([7_500, 500, 1_000]);
  });

  it("stops where trying again is of no use, with the reason", async () => {
    const seen = follow(
      [lose(new ConnectError("there is no such job", Code.NotFound), 1n)],
      quick(),
    );
    await vi.waitFor(() =>
      expect(seen.phases.at(-1)).toMatchObject({
        kind: "refused",
        problem: { message: "There is no such job." },
      }),
    );
    expect(seen.asked).toHaveLength(1);
  });

  it("starts again when its token is refused", async () => {
    const seen = follow(
      [
        lose(new ConnectError("bye", Code.Unavailable), 1n),
        lose(new ConnectError("what token?", Code.InvalidArgument)),
        () => say(1n),
      ],
      quick(),
    );
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("ended"));
    expect(seen.asked).toEqual(["", "at 1", ""]);
  });

  it("takes OK for a loss where a stream never ends by itself", async () => {
    const seen = follow(
      [() => say(1n), lose(new ConnectError("no", Code.PermissionDenied))],
      quick(),
      false,
    );
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("refused"));
    expect(seen.asked).toEqual(["", "at 1"]);
  });

  it("tries again at once when it is told to", async () => {
    const seen = follow([
      lose(
        new ConnectError("bye", Code.Unavailable, undefined, [
          { desc: RetryInfoSchema, value: { retryDelay: duration(600_000) } },
        ]),
      ),
      () => say(1n),
    ]);
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("waiting"));
    seen.stream.now();
    await vi.waitFor(() => expect(seen.kinds().at(-1)).toBe("ended"));
  });
});

describe("the watch over silence", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Says one thing, and then nothing until the connection is given up. */
  const silent: Answer = async function* (_, signal) {
    yield* say(1n);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };

  it("says that the stream is behind, and then takes it for lost", async () => {
    const seen = follow([silent, () => say(2n)]);
    await vi.advanceTimersByTimeAsync(2 * BOOKMARK);
    expect(seen.kinds().at(-1)).toBe("live");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(seen.kinds().at(-1)).toBe("behind");
    await vi.advanceTimersByTimeAsync(2 * BOOKMARK + 1_000);
    expect(seen.kinds()).toContain("waiting");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(seen.asked).toEqual(["", "at 1"]);
    expect(seen.kinds().at(-1)).toBe("ended");
  });

  it("lets go while it is paused, and goes on with its token", async () => {
    const seen = follow([silent, () => say(2n)]);
    await vi.advanceTimersByTimeAsync(100);
    seen.stream.pause();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen.kinds().at(-1)).toBe("paused");
    expect(seen.asked).toEqual([""]);
    seen.stream.resume();
    await vi.advanceTimersByTimeAsync(100);
    expect(seen.asked).toEqual(["", "at 1"]);
    expect(seen.revisions).toEqual([1n, 2n]);
  });
});

it("waits at most ten seconds, at least half of it not by chance", () => {
  expect(backoff(1, 0)).toBe(125);
  expect(backoff(1, 1)).toBe(250);
  expect(backoff(4, 1)).toBe(2_000);
  expect(backoff(1_000, 0)).toBe(5_000);
  expect(backoff(1_000, 1)).toBe(10_000);
});
