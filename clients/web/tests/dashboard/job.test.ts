// The page of one job: live progress, what can be done to it, its batches and its events.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { FailurePolicy_OnExceeded, JobState } from "../lib/api.ts";
import { button, shows, state } from "../lib/job-page.ts";
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
