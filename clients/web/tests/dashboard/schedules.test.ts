// The page of schedules: made, run, paused, changed and deleted by clicking.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { PARENT, waiting, WORK } from "../lib/jobs.ts";
import { Site, untilInvalid } from "../lib/site.ts";
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

test("a schedule is made, run, paused, changed and deleted", async () => {
  const page = await site.open("schedules");
  await page.getByRole("heading", { name: "No schedules yet" }).waitFor();
  await page.getByRole("button", { name: "New schedule" }).click();
  const form = page.getByRole("dialog");
  const field = (name: string) => form.getByLabel(name, { exact: true });
  const job = field("The spec of each job, as YAML or JSON");
  await until("the example", async () => (await job.inputValue()).includes("splitter: range"));
  await field("Schedule id").fill("nightly");
  await field("Pattern").fill("at three");
  await field("Time zone").fill("Europe/Berlin");
  await job.fill(
    `description: Each night\nbatch:\n  splitter: range\n  json: {from: 0, to: 3}\n  item: {pipe: no/pipe}\n`,
  );
  await form.getByRole("button", { name: "Create" }).click();
  await untilInvalid(field("Pattern"));
  await field("Pattern").fill("0 3 * * *");
  await form.getByRole("button", { name: "Create" }).click();
  // What is wrong with the job is shown at its line.
  await form.getByRole("button", { name: "Line 5" }).waitFor();
  await job.fill(
    `description: Each night\nbatch:\n  splitter: range\n  json: {from: 0, to: 3}\n  item: {pipe: ${WORK}, type: number, payload: {number: "{{item}}"}}\n`,
  );
  await form.getByRole("button", { name: "Create" }).click();
  await form.waitFor({ state: "detached" });

  const row = page.getByRole("row").filter({ has: page.getByText("nightly", { exact: true }) });
  await row.getByText("Europe/Berlin").waitFor();
  await row.getByRole("button", { name: "Run nightly now" }).click();
  const made = row.getByRole("link", { name: /^nightly-/ });
  await made.waitFor();
  const id = (await made.textContent())!.trim();
  await until(
    "its job",
    async () =>
      (await site.api.getJob({ name: `${PARENT}/jobs/${id}` })).progress?.itemsDone === 3n,
  );

  await row.getByRole("button", { name: "Pause nightly" }).click();
  await row.getByText("Paused").waitFor();
  assert.equal((await site.api.getSchedule({ name: `${PARENT}/schedules/nightly` })).paused, true);
  await row.getByRole("button", { name: "Resume nightly" }).click();
  await row.getByRole("button", { name: "Pause nightly" }).waitFor();

  await row.getByRole("button", { name: "Edit nightly" }).click();
  await until("the job as it is", async () =>
    (await job.inputValue()).includes("description: Each night"),
  );
  await field("Pattern").fill("30 4 * * 1-5");
  await field("If an earlier job still runs").selectOption("OVERLAP_POLICY_QUEUE");
  await form.getByRole("button", { name: "Save" }).click();
  await row.getByText("30 4 * * 1-5").waitFor();
  await row.getByText("waits", { exact: true }).waitFor();
  const changed = await site.api.getSchedule({ name: `${PARENT}/schedules/nightly` });
  assert.equal(changed.timeZone, "Europe/Berlin");
  assert.equal(changed.spec?.description, "Each night");

  await made.click();
  await page.getByText("Schedule", { exact: true }).waitFor();
  await page.goBack();
  await row.getByRole("button", { name: "Delete nightly" }).click();
  await form.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("heading", { name: "No schedules yet" }).waitFor();
});

test("a schedule that somebody else changed first is shown and not overwritten", async () => {
  const name = `${PARENT}/schedules/shared`;
  await site.api.createSchedule({
    parent: PARENT,
    scheduleId: "shared",
    schedule: { cron: "0 3 * * *", spec: waiting() },
  });
  const page = await site.open("schedules");
  const form = page.getByRole("dialog");
  const pattern = form.getByLabel("Pattern", { exact: true });
  await page.getByRole("button", { name: "Edit shared" }).click();
  await pattern.fill("0 5 * * *");
  await site.api.updateSchedule({
    schedule: { name, cron: "0 4 * * *" },
    updateMask: { paths: ["cron"] },
  });
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByRole("alert").getByText("Somebody else changed this in the meantime").waitFor();
  assert.equal((await site.api.getSchedule({ name })).cron, "0 4 * * *");
  await form.getByRole("button", { name: "Show the present values" }).click();
  await untilEqual("the present pattern", () => pattern.inputValue(), "0 4 * * *");
  await pattern.fill("0 5 * * *");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row").getByText("0 5 * * *").waitFor();
  await site.api.deleteSchedule({ name });
});
