// Running a schedule now.
import { Code } from "@connectrpc/connect";
import type { Job } from "../../gen/headway/v1/job_pb";
import { randomId, unary, type Api } from "../api/client";
import { problemOf } from "../api/errors";

/**
 * Makes the job of a schedule now. The call is repeated once where it is unknown what became of it;
 * by its request id the server then answers with the job of the first call, if there is one.
 */
export async function runSchedule(api: Api, name: string): Promise<Job> {
  const request = { name, requestId: randomId() };
  try {
    return await api.runSchedule(request, unary());
  } catch (thrown) {
    const { code } = problemOf(thrown);
    if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw thrown;
    return api.runSchedule(request, unary());
  }
}
