// The page of pipes.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { create, createMany, DOOMED, IDLE, numbers, PARENT, waiting, WORK } from "../lib/jobs.ts";
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

test("pipes show what is in them, who works on them, and where nobody does", async () => {
  const page = await site.open("pipes");
  await page.getByRole("heading", { name: "No pipes yet" }).waitFor();

  const gate = site.server.gate("gate");
  await create(site.api, "busy", numbers({ count: 7, gate }));
  await createMany(site.api, 5, () => waiting(), "lonely");
  const pipe = (name: string) =>
    page.getByRole("row").filter({ has: page.getByText(name, { exact: true }) });
  const cell = async (name: string, label: string) =>
    (await pipe(name).locator(`[data-label="${label}"]`).textContent())?.trim();

  await until(
    "the items at the worker",
    async () => (await pipe(WORK).count()) === 1 && (await cell(WORK, "In flight")) === "7",
  );
  await untilEqual("the consumers", () => cell(WORK, "Consumers"), "1");
  assert.equal(await pipe(WORK).getByText("No worker is attached").count(), 0);
  await pipe(IDLE).getByText("No worker is attached, and work waits.").waitFor();
  await until("the messages that wait", async () => (await cell(IDLE, "Ready")) === "5");
  await untilEqual("the jobs", () => cell(IDLE, "Jobs"), "5");

  // What is in sight follows what happens.
  gate.open(7);
  await until("the items are done", async () => (await cell(WORK, "In flight")) === "0");
  await site.api.pauseJob({ name: `${PARENT}/jobs/lonely-00000` });
  await site.api.cancelJob({ name: `${PARENT}/jobs/lonely-00001` });
  await until("one job fewer", async () => (await cell(IDLE, "Jobs")) === "4");
});

test("limits of a pipe are set and taken away", async () => {
  await create(site.api, "limited", numbers({ count: 1 }));
  const page = await site.open("pipes");
  const row = page.getByRole("row").filter({ has: page.getByText(WORK, { exact: true }) });
  const dialog = page.getByRole("dialog");
  await row.getByRole("button", { name: `Set the limits of ${WORK}` }).click();
  await dialog.getByLabel("Items in flight at most", { exact: true }).fill("many");
  await dialog.getByRole("button", { name: "Save" }).click();
  await untilInvalid(dialog.getByLabel("Items in flight at most", { exact: true }));
  await dialog.getByLabel("Items in flight at most", { exact: true }).fill("50");
  await dialog.getByLabel("Items per second", { exact: true }).fill("2.5");
  await dialog.getByRole("button", { name: "Save" }).click();
  await row.getByText("50 out, 2.5/s").waitFor();
  assert.equal((await site.api.getPipeLimits({ name: `pipes/${WORK}/limits` })).maxInFlight, 50);
  await row.getByRole("button", { name: `Set the limits of ${WORK}` }).click();
  await dialog.getByLabel("Items in flight at most", { exact: true }).fill("");
  await dialog.getByLabel("Items per second", { exact: true }).fill("");
  await dialog.getByRole("button", { name: "Save" }).click();
  await row.getByText("none", { exact: true }).waitFor();
});

test("limits that somebody else changed first are shown and not overwritten", async () => {
  const name = `pipes/${WORK}/limits`;
  const page = await site.open("pipes");
  const row = page.getByRole("row").filter({ has: page.getByText(WORK, { exact: true }) });
  const dialog = page.getByRole("dialog");
  const out = dialog.getByLabel("Items in flight at most", { exact: true });
  await row.getByRole("button", { name: `Set the limits of ${WORK}` }).click();
  await out.fill("60");
  await site.api.updatePipeLimits({
    pipeLimits: { name, maxInFlight: 70 },
    updateMask: { paths: ["max_in_flight"] },
  });
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByRole("alert").getByText("Somebody else changed this in the meantime").waitFor();
  assert.equal((await site.api.getPipeLimits({ name })).maxInFlight, 70);
  await dialog.getByRole("button", { name: "Show the present values" }).click();
  await untilEqual("the present limit", () => out.inputValue(), "70");
  await out.fill("");
  await dialog.getByRole("button", { name: "Save" }).click();
  await row.getByText("none", { exact: true }).waitFor();
});

test("dead letters are looked at, sent again, and dropped", async () => {
  await create(site.api, "doomed-job", numbers({ count: 3, pipe: DOOMED }));
  const page = await site.open("pipes");
  const letters = page.getByRole("region", { name: "Dead letters" });
  await letters.getByText("3 shown").waitFor();
  await letters.getByText("doomed-job").first().click();
  await letters.getByText('"type": "number"').first().waitFor();
  await letters.getByRole("link", { name: "To its job" }).first().click();
  await page.getByText("3 failures of 3 loaded").waitFor();
  await page.goBack();
  await letters.getByText("3 shown").waitFor();
  await letters.getByRole("button", { name: "Send all again" }).click();
  const again = page.getByRole("dialog", { name: "Send all dead letters of default again?" });
  await again.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByText("Sent the dead letters of 1 job again.").waitFor();
  // Their pipe gives them up again.
  await until("they are dead letters of the next run", async () => {
    const job = await site.api.getJob({ name: `${PARENT}/jobs/doomed-job` });
    return job.run === 1 && job.failureCount === 3n;
  });
  await page.reload();
  await letters.getByText("3 shown").waitFor();
  await letters.getByRole("button", { name: "Drop all dead letters" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop", exact: true }).click();
  await page.getByText("Dropped 3 dead letters.").waitFor();
  await letters.getByText("3 shown").waitFor({ state: "detached" });
});
