// The API from pages: both grpc-web libraries that there are, from another origin, over a real server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { build } from "esbuild";
import type { Browser, BrowserContext, Page } from "playwright-core";

import { launch } from "../lib/browser.ts";
import { Server } from "../lib/server.ts";
import { until } from "../lib/until.ts";
import type * as Gateway from "./page.ts";
import type { Answer, Library, Method, Received } from "./page.ts";

declare const gateway: typeof Gateway;

const LIBRARIES: Library[] = ["connect-web", "grpc-web", "grpc-web-text"];
/** The official library shows what a stream brings in text mode only; in binary mode it waits for the end. */
const STREAMING: Library[] = ["connect-web", "grpc-web-text"];
const PARENT = "partitions/default";

let listed: HttpServer;
let unlisted: HttpServer;
let server: Server;
let browser: Browser;
let context: BrowserContext;
let script: string;
let page: Page;

/** Serves empty pages: an origin of its own. */
async function origin(): Promise<HttpServer> {
  const pages = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>a page of somebody else</title>");
  });
  await once(pages.listen(0, "127.0.0.1"), "listening");
  return pages;
}

const url = (pages: HttpServer) => `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;

before(async () => {
  [listed, unlisted, browser] = await Promise.all([origin(), origin(), launch()]);
  server = await Server.start({ HEADWAY_WEB_ORIGINS: url(listed), HEADWAY_MAX_WATCHES: "1" });
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, "page.ts")],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "gateway",
    target: "es2022",
    // A declaration alone would not be seen by other scripts of the page.
    footer: { js: "globalThis.gateway = gateway;" },
  });
  script = bundle.outputFiles[0]!.text;
});

after(async () => {
  await browser?.close();
  listed?.close();
  unlisted?.close();
  await server?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  context = await browser.newContext();
  // Not a script of the page, so that no policy of the page forbids it.
  await context.addInitScript({ content: script });
  page = await context.newPage();
  await page.goto(url(listed));
});

afterEach(async () => {
  await context.close();
});

async function call(library: Library, name: Method, request: JsonValue): Promise<Answer> {
  const what = [server.url, library, name, request] as const;
  return await page.evaluate(
    (what) => gateway.call(...(what as [string, Library, Method, JsonValue])),
    what as never,
  );
}

async function open(library: Library, name: Method, request: JsonValue): Promise<number> {
  const what = [server.url, library, name, request] as const;
  return await page.evaluate(
    (what) => gateway.open(...(what as [string, Library, Method, JsonValue])),
    what as never,
  );
}

const received = (stream: number): Promise<Received> =>
  page.evaluate((stream) => gateway.received(stream), stream);
const cancel = (stream: number): Promise<void> =>
  page.evaluate((stream) => gateway.cancel(stream), stream);

/** Creates a job of numbers, which wait for this gate. */
async function create(
  library: Library,
  items: number,
  gate: string,
): Promise<JsonObject & { name: string }> {
  const spec = {
    displayName: "Grüße aus dem Browser",
    batch: {
      splitter: "range",
      json: { from: 0, to: items },
      item: { pipe: "work", payload: { number: "{{item}}", gate: server.gate(gate).path } },
    },
  };
  const { message, error } = await call(library, "createJob", { parent: PARENT, spec });
  assert.equal(error, undefined);
  return message as JsonObject & { name: string };
}

/** Opens a watch until it brought anything or was refused, and gives it up. */
async function attempt(request: JsonValue): Promise<Received> {
  const stream = await open("connect-web", "watchJob", request);
  const answer = await until("an answer", async () => {
    const now = await received(stream);
    return (now.ended || now.messages.length > 0) && now;
  });
  await cancel(stream);
  return answer;
}

interface State {
  job?: { state: string; revision: string; progress: { percent?: number; itemsDone?: string } };
  resumeToken: string;
}

const states = (stream: Received) => stream.messages as unknown as State[];

for (const library of LIBRARIES) {
  describe(library, () => {
    test("a call brings its answer", async () => {
      const job = await create(library, 3, `unary-${library}`);
      const { message } = await call(library, "getJob", { name: job.name });
      const got = message as { uid: string; spec: { displayName: string } };
      assert.equal(got.uid, job.uid);
      assert.equal(got.spec.displayName, "Grüße aus dem Browser");
    });

    test("every service answers", async () => {
      const calls: [Method, JsonObject][] = [
        ["listJobs", { parent: PARENT }],
        ["listSchedules", { parent: PARENT }],
        ["listJobTypes", {}],
        ["getPartition", { name: PARENT }],
        ["listPipes", { parent: PARENT }],
        ["listEvents", { parent: PARENT }],
      ];
      for (const [name, request] of calls) {
        assert.equal((await call(library, name, request)).error, undefined, name);
      }
    });

    test("an error keeps its details", async () => {
      const invalid = await call(library, "createJob", { parent: PARENT, jobId: "a/b", spec: {} });
      assert.equal(invalid.error?.code, "InvalidArgument");
      const { fieldViolations } = invalid.error.details["google.rpc.BadRequest"] as {
        fieldViolations: { field: string; description: string }[];
      };
      const fields = fieldViolations.map(({ field }) => field);
      assert.ok(fields.includes("job_id"), fields.join());
      assert.ok(fieldViolations.every(({ description }) => description.length > 0));

      const missing = await call(library, "getJob", { name: `${PARENT}/jobs/nothing` });
      assert.equal(missing.error?.code, "NotFound");
      const info = missing.error.details["google.rpc.ErrorInfo"] as {
        reason: string;
        domain: string;
      };
      assert.equal(`${info.domain} ${info.reason}`, "headway.dev JOB_NOT_FOUND");
      const resource = missing.error.details["google.rpc.ResourceInfo"] as { resourceName: string };
      assert.equal(resource.resourceName, `${PARENT}/jobs/nothing`);

      const job = await create(library, 3, `errors-${library}`);
      const early = await call(library, "retryJob", { name: job.name });
      assert.equal(early.error?.code, "FailedPrecondition");
      const { violations } = early.error.details["google.rpc.PreconditionFailure"] as {
        violations: object[];
      };
      assert.equal(violations.length, 1);
      assert.ok(early.error.message.length > 0);
    });

    test("a stream shows a job up to its end", async () => {
      const gate = server.gate(`stream-${library}`);
      const job = await create(library, 4, `stream-${library}`);
      const stream = await open(library, "watchJob", { name: job.name, minInterval: "0s" });
      if (STREAMING.includes(library)) {
        const begun = await until("the first state", async () => {
          const now = await received(stream);
          return now.messages.length > 0 && now;
        });
        assert.equal(begun.ended, false);
        gate.open(2);
        await until("half of it", async () => {
          return states(await received(stream)).some(({ job }) => job?.progress.itemsDone === "2");
        });
      }
      gate.open(4);
      const ended = await until("the end", async () => {
        const now = await received(stream);
        return now.ended && now;
      });
      assert.equal(ended.error, undefined);
      const shown = states(ended).flatMap(({ job }) => job ?? []);
      assert.equal(shown.at(-1)?.state, "JOB_STATE_COMPLETED");
      assert.equal(shown.at(-1)?.progress.itemsDone, "4");
      const revisions = shown.map(({ revision }) => Number(revision));
      assert.deepEqual(
        revisions,
        [...new Set(revisions)].sort((a, b) => a - b),
        "revisions rise",
      );
    });

    test("a stream that is given up is closed at the server", async () => {
      const job = await create(library, 1, `given-up-${library}`);
      const watch = { name: job.name };
      let first = await open(library, "watchJob", watch);
      // The server has one place for watches, so a second one shows whether the first is open.
      const refused = await until("the first has the place", async () => {
        if ((await received(first)).ended) {
          first = await open(library, "watchJob", watch); // The second was there before it.
        }
        const { error } = await attempt(watch);
        return !(await received(first)).ended && error;
      });
      assert.equal(refused.code, "ResourceExhausted");
      assert.equal(
        (refused.details["google.rpc.ErrorInfo"] as { reason: string }).reason,
        "TOO_MANY_WATCHES",
      );
      assert.equal((await received(first)).error, undefined, "the first one has the place");

      await cancel(first);
      await until(
        "the place is free again",
        async () => (await attempt(watch)).messages.length > 0,
        1000,
      );
    });
  });
}

describe("origins", () => {
  const name = `${PARENT}/jobs/nothing`;

  for (const library of LIBRARIES) {
    test(`a page of an origin that is not listed cannot call by ${library}`, async () => {
      const refused: string[] = [];
      page.on("requestfailed", (request) => refused.push(request.url()));
      await page.goto(url(unlisted));
      const { error } = await call(library, "getJob", { name });
      assert.ok(error !== undefined && error.code !== "NotFound", "the answer came through");
      assert.deepEqual(error.details, {});
      await until("the browser refused it", () => refused.length > 0);
      assert.deepEqual(refused, [`${server.url}/headway.v1.JobService/GetJob`]);
    });

    test(`a page of the server itself may call by ${library}`, async () => {
      await page.goto(`${server.url}/`);
      const { error } = await call(library, "getJob", { name });
      assert.equal(error?.code, "NotFound");
    });
  }
});
