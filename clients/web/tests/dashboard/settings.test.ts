// The page of a partition: suspended and resumed, its share, its quotas, and how long its jobs are kept.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { create, numbers, PARENT } from "../lib/jobs.ts";
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

test("a partition is suspended and resumed", async () => {
  const page = await site.open("settings");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Suspend the partition" }).click();
  await dialog.getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("heading", { name: "It is suspended" }).waitFor();
  await create(site.api, "held", numbers({ count: 2 }));
  const job = () => site.api.getJob({ name: `${PARENT}/jobs/held` });
  assert.equal((await job()).suspended, true);
  await page.getByRole("button", { name: "Resume the partition" }).click();
  await dialog.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("heading", { name: "Its jobs run" }).waitFor();
  await until("the job is done", async () => (await job()).progress?.itemsDone === 2n);
});

test("other partitions that are suspended are named", async () => {
  const other = "partitions/elsewhere";
  await site.api.suspendPartition({ name: other });
  const page = await site.open("settings");
  await page.getByRole("heading", { name: "Other suspended partitions" }).waitFor();
  await page.getByRole("link", { name: "elsewhere" }).click();
  await page.getByRole("heading", { name: "It is suspended" }).waitFor();
  await site.api.resumePartition({ name: other });
  await page.getByRole("heading", { name: "Its jobs run" }).waitFor();
});

test("weight, quotas and retention are set, and what is wrong is marked", async () => {
  const page = await site.open("settings");
  const field = (name: string) => page.getByLabel(name, { exact: true });
  await until("what is set", async () => (await field("Weight").inputValue()) === "1");
  await field("Weight").fill("2000");
  await field("Failed jobs are kept").fill("some days");
  await page.getByRole("button", { name: "Save" }).click();
  await untilInvalid(field("Weight"));
  await untilInvalid(field("Failed jobs are kept"));
  await field("Weight").fill("3");
  await field("Open jobs at most").fill("100");
  await field("Failed jobs are kept").fill("end+P7D");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  const now = await site.api.getPartition({ name: PARENT });
  assert.deepEqual(
    [now.weight, now.maxOpenJobs, now.maxItemsInFlight, now.retention?.failed],
    [3, 100, 0, "end+P7D"],
  );
  // Back to what is usual.
  await field("Open jobs at most").fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await until(
    "no quota",
    async () => (await site.api.getPartition({ name: PARENT })).maxOpenJobs === 0,
  );
});

test("settings that somebody else changed first are shown and not overwritten", async () => {
  const page = await site.open("settings");
  const weight = page.getByLabel("Weight", { exact: true });
  const save = page.getByRole("button", { name: "Save", exact: true });
  await until("what is set", async () => (await weight.inputValue()) !== "");
  await weight.fill("5");
  await site.api.updatePartition({
    partition: { name: PARENT, weight: 7 },
    updateMask: { paths: ["weight"] },
  });
  await save.click();
  await page.getByRole("alert").getByText("Somebody else changed this in the meantime").waitFor();
  assert.equal((await site.api.getPartition({ name: PARENT })).weight, 7);
  await page.getByRole("button", { name: "Show the present values" }).click();
  await untilEqual("the present weight", () => weight.inputValue(), "7");
  await weight.fill("5");
  await save.click();
  await page.getByText("Saved.", { exact: true }).waitFor();
  assert.equal((await site.api.getPartition({ name: PARENT })).weight, 5);
});
