import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { JobSchema, JobState, type Job } from "../../../gen/headway/v1/job_pb";
import { JobService } from "../../../gen/headway/v1/job_service_pb";
import { makeApi } from "../../api/client";
import { ACTIONS, obstacle } from "../../states";
import { act, carryOut, plan } from "./actions";

function job(id: string, state: JobState, settled = false): Job {
  return create(JobSchema, {
    name: `partitions/p/jobs/${id}`,
    uid: id,
    state,
    ...(settled ? { settledTime: { seconds: 1n, nanos: 0 } } : {}),
  });
}

describe("a plan", () => {
  it("names what it does and what it leaves alone", () => {
    const selected = [
      ...Array.from({ length: 10 }, (_, index) => job(`a${index}`, JobState.ACTIVE)),
      job("w1", JobState.WAITING),
      job("w2", JobState.WAITING),
      ...Array.from({ length: 3 }, (_, index) => job(`c${index}`, JobState.COMPLETED)),
    ];
    const planned = plan("cancel", selected);
    expect(planned.does).toBe("Cancel 12 jobs: 10 active, 2 waiting.");
    expect(planned.leaves).toBe(
      "3 of the 15 selected are left alone. A completed job has ended and cannot be cancelled.",
    );
    expect(planned.jobs).toHaveLength(12);
    const mixed = [job("a", JobState.PAUSED), job("b", JobState.FAILED), job("c", JobState.FAILED)];
    expect(plan("pause", mixed).leaves).toBe(
      "3 of the 3 selected are left alone. 2 failed, 1 paused.",
    );
    expect(plan("pause", [job("x", JobState.ACTIVE)]).leaves).toBe("");
    expect(plan("retry", [job("x", JobState.COMPLETED)]).does).toBe("Retry 0 jobs.");
  });
});

it("allows in each state what the server allows", () => {
  const possible = (one: Job) => ACTIONS.filter((action) => obstacle(action, one) === undefined);
  expect(possible(job("j", JobState.WAITING))).toEqual(["pause", "cancel", "delete"]);
  expect(possible(job("j", JobState.ACTIVE))).toEqual(["pause", "cancel", "delete"]);
  expect(possible(job("j", JobState.PAUSED))).toEqual(["resume", "cancel", "delete"]);
  expect(possible(job("j", JobState.COMPLETED))).toEqual(["delete"]);
  expect(possible(job("j", JobState.FAILED))).toEqual(["retry", "delete"]);
  expect(possible(job("j", JobState.CANCELLED))).toEqual(["delete"]);
  expect(possible(job("j", JobState.CANCELLED, true))).toEqual(["retry", "delete"]);
  expect(obstacle("pause", job("j", JobState.COMPLETED))).toBe("A completed job cannot be paused.");
});

it("acts on the job that is shown, whatever has its name by now", async () => {
  const uids: string[] = [];
  const seen = ({ uid }: { readonly uid: string }) => {
    uids.push(uid);
    return {};
  };
  const api = makeApi(
    createRouterTransport(({ service }) => {
      service(JobService, {
        pauseJob: seen,
        resumeJob: seen,
        cancelJob: seen,
        retryJob: seen,
        deleteJob: seen,
      });
    }),
  );
  for (const action of ACTIONS) await act(api, action, job("shown", JobState.ACTIVE));
  expect(uids).toEqual(ACTIONS.map(() => "shown"));
});

describe("carrying out", () => {
  it("has at most six calls under way, one correlation id, and says for whom it did not work", async () => {
    let now = 0;
    let most = 0;
    const ids = new Set<string | null>();
    const api = makeApi(
      createRouterTransport(({ service }) => {
        service(JobService, {
          pauseJob: async ({ name }, context) => {
            ids.add(context.requestHeader.get("x-correlation-id"));
            most = Math.max(most, ++now);
            await new Promise((resolve) => setTimeout(resolve, 2));
            now -= 1;
            if (name.endsWith("7")) throw new ConnectError("it has ended", Code.FailedPrecondition);
            return { name, state: JobState.PAUSED };
          },
        });
      }),
    );
    const done: string[] = [];
    const refused: string[] = [];
    const jobs = Array.from({ length: 40 }, (_, index) => job(String(index), JobState.ACTIVE));
    await carryOut(api, plan("pause", jobs), {
      done: (_, answer) => done.push(answer?.name ?? ""),
      refused: ({ job: { uid }, why }) => refused.push(`${uid}: ${why}`),
    });
    expect(done).toHaveLength(36);
    expect(refused.toSorted()).toEqual([
      "17: It has ended.",
      "27: It has ended.",
      "37: It has ended.",
      "7: It has ended.",
    ]);
    expect(most).toBe(6);
    expect(ids.size).toBe(1);
    expect([...ids][0]).toMatch(/^[0-9a-f-]{36}$/);
  });
});
