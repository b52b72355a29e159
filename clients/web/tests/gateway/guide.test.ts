// What docs/API.md shows for pages is what runs here: its snippets are taken from the page, bundled, and run in a page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";

import { api } from "../lib/api.ts";
import { launch } from "../lib/browser.ts";
import { Server } from "../lib/server.ts";
import { until } from "../lib/until.ts";

const PARENT = "partitions/default";
const GENERATED = join(import.meta.dirname, "../../src/gen");

interface Guide {
  follow: (
    server: string,
    name: string,
    show: (done: bigint, known: bigint) => void,
  ) => Promise<void>;
  ids: (
    server: string,
    partition: string,
    signal: AbortSignal,
    show: (names: string[]) => void,
  ) => Promise<void>;
}

declare const guide: Guide;
declare const shown: string[];
declare const names: { now: string[]; ended: boolean; leave: AbortController };

let server: Server;
let browser: Browser;
let page: Page;

/** The snippets as one bundle that puts what they export into `guide`. */
async function bundle(): Promise<string> {
  const text = readFileSync(join(import.meta.dirname, "../../../../docs/API.md"), "utf8");
  const snippets = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
  assert.equal(snippets.length, 2);
  const built = await build({
    stdin: {
      contents: snippets.map((_, number) => `export * from 'snippet-${number}';`).join("\n"),
      resolveDir: import.meta.dirname,
    },
    plugins: [
      {
        name: "snippets",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^snippet-/ }, ({ path }) => ({ path, namespace: "snippet" }));
          onResolve({ filter: /^\.\/gen\//, namespace: "snippet" }, ({ path }) => ({
            path: join(GENERATED, path.slice("./gen/".length)).replace(/\.js$/, ".ts"),
          }));
          onLoad({ filter: /.*/, namespace: "snippet" }, ({ path }) => ({
            contents: snippets[Number(path.slice("snippet-".length))]!,
            loader: "ts",
            resolveDir: import.meta.dirname,
          }));
        },
      },
    ],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "guide",
    target: "es2022",
    // A declaration alone would not be seen by other scripts of the page.
    footer: { js: "globalThis.guide = guide;" },
  });
  return built.outputFiles[0]!.text;
}

before(async () => {
  [server, browser] = await Promise.all([Server.start(), launch()]);
  const context = await browser.newContext();
  await context.addInitScript({ content: await bundle() });
  page = await context.newPage();
  // The server's own origin, as the dashboard has it.
  await page.goto(server.url);
});

after(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

async function create(jobId: string, gate: string): Promise<string> {
  const payload = { number: "{{item}}", gate: server.gate(gate).path };
  const batch = {
    splitter: "range",
    definition: { case: "json", value: json({ from: 0, to: 4 }) } as const,
    item: { pipe: "work", payloadForm: { case: "payload", value: json(payload) } as const },
  };
  const spec = { work: { case: "batch", value: batch } as const };
  const { name } = await api(server.url).createJob({ parent: PARENT, jobId, spec });
  return name;
}

/** A `google.protobuf.Value`. */
function json(value: Record<string, string | number>) {
  const fields = Object.entries(value).map(([key, field]) => {
    const kind =
      typeof field === "number"
        ? ({ case: "numberValue", value: field } as const)
        : ({ case: "stringValue", value: field } as const);
    return [key, { kind }] as const;
  });
  return { kind: { case: "structValue", value: { fields: Object.fromEntries(fields) } } } as const;
}

test("a job is followed to its end", async () => {
  const name = await create("followed", "followed");
  await page.evaluate(
    ([url, name]) => {
      Object.assign(globalThis, { shown: [] });
      void guide
        .follow(url!, name!, (done, known) => shown.push(`${done}/${known}`))
        .then(() => shown.push("ended"));
    },
    [server.url, name],
  );
  server.gate("followed").open(4);
  const all = await until("the end", async () => {
    const all = await page.evaluate(() => shown);
    return all.includes("ended") && all;
  });
  assert.deepEqual(all.slice(-2), ["4/4", "ended"]);
});

test("the jobs of a partition are followed until the page leaves", async () => {
  const first = await create("first", "partition");
  await page.evaluate((url) => {
    Object.assign(globalThis, { names: { now: [], ended: false, leave: new AbortController() } });
    void guide
      .ids(url, "default", names.leave.signal, (now) => Object.assign(names, { now }))
      .catch(() => Object.assign(names, { ended: true }));
  }, server.url);
  const known = (what: string, is: (now: string[]) => boolean) =>
    until(what, async () => is(await page.evaluate(() => names.now)));
  await known("the listing", (now) => now.includes(first));
  const second = await create("second", "partition");
  await known("a new job", (now) => now.includes(second));
  await api(server.url).deleteJob({ name: first });
  await known("the job to be gone", (now) => !now.includes(first) && now.includes(second));
  await page.evaluate(() => names.leave.abort());
  await until("the stream to end", () => page.evaluate(() => names.ended));
});
