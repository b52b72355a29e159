// The page of job types, and jobs that are made by one.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { PARENT, WORK } from "../lib/jobs.ts";
import { JOB_TYPES } from "../lib/server.ts";
import { Site, untilDisabled } from "../lib/site.ts";
import { until, untilEqual } from "../lib/until.ts";

let site: Site;

before(async () => {
  site = await Site.start(JOB_TYPES);
});
after(async () => {
  await site?.[Symbol.asyncDispose]();
});
afterEach(async () => {
  await site.closePages();
});

const COUNT = `description: Count
parameters:
  type: object
  required: [to]
  properties:
    to: {type: integer, minimum: 1}
program: |
  {batch: {splitter: "range", json: {from: 0, to: .parameters.to}, item: {pipe: "${WORK}", type: "number", payload: {number: "{{item}}"}}}}
`;

test("job types are shown, checked, made, changed and deleted", async () => {
  const page = await site.open("types");
  const row = (id: string) =>
    page.getByRole("row").filter({ has: page.getByText(id, { exact: true }) });
  await row("export").getByText("Pack the files of a folder into zip archives").waitFor();
  await untilDisabled(row("export").getByRole("button", { name: "Delete export" }));
  await row("export").getByRole("button", { name: "Show export" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText('splitter: "files"').waitFor();
  await dialog.getByRole("button", { name: "Close" }).last().click();

  await page.getByRole("button", { name: "New job type" }).click();
  const definition = dialog.getByLabel("Definition, as YAML or JSON", { exact: true });
  await dialog.getByLabel("Type id", { exact: true }).fill("count");
  await definition.fill('program: "{a: "');
  await dialog.getByRole("button", { name: "Check" }).click();
  await dialog.getByText("its program is wrong").waitFor();
  await definition.fill(COUNT);
  await dialog.getByRole("button", { name: "Check" }).click();
  await dialog.getByText("The job type is valid.").waitFor();
  await dialog.getByRole("button", { name: "Create" }).click();
  await row("count").getByText("Count", { exact: true }).waitFor();

  await row("count").getByRole("button", { name: "Edit count" }).click();
  await definition.fill(COUNT.replace("Count", "Count up"));
  await dialog.getByRole("button", { name: "Save" }).click();
  await row("count").getByText("Count up").waitFor();
  assert.equal((await site.api.getJobType({ name: "jobTypes/count" })).version, "2");

  // A job of it.
  await row("count").getByRole("link", { name: "New job" }).click();
  await page.getByRole("heading", { name: "New job in default" }).waitFor();
  await until(
    "the type is chosen",
    async () =>
      (await page.getByLabel("Job type", { exact: true }).inputValue()) === "jobTypes/count",
  );
  const parameters = page.getByLabel("Parameters of the type, as JSON", { exact: true });
  await page.getByLabel("Job id", { exact: true }).fill("counted");
  await parameters.fill('{"to": 0}');
  await page.getByRole("button", { name: "Submit" }).click();
  await page
    .getByText(/^\/to: /)
    .first()
    .waitFor();
  await parameters.fill('{"to": 4}');
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**/jobs/counted");
  await page.getByText("version 2").waitFor();
  await until(
    "its items",
    async () =>
      (await site.api.getJob({ name: `${PARENT}/jobs/counted` })).progress?.itemsDone === 4n,
  );

  await page.getByRole("link", { name: "Job types" }).click();
  await row("count").getByRole("button", { name: "Delete count" }).click();
  await dialog.getByRole("button", { name: "Delete", exact: true }).click();
  await row("count").waitFor({ state: "detached" });
});

test("a job type that somebody else changed first is shown and not overwritten", async () => {
  const name = "jobTypes/shared";
  await site.api.createJobType({ jobTypeId: "shared", jobType: { definition: COUNT } });
  const page = await site.open("types");
  const dialog = page.getByRole("dialog");
  const definition = dialog.getByLabel("Definition, as YAML or JSON", { exact: true });
  const mine = COUNT.replace("Count", "Mine");
  const theirs = COUNT.replace("Count", "Theirs");
  await page.getByRole("button", { name: "Edit shared" }).click();
  await definition.fill(mine);
  await site.api.updateJobType({
    jobType: { name, definition: theirs },
    updateMask: { paths: ["definition"] },
  });
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByRole("alert").getByText("Somebody else changed this in the meantime").waitFor();
  assert.equal((await site.api.getJobType({ name })).description, "Theirs");
  await dialog.getByRole("button", { name: "Show the present values" }).click();
  await untilEqual("the present definition", () => definition.inputValue(), theirs);
  await definition.fill(mine);
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row").getByText("Mine", { exact: true }).waitFor();
  await site.api.deleteJobType({ name });
});
