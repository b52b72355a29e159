// A server that is killed and started again while somebody looks: the page says so, and goes on by itself.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { create, numbers } from "../lib/jobs.ts";
import { Site } from "../lib/site.ts";
import { until } from "../lib/until.ts";

let site: Site;

before(async () => {
  site = await Site.start();
});
after(async () => {
  await site?.[Symbol.asyncDispose]();
});
afterEach(async () => {
  await site.closePages();
});

test("the list of jobs goes on after the server was killed", async () => {
  const gate = site.server.gate("list");
  await create(site.api, "list", numbers({ count: 4, gate }, { displayName: "Outlives it" }));
  gate.open(1);
  const page = await site.open("jobs");
  await page.evaluate(() => Object.assign(globalThis, { here: true }));
  const connection = page.getByRole("status", { name: "Connection" });
  const bar = page.getByRole("row").filter({ hasText: "Outlives it" }).getByRole("progressbar");
  const shows = (value: number) =>
    until(`${value} %`, async () => Number(await bar.getAttribute("aria-valuenow")) === value);
  await shows(25);
  await connection.getByText("Live").waitFor();

  site.expectUnreachable();
  await site.server.kill();
  await connection.getByText("Reconnecting").waitFor();
  await page.getByText(/as of/).waitFor();
  assert.equal(Number(await bar.getAttribute("aria-valuenow")), 25, "what was known stays shown");

  await site.server.restart();
  await connection.getByText("Live").waitFor();
  gate.open(4);
  await shows(100);
  await page.getByText(/as of/).waitFor({ state: "detached" });
  assert.equal(
    await page.evaluate(() => (globalThis as { here?: boolean }).here),
    true,
    "it was reloaded",
  );
});

test("the page of a job goes on after the server was killed", async () => {
  const gate = site.server.gate("one");
  await create(site.api, "one", numbers({ count: 4, gate }));
  gate.open(2);
  const page = await site.open("jobs/one");
  const connection = page.getByRole("status", { name: "Connection" });
  const bar = page.getByRole("progressbar", { name: "Progress" });
  const shows = (value: number) =>
    until(`${value} %`, async () => Number(await bar.getAttribute("aria-valuenow")) === value);
  await shows(50);
  await connection.getByText("Live").waitFor();

  site.expectUnreachable();
  await site.server.kill();
  await connection.getByText("Reconnecting").waitFor();
  // What cannot be done is said, and nothing is lost by trying.
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByRole("status", { name: "Results" }).getByText("Pause failed.").waitFor();
  await site.server.restart();
  await connection.getByText("Live").waitFor();
  gate.open(4);
  await shows(100);
  await page.getByRole("status", { name: "State" }).getByText("Completed").waitFor();
});
