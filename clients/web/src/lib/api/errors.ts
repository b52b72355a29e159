// Errors in words: the server's sentence, and what its details say about fields, states and when to try again.
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb";
import type { Status } from "../../gen/google/rpc/status_pb";
import { millis } from "./time";

/** What is wrong with one field of a request. */
export interface FieldProblem {
  /** The path as in the contract: `spec.task.pipe`. */
  readonly field: string;
  readonly description: string;
}

/** An error, as it is shown. */
export interface Problem {
  readonly code: Code;
  /** A sentence; never empty. */
  readonly message: string;
  /** The server's reason for programs; may be empty. */
  readonly reason: string;
  readonly fields: readonly FieldProblem[];
  /** What the state of things does not allow, in sentences that `message` does not contain. */
  readonly preconditions: readonly string[];
  /** More about the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long the server asks to wait, in ms, if it does. */
  readonly retryAfter: number | undefined;
}

const INSTEAD: Partial<Record<Code, string>> = {
  [Code.Canceled]: "The call was cancelled.",
  [Code.DeadlineExceeded]: "The server did not answer in time.",
  [Code.Unavailable]: "The server cannot be reached.",
  [Code.Unimplemented]: "This server does not support this call.",
  [Code.NotFound]: "It does not exist.",
};

/** What browsers say when there is no answer, each in its own words. */
const UNREACHABLE =
  /failed to fetch|networkerror|load failed|network error|terminated|socket hang up|err_(network|connection|incomplete)/i;

export function problemOf(thrown: unknown): Problem {
  const error = ConnectError.from(thrown, isUnreachable(thrown) ? Code.Unavailable : Code.Unknown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retry = error.findDetails(RetryInfoSchema)[0];
  const said = error.rawMessage.trim();
  const unreachable = UNREACHABLE.test(said);
  const code = unreachable ? Code.Unavailable : error.code;
  const message =
    unreachable || !said ? (INSTEAD[code] ?? `The call failed (${Code[code] ?? code}).`) : said;
  return {
    code,
    message: sentence(message),
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) =>
        bad.fieldViolations.map(({ field, description }) => ({ field, description })),
      ),
    preconditions: error
      .findDetails(PreconditionFailureSchema)
      .flatMap((failure) => failure.violations.map((violation) => violation.description))
      .filter((text) => text && !message.includes(text)),
    retryAfter: retry?.retryDelay ? millis(retry.retryDelay) : undefined,
  };
}

/** All that a problem says, in one line. */
export function inWords(problem: Problem): string {
  const fields = problem.fields.filter(({ description }) => !problem.message.includes(description));
  return [
    problem.message,
    ...problem.preconditions.map(sentence),
    ...fields.map(({ field, description }) => `${field}: ${description}`),
  ].join(" ");
}

/** The reason for programs in the status of one part of a call; empty if there is none. */
export function reasonOf({ details }: Status): string {
  return details.map((detail) => anyUnpack(detail, ErrorInfoSchema)?.reason).find(Boolean) ?? "";
}

/** Whether somebody else changed a resource after this page read it: a change with its etag was refused. */
export function isOvertaken({ code, reason }: Problem): boolean {
  return code === Code.Aborted && reason === "ETAG_MISMATCH";
}

/** Whether the same call may well succeed later. */
export function isPassing(problem: Problem): boolean {
  switch (problem.code) {
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Aborted:
    case Code.ResourceExhausted:
    case Code.Internal:
    case Code.Unknown:
    case Code.Canceled:
      return true;
    default:
      return problem.retryAfter !== undefined;
  }
}

function isUnreachable(thrown: unknown): boolean {
  return thrown instanceof TypeError;
}

function sentence(text: string): string {
  // A sentence that begins with the path of a field is left as it is.
  const upper = /^[a-z]+\b(?![._])/.test(text)
    ? text.charAt(0).toUpperCase() + text.slice(1)
    : text;
  return /[.!?:]$/.test(upper) ? upper : `${upper}.`;
}
