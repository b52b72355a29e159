// The page of jobs: live rows, filters, and actions on many jobs at once.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import type { Locator, Page } from "playwright-core";

import { type Job, JobState } from "../lib/api.ts";
import { create, createMany, numbers, PARENT, waiting } from "../lib/jobs.ts";
import { Site, untilInvalid, untilShown } from "../lib/site.ts";
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

/** The row of a job, by the name that it shows. */
function row(page: Page, name: string): Locator {
  return page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
}

const percentage = async (row: Locator) =>
  Number(await row.getByRole("progressbar").getAttribute("aria-valuenow"));

test("a job appears, and its progress reaches 100 without a reload", async () => {
  const page = await site.open("jobs");
  await page.getByRole("heading", { name: /No jobs yet/ }).waitFor();
  await page.evaluate(() => Object.assign(globalThis, { here: true }));

  const gate = site.server.gate("live");
  await create(
    site.api,
    "live",
    numbers({ count: 4, gate }, { displayName: "Live job", labels: { team: "web" } }),
  );
  const live = row(page, "Live job");
  await live.waitFor();
  await live.getByText("Active").waitFor();
  for (const items of [1, 2, 3]) {
    gate.open(items);
    await until(`${items} of 4 items`, async () => (await percentage(live)) === items * 25);
  }
  gate.open(4);
  await live.getByText("Completed").waitFor();
  await untilEqual("the percentage of the job", () => percentage(live), 100);
  await page.getByRole("button", { name: "Completed 1" }).waitFor();
  assert.equal(
    await page.evaluate(() => (globalThis as { here?: boolean }).here),
    true,
    "it was reloaded",
  );
});

test("states, labels and words filter, and the address keeps them", async () => {
  await create(site.api, "held", waiting({ displayName: "Held job", labels: { team: "api" } }));
  await site.api.pauseJob({ name: `${PARENT}/jobs/held` });
  const page = await site.open("jobs");
  await row(page, "Live job").waitFor();
  await row(page, "Held job").waitFor();

  await page.getByRole("button", { name: "Paused 1" }).click();
  await row(page, "Live job").waitFor({ state: "detached" });
  await row(page, "Held job").waitFor();
  await page.reload();
  await row(page, "Held job").waitFor();
  assert.equal(await row(page, "Live job").count(), 0);

  // A job that does not match any more leaves the list.
  await site.api.resumeJob({ name: `${PARENT}/jobs/held` });
  await page.getByRole("heading", { name: "No job matches" }).waitFor();
  await page.getByRole("button", { name: "Show all jobs" }).click();
  await row(page, "Live job").waitFor();

  await page.getByRole("button", { name: /team/ }).filter({ hasText: "api" }).click();
  await row(page, "Live job").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Remove the filter team=api" }).click();
  await row(page, "Live job").waitFor();

  await page.getByRole("searchbox").fill("live");
  await row(page, "Held job").waitFor({ state: "detached" });
  await row(page, "Live job").waitFor();
});

test("many jobs are cancelled at once, after a question that says what will happen", async () => {
  await createMany(site.api, 30, () => waiting({ labels: { crowd: "bulk" } }), "bulk");
  await site.api.cancelJob({ name: `${PARENT}/jobs/bulk-00003` });
  const page = await site.open("jobs?label=crowd%3Dbulk");
  await page.getByText("30 jobs, all of them").waitFor();

  await page.getByRole("checkbox", { name: /Select all/ }).check();
  const toolbar = page.getByRole("toolbar", { name: "Actions on the selected jobs" });
  await toolbar.getByText("30 selected").waitFor();
  await toolbar.getByRole("button", { name: "Cancel" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel 29 jobs?" });
  await dialog.getByText("1 of the 30 selected is left alone.").waitFor();

  await dialog.getByRole("button", { name: "Leave as it is" }).click();
  await dialog.waitFor({ state: "detached" });
  const { counts } = await site.api.countJobs({ parent: PARENT });
  assert.equal(
    counts.find(({ state }) => state === JobState.CANCELLED)?.jobCount,
    1n,
    "nothing happened",
  );

  await toolbar.getByRole("button", { name: "Cancel" }).click();
  await dialog.getByRole("button", { name: "Cancel 29 jobs" }).click();
  await page.getByRole("status", { name: "Results" }).getByText("Cancelled 29 jobs.").waitFor();
  await page.getByRole("button", { name: "Cancelled 30" }).waitFor();
  const after = await site.api.countJobs({ parent: PARENT });
  assert.equal(after.counts.find(({ state }) => state === JobState.CANCELLED)?.jobCount, 30n);
});

test("the keyboard alone finds, selects and pauses a job", async () => {
  await create(site.api, "by-key", waiting({ displayName: "By key" }));
  const page = await site.open("jobs");
  await row(page, "By key").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("by-key");
  await row(page, "Live job").waitFor({ state: "detached" });
  await page.keyboard.press("ArrowDown");
  await until("the row has the focus", () =>
    row(page, "By key").evaluate((row) => row.contains(document.activeElement)),
  );
  await page.keyboard.press("x");
  await page.getByText("1 selected").waitFor();
  await page.keyboard.press("p");
  const dialog = page.getByRole("dialog", { name: "Pause this job?" });
  await dialog.waitFor();
  const confirm = dialog.getByRole("button", { name: "Pause 1 job" });
  for (
    let steps = 0;
    !(await confirm.evaluate((button) => button === document.activeElement));
    steps++
  ) {
    assert.ok(steps < 10, "the Tab key does not reach the button");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await row(page, "By key").getByText("Paused").waitFor();
  await dialog.waitFor({ state: "detached" });
  assert.equal((await site.api.getJob({ name: `${PARENT}/jobs/by-key` })).state, JobState.PAUSED);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/jobs/by-key");
});

/** The names of the rows, from the top. */
const names = (page: Page) =>
  page.getByRole("table", { name: "Jobs" }).getByRole("row").getByRole("link").allInnerTexts();
/** Waits until the rows begin with these names. */
const begins = (page: Page, first: string[]) =>
  untilEqual("the first rows", async () => (await names(page)).slice(0, first.length), first);

test("an expression filters, live, and what is wrong with it is said beside it", async () => {
  const labels = { shelf: "top" };
  for (const id of ["one", "two"])
    await create(site.api, `by-filter-${id}`, waiting({ displayName: `Filtered ${id}`, labels }));
  const page = await site.open("jobs");
  const filter = page.getByLabel("Filter by an expression");
  await filter.fill("labels.shelf = top AND NOT state = PAUSED");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("2 jobs, all of them").waitFor();
  // The counts are of what the filter means, and the address keeps it.
  await page.getByRole("button", { name: "All 2" }).waitFor();
  await page.reload();
  await page.getByText("2 jobs, all of them").waitFor();
  await site.api.pauseJob({ name: `${PARENT}/jobs/by-filter-one` });
  await row(page, "Filtered one").waitFor({ state: "detached" });
  await row(page, "Filtered two").waitFor();
  await create(site.api, "by-filter-three", waiting({ displayName: "Filtered three", labels }));
  await row(page, "Filtered three").waitFor();
  await page.getByRole("button", { name: "Change many jobs" }).click();
  const inDialog = page.getByRole("dialog").getByLabel("Which jobs", { exact: true });
  await untilEqual(
    "the filter of the dialog",
    () => inDialog.inputValue(),
    "labels.shelf = top AND NOT state = PAUSED",
  );
  await page.keyboard.press("Escape");

  await filter.fill("labels.shelf = top AND colour = red");
  await filter.press("Enter");
  await page
    .getByRole("alert")
    .getByText(/"colour" is none of the fields/)
    .waitFor();
  await untilInvalid(filter);
  await page.getByRole("button", { name: "No filter" }).click();
  await row(page, "Filtered one").waitFor();
});

test("jobs are listed in an order, page after page, and what comes finds its place", async () => {
  await createMany(
    site.api,
    600,
    (number) =>
      waiting({
        displayName: `Ordered ${String(599 - number).padStart(3, "0")}`,
        labels: { set: "order" },
      }),
    "order",
  );
  const page = await site.open("jobs?label=set%3Dorder");
  await page.getByText("600 jobs, all of them").waitFor();
  // They were created by many calls at once: which came last, their times say.
  const { jobs } = await site.api.listJobs({
    parent: PARENT,
    pageSize: 1000,
    filter: "labels.set = order",
  });
  const when = ({ createTime }: Job) =>
    Number(createTime!.seconds) * 1e6 + Math.floor(createTime!.nanos / 1000);
  const newest = jobs
    .toSorted((a, b) => when(b) - when(a) || (a.uid < b.uid ? 1 : -1))
    .map(({ spec }) => spec!.displayName);
  await begins(page, newest.slice(0, 5));
  await page.getByLabel("Order", { exact: true }).selectOption("Name, Z to A");
  await page.getByText("500 loaded").waitFor();
  await begins(page, ["Ordered 599", "Ordered 598", "Ordered 597"]);
  // One has its place among what is loaded, the other one far below.
  await create(
    site.api,
    "order-first",
    waiting({ displayName: "Ordered 598 and a half", labels: { set: "order" } }),
  );
  await create(
    site.api,
    "order-last",
    waiting({ displayName: "Ordered", labels: { set: "order" } }),
  );
  await row(page, "Ordered 598 and a half").waitFor();
  await begins(page, ["Ordered 599", "Ordered 598 and a half", "Ordered 598"]);
  await page.getByText("501 loaded").waitFor();
  const table = page.getByRole("table", { name: "Jobs" });
  await table.getByRole("link").first().focus();
  await page.keyboard.press("End");
  await page.getByText("602 jobs, all of them").waitFor();
  await page.keyboard.press("End");
  await untilShown(
    page,
    "the last one is in sight",
    async () => (await names(page)).at(-1) === "Ordered",
  );
  await page.reload();
  await page.getByText("500 loaded").waitFor();
  // The address keeps the order.
  await begins(page, ["Ordered 599"]);
});

test("with less motion, a list that grows has its new height at once", async () => {
  await create(site.api, "alone", waiting({ labels: { set: "alone" } }));
  const page = await site.open("jobs?label=set%3Dalone");
  const rows = page.getByRole("table", { name: "Jobs" }).locator(".rows");
  const height = await rows.evaluate((box: HTMLElement) => {
    // The height is known before it changes, as it is when a page of jobs arrives.
    const before = box.offsetHeight;
    box.style.height = `${before + 5200}px`;
    return box.offsetHeight - before;
  });
  assert.equal(height, 5200);
});

test("many jobs are changed by a filter, as a job of its own", async () => {
  await createMany(
    site.api,
    30,
    (number) => waiting({ labels: { batch: number < 20 ? "one" : "two" } }),
    "filtered",
  );
  const page = await site.open("jobs?label=batch%3Done");
  await page.getByText("20 jobs, all of them").waitFor();
  await page.getByRole("button", { name: "Change many jobs" }).click();
  const dialog = page.getByRole("dialog");
  const filter = dialog.getByLabel("Which jobs", { exact: true });
  // What is shown is what it begins with.
  await untilEqual("the filter", () => filter.inputValue(), 'labels."batch" = "one"');
  await filter.fill("labels.batch = on*");
  await dialog.getByRole("button", { name: "Count them" }).click();
  await dialog.getByText("Cancel 20 jobs.").waitFor();
  await filter.fill("labels.batch = one AND colour = red");
  await dialog.getByRole("button", { name: "Count them" }).click();
  await untilInvalid(filter);
  await filter.fill("labels.batch = one");
  await dialog.getByRole("button", { name: "Count them" }).click();
  await dialog.getByText("Cancel 20 jobs.").waitFor();
  await dialog.getByRole("button", { name: "Cancel 20 jobs" }).click();
  // The work can be watched like any other.
  await page.waitForURL(/\/jobs\/[^?]+$/);
  await page.getByRole("status", { name: "State" }).getByText("Completed").waitFor();
  const { jobs } = await site.api.listJobs({
    parent: PARENT,
    pageSize: 100,
    filter: "labels.batch = (one OR two)",
  });
  const cancelled = jobs
    .filter(({ state }) => state === JobState.CANCELLED)
    .map(({ spec }) => spec?.labels.batch);
  assert.deepEqual([jobs.length, cancelled.length, new Set(cancelled)], [30, 20, new Set(["one"])]);
});

test("a star in a label is a star, also where many are changed", async () => {
  for (const [id, shelf] of [
    ["star", "a*"],
    ["star-other", "ab"],
  ] as const)
    await create(site.api, id, waiting({ labels: { shelf } }));
  const page = await site.open("jobs?label=shelf%3Da*");
  await page.getByText("1 job, all of them").waitFor();
  await page.getByRole("button", { name: "Change many jobs" }).click();
  const dialog = page.getByRole("dialog");
  const filter = dialog.getByLabel("Which jobs", { exact: true });
  await untilEqual("the filter", () => filter.inputValue(), String.raw`labels."shelf" = "a\*"`);
  await dialog.getByRole("button", { name: "Count them" }).click();
  await dialog.getByText("Cancel 1 job.").waitFor();
});
