// The page of one job: live progress, what can be done to it, its failures, its batches and its events.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import type { Page } from "playwright-core";

import { FailurePolicy_OnExceeded, JobState } from "../lib/api.ts";
import { create, numbers, PARENT, waiting } from "../lib/jobs.ts";
import { Site, untilDisabled, untilInvalid } from "../lib/site.ts";
import { until, untilEqual } from "../lib/until.ts";

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

const get = (id: string) => site.api.getJob({ name: `${PARENT}/jobs/${id}` });
const state = (page: Page, word: string) =>
  page.getByRole("status", { name: "State" }).getByText(word, { exact: true }).waitFor();
const button = (page: Page, name: string) =>
  page.getByRole("group", { name: "Actions" }).getByRole("button", { name, exact: true });

async function shows(page: Page, percentage: number): Promise<void> {
  const bar = page.getByRole("progressbar", { name: "Progress" });
  await until(
    `${percentage} %`,
    async () => Number(await bar.getAttribute("aria-valuenow")) === percentage,
  );
}

test("progress reaches 100 without a reload", async () => {
  const gate = site.server.gate("live");
  await create(site.api, "live", numbers({ count: 4, gate }, { displayName: "Live job" }));
  const page = await site.open("jobs/live");
  await page.evaluate(() => Object.assign(globalThis, { here: true }));
  await page.getByRole("heading", { name: "Live job" }).waitFor();
  for (const items of [1, 2, 3]) {
    gate.open(items);
    await shows(page, items * 25);
  }
  gate.open(4);
  await shows(page, 100);
  await state(page, "Completed");
  const events = page.getByRole("region", { name: "Events" });
  await events.getByText("Completed").waitFor();
  const kinds = () => events.getByRole("listitem").locator("strong").allTextContents();
  await untilEqual("the events", kinds, ["Completed", "Batch split", "Started", "Created"]);
  assert.equal(
    await page.evaluate(() => (globalThis as { here?: boolean }).here),
    true,
    "it was reloaded",
  );
});

test("a job is paused, resumed, cancelled and retried by clicking", async () => {
  const gate = site.server.gate("steered");
  // One item is out at a time, so that a pause holds the others.
  await create(site.api, "steered", numbers({ count: 6, gate }, { maxInFlight: 1 }));
  const page = await site.open("jobs/steered");
  await state(page, "Active");
  await untilDisabled(button(page, "Resume"));

  await button(page, "Pause").click();
  await state(page, "Paused");
  assert.equal((await get("steered")).state, JobState.PAUSED);
  await button(page, "Resume").click();
  await state(page, "Active");
  gate.open(3);
  await shows(page, 50);

  await button(page, "Cancel").click();
  const dialog = page.getByRole("dialog", { name: "Cancel this job?" });
  await dialog.getByRole("button", { name: "Leave as it is" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal((await get("steered")).state, JobState.ACTIVE);
  await button(page, "Cancel").click();
  await dialog.getByRole("button", { name: "Cancel 1 job" }).click();
  await state(page, "Cancelled");

  // Only what nothing runs of any more can be retried.
  await until(
    "it is settled",
    async () => (await button(page, "Retry").getAttribute("aria-disabled")) === null,
  );
  // Items that never ran are discarded. Nothing is shown as if it might still run.
  const legend = page.getByRole("region", { name: "Progress" });
  await legend.getByText("Discarded").waitFor();
  for (const waits of ["Not yet released", "Parked", "In flight"])
    assert.equal(await legend.getByText(waits).count(), 0, waits);
  gate.open(6);
  await button(page, "Retry").click();
  await state(page, "Completed");
  await shows(page, 100);
  await page.getByText("1 (retried once)").waitFor();
  const { progress } = await get("steered");
  assert.equal(progress?.itemsDone, 6n);
});

test("failures are shown, and run again when they are retried", async () => {
  const broken = site.server.gate("broken");
  broken.open(1);
  await create(site.api, "failing", numbers({ count: 9, broken, each: 3 }));
  const page = await site.open("jobs/failing");
  await state(page, "Failed");
  const failures = page.getByRole("region", { name: /^Failures/ });
  await failures.getByText("3 failures of 3 loaded").waitFor();
  const entry = failures.getByText("document 6 is broken").first();
  await entry.click();
  await failures.getByText("BROKEN_DOCUMENT").first().waitFor();
  await failures.getByText(/^\d+-6$/).waitFor();

  broken.remove();
  await failures.getByRole("button", { name: "Retry all failures" }).click();
  await state(page, "Completed");
  await shows(page, 100);
  await failures.getByText("None in this run.").waitFor();
});

test("what failed runs again while the job goes on", async () => {
  const broken = site.server.gate("broken-early");
  broken.open(1);
  const gate = site.server.gate("held-back");
  gate.open(6);
  await create(site.api, "going-on", numbers({ count: 9, gate, broken, each: 3 }));
  const page = await site.open("jobs/going-on");
  const failures = page.getByRole("region", { name: /^Failures/ });
  await failures.getByText("2 failures of 2 loaded").waitFor();
  await state(page, "Active");
  broken.remove();
  await failures.getByRole("button", { name: "Retry all failures" }).click();
  await failures.getByText("None.").waitFor();
  await page
    .getByRole("region", { name: "Events" })
    .getByText("2 failures, while it ran")
    .waitFor();
  await until("six are done", async () => (await get("going-on")).progress?.itemsDone === 6n);
  gate.open(9);
  await state(page, "Completed");
  assert.equal((await get("going-on")).run, 0);
});

test("the tree of batches can be entered and left, by mouse and by keyboard", async () => {
  const gate = site.server.gate("tree");
  gate.open(0);
  const quarter = (from: number) => [
    [from, from + 1, from + 2],
    [from + 3, from + 4, from + 5],
  ];
  await create(site.api, "tree", numbers({ count: [quarter(0), quarter(6), quarter(12)], gate }));
  const page = await site.open("jobs/tree");
  const tree = page.getByRole("tree");
  const blocks = tree.getByRole("treeitem");
  // The root, three batches, and two in each of them.
  await until("all batches", async () => (await blocks.count()) === 10);
  const path = page.getByRole("navigation", { name: "Batches around this one" });
  const depth = () => path.locator("button, [aria-current]").count();
  await untilEqual("the path has the root alone", depth, 1);

  await blocks.nth(1).click();
  await until("one level in", async () => (await depth()) === 2);
  await until("two batches within", async () => (await blocks.count()) === 3);
  await path.getByRole("button").first().click();
  await until("out again", async () => (await depth()) === 1);

  await until("all batches again", async () => (await blocks.count()) === 10);
  await blocks.first().focus();
  await page.keyboard.press("ArrowDown");
  await until("the focus is one level down", async () => {
    return (await page.evaluate(() => document.activeElement?.getAttribute("aria-level"))) === "2";
  });
  await page.keyboard.press("Enter");
  await until("one level in, by keyboard", async () => (await depth()) === 2);
  await page.keyboard.press("Backspace");
  await until("out again, by keyboard", async () => (await depth()) === 1);

  const section = page.getByRole("region", { name: "Batches" });
  await section.getByRole("button", { name: "Show as a table" }).click();
  const rows = section.getByRole("row");
  await until("the batches as a table", async () => (await rows.count()) === 4);
  gate.open(18);
  await state(page, "Completed");
});

test("a job that is deleted elsewhere is said to be gone", async () => {
  await create(site.api, "gone", waiting({ displayName: "Soon gone" }));
  const page = await site.open("jobs/gone");
  await page.getByRole("heading", { name: "Soon gone" }).waitFor();
  await site.api.deleteJob({ name: `${PARENT}/jobs/gone` });
  await page.getByText("This job was deleted.").first().waitFor();
  await untilDisabled(button(page, "Pause"));
  await page.reload();
  await page.getByRole("heading", { name: /There is no job/ }).waitFor();
});

test("what a job waits for is told, with links to the jobs", async () => {
  const gate = site.server.gate("first");
  await create(site.api, "first", numbers({ count: 1, gate }));
  await create(
    site.api,
    "second",
    numbers(
      { count: 1, gate },
      { prerequisites: [{ job: `${PARENT}/jobs/first` }], startDelay: "1s" },
    ),
  );
  const page = await site.open("jobs/second");
  await state(page, "Waiting");
  const reasons = page.getByRole("region", { name: "What it waits for" });
  await reasons.getByText("It waits for first to be complete.").waitFor();
  await reasons.getByRole("link", { name: "first" }).click();
  await state(page, "Active");
  gate.open(2);
  await state(page, "Completed");
  await page.goBack();
  await state(page, "Completed");
  await reasons.waitFor({ state: "detached" });
  await page.getByText("Starts", { exact: true }).waitFor({ state: "detached" });
});

test("a suspended partition is told", async () => {
  const gate = site.server.gate("suspended");
  await create(site.api, "suspended", numbers({ count: 1, gate }));
  const page = await site.open("jobs/suspended");
  await state(page, "Active");
  await site.api.suspendPartition({ name: PARENT });
  await page.getByText("suspended: no item of the job runs").waitFor();
  const reasons = page.getByRole("region", { name: "What it waits for" });
  await reasons.getByText("was suspended").waitFor();
  await site.api.resumePartition({ name: PARENT });
  gate.open(1);
  await state(page, "Completed");
});

test("what failed with one code runs again", async () => {
  const [broken, missing] = [site.server.gate("codes-broken"), site.server.gate("codes-missing")];
  broken.open(1);
  missing.open(1);
  await create(site.api, "codes", numbers({ count: 6, broken, each: 3, missing }));
  const page = await site.open("jobs/codes");
  await state(page, "Failed");
  const failures = page.getByRole("region", { name: "Failures" });
  await failures.getByText("3 failures of 3 loaded").waitFor();
  broken.remove();
  missing.remove();
  await failures.getByRole("button", { name: /^BROKEN_DOCUMENT 2/ }).click();
  await until(
    "it is settled",
    async () => (await button(page, "Retry").getAttribute("aria-disabled")) === null,
  );
  await failures.getByRole("button", { name: "Retry those with BROKEN_DOCUMENT" }).click();
  // Nothing is run before it was said what that would be.
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Retry what failed with BROKEN_DOCUMENT?" }).waitFor();
  await dialog.getByText("2 failures are run again; the job then has 2 items to run.").waitFor();
  await dialog.getByText("1 other stays, and counts in the new run.").waitFor();
  assert.equal((await get("codes")).run, 0);
  await dialog.getByRole("button", { name: "Retry 2 failures" }).click();
  await until("the other one stays", async () => {
    const { run, progress } = await get("codes");
    return run === 1 && progress?.itemsDone === 5n && progress.itemsFailed === 1n;
  });
  await failures.getByText("1 failure of 1 loaded").waitFor();
  await failures.getByText("MISSING_DOCUMENT").first().waitFor();
});

test("a page that is left does nothing more", async () => {
  const broken = site.server.gate("left-broken");
  broken.open(1);
  await create(site.api, "left", numbers({ count: 2, broken, each: 1 }));
  const page = await site.open("jobs/left");
  await state(page, "Failed");
  await page
    .getByRole("navigation", { name: "Way back" })
    .getByRole("link", { name: "Jobs" })
    .click();
  await page.clock.install();
  const failures = page.getByRole("region", { name: "Failures" });
  for (const _ of [1, 2]) {
    await page
      .getByRole("table", { name: "Jobs" })
      .getByRole("link", { name: "left", exact: true })
      .click();
    await failures.getByText("2 failures of 2 loaded").waitFor();
    await page.goBack();
    await failures.waitFor({ state: "detached" });
  }
  for (const other of await page
    .getByRole("navigation", { name: "Pages" })
    .getByRole("link")
    .all()) {
    await other.click();
    await until(
      "the other page",
      async () => (await other.getAttribute("aria-current")) === "page",
    );
  }
  // Whatever waited for its time: what it says about itself fails the test.
  await page.clock.runFor(60_000);
});

test("what failed in one batch runs again", async () => {
  const broken = site.server.gate("batch-broken");
  broken.open(1);
  await create(
    site.api,
    "batchwise",
    numbers({
      count: [
        [3, 1],
        [6, 9, 2],
      ],
      broken,
      each: 3,
    }),
  );
  const page = await site.open("jobs/batchwise");
  await state(page, "Failed");
  broken.remove();
  await until(
    "it is settled",
    async () => (await button(page, "Retry").getAttribute("aria-disabled")) === null,
  );
  const tree = page.getByRole("region", { name: "Batches" });
  await tree.getByRole("treeitem", { name: /2 failed/ }).focus();
  await tree.getByRole("button", { name: "Retry its failures" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry 2 failures" }).click();
  await until("the other batch stays", async () => {
    const { run, progress } = await get("batchwise");
    return run === 1 && progress?.itemsDone === 4n && progress.itemsFailed === 1n;
  });
  await page
    .getByRole("region", { name: "Failures" })
    .getByText("document 3 is broken")
    .first()
    .waitFor();
});

test("a batch that could not be split is split again", async () => {
  const folder = site.server.gate("unreadable").path;
  await create(site.api, "unsplit", numbers({ count: { folder } }));
  const page = await site.open("jobs/unsplit");
  await state(page, "Failed");
  await until(
    "it is settled",
    async () => (await button(page, "Retry").getAttribute("aria-disabled")) === null,
  );
  const tree = page.getByRole("region", { name: "Batches" });
  await tree.getByRole("treeitem").first().focus();
  await tree.getByRole("button", { name: "Retry its failures" }).click();
  const dialog = page.getByRole("dialog");
  await dialog
    .getByText(
      "1 failure is run again; the job then has 0 items to run, and those that are not found yet.",
    )
    .waitFor();
  await dialog.getByRole("button", { name: "Retry 1 failure" }).click();
  await until("it fails once more", async () => {
    const { run, state: after, failureCount } = await get("unsplit");
    return run === 1 && after === JobState.FAILED && failureCount === 1n;
  });
});

test("a retry takes along the jobs that failed because of the job", async () => {
  const broken = site.server.gate("chain-broken");
  broken.open(1);
  const items = { count: 3, broken, each: 1 };
  await create(site.api, "chain-first", numbers(items));
  await create(
    site.api,
    "chain-second",
    numbers({ count: 2 }, { prerequisites: [{ job: `${PARENT}/jobs/chain-first` }] }),
  );
  const page = await site.open("jobs/chain-second");
  await state(page, "Failed");
  await page
    .getByRole("region", { name: "Failures" })
    .getByText("PREREQUISITE_FAILED")
    .first()
    .waitFor();
  broken.remove();
  const first = await site.open("jobs/chain-first");
  await button(first, "Retry with dependents").click();
  await state(first, "Completed");
  await state(page, "Completed");
  await button(first, "Retry with dependents").waitFor({ state: "detached" });
});

test("what can be changed of a job is changed", async () => {
  await create(site.api, "changed", waiting({ labels: { team: "web" } }));
  const page = await site.open("jobs/changed");
  await button(page, "Change").click();
  const dialog = page.getByRole("dialog");
  const field = (name: string) => dialog.getByLabel(name, { exact: true });
  await field("Priority").fill("12");
  await dialog.getByRole("button", { name: "Save" }).click();
  await untilInvalid(field("Priority"));
  await field("Priority").fill("9");
  await field("Labels").fill("team=docs\nurgent=yes");
  await field("Description").fill("Now it matters.");
  await field("The job fails if").selectOption("more items fail than");
  await field("Items that may fail").fill("25");
  await field("And then").selectOption("the rest is discarded at once");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("Now it matters.", { exact: true }).waitFor();
  await page.getByRole("region", { name: "Events" }).getByText("Changed").waitFor();
  await page.getByRole("heading", { name: "Spec" }).click();
  await page.getByLabel("Spec", { exact: true }).getByText('"priority": 9').waitFor();
  const { spec } = await get("changed");
  assert.deepEqual(
    [spec?.priority, spec?.labels, spec?.maxInFlight],
    [9, { team: "docs", urgent: "yes" }, 10_000],
  );
  const { tolerance, onExceeded } = spec!.failurePolicy!;
  assert.deepEqual(
    [tolerance, FailurePolicy_OnExceeded[onExceeded]],
    [{ case: "maxFailedItems", value: 25n }, "STOP"],
  );
});
