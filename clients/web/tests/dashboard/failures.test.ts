// The failures of one job: how they are shown, and how they run again.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { JobState } from "../lib/api.ts";
import { button, shows, state } from "../lib/job-page.ts";
import { create, numbers, PARENT } from "../lib/jobs.ts";
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

const get = (id: string) => site.api.getJob({ name: `${PARENT}/jobs/${id}` });

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
