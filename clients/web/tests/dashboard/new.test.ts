// The page for a new job: what is wrong is shown where it is, and what is right becomes a job.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { PARENT, WORK } from "../lib/jobs.ts";
import { Site, untilDisabled, untilInvalid } from "../lib/site.ts";
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

test("what the server refuses is shown at its field and its line, and what is mended is submitted", async () => {
  const page = await site.open("new");
  await page.getByRole("heading", { name: "New job in default" }).waitFor();
  const field = (name: string) => page.getByLabel(name, { exact: true });

  await field("Name for people").fill("By hand");
  await field("Pipe of the items").fill("no such/pipe");
  await page.getByRole("button", { name: "Submit" }).click();
  await page.getByRole("alert").waitFor();
  await untilInvalid(field("Pipe of the items"));
  // The same at the line of the request that says so.
  const editor = page.getByRole("textbox", { name: "CreateJobRequest as JSON" });
  await untilInvalid(editor);
  await page
    .getByRole("button", { name: /^Line \d+$/ })
    .first()
    .click();
  const marked = () =>
    editor.evaluate((area: HTMLTextAreaElement) =>
      area.value.slice(area.selectionStart, area.selectionEnd),
    );
  await until("the line is selected", async () => (await marked()).includes("no such/pipe"));
  assert.equal((await site.api.listJobs({ parent: PARENT })).jobs.length, 0);

  await field("Pipe of the items").fill(WORK);
  await field("What to split, as JSON").fill('{"from": 0, "to": 3}');
  await field("Payload of each item, as JSON").fill('{"number": "{{item}}"}');
  await field("Job id").fill("by-hand");
  await until("the text follows the form", async () =>
    (await editor.inputValue()).includes('"by-hand"'),
  );
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByText("The job is valid. It was not submitted.").waitFor();
  assert.equal((await site.api.listJobs({ parent: PARENT })).jobs.length, 0);

  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**/jobs/by-hand");
  await page.getByRole("heading", { name: "By hand" }).waitFor();
  await page.getByRole("status", { name: "State" }).getByText("Completed").waitFor();
  const { spec, progress } = await site.api.getJob({ name: `${PARENT}/jobs/by-hand` });
  assert.equal(spec?.displayName, "By hand");
  assert.equal(progress?.itemsDone, 3n);
});

test("a job is written as YAML, and the form follows", async () => {
  const page = await site.open("new");
  await page.getByRole("button", { name: "YAML" }).click();
  const editor = page.getByRole("textbox", { name: "CreateJobRequest as YAML" });
  // What replaces a text that is just being selected would stay.
  await until("the draft as YAML", async () => (await editor.inputValue()).startsWith("spec:"));
  await editor.fill(
    [
      "jobId: as-text",
      "spec:",
      "  displayName: As text",
      "  batch:",
      "    splitter: list",
      '    json: { items: ["1", "2"] }',
      "    item: { pipe: nobody }",
    ].join("\n"),
  );
  await until(
    "the form follows",
    async () =>
      (await page.getByLabel("Name for people", { exact: true }).inputValue()) === "As text",
  );
  await editor.fill("spec: [");
  await untilInvalid(editor);
  await untilDisabled(page.getByRole("button", { name: "Submit" }));
  await editor.fill(
    '{ jobId: as-text, spec: { displayName: As text, batch: { splitter: list, json: { items: ["1", "2"] }, item: { pipe: nobody } } } }',
  );
  await until(
    "it can be read again",
    async () =>
      (await page.getByRole("button", { name: "Submit" }).getAttribute("aria-disabled")) === null,
  );
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**/jobs/as-text");
  await until("both items are known", async () => {
    return (await site.api.getJob({ name: `${PARENT}/jobs/as-text` })).progress?.itemsKnown === 2n;
  });
});

test("when a job runs, and how long it is kept, is said in the form", async () => {
  const page = await site.open("new");
  const field = (name: string) => page.getByLabel(name, { exact: true });
  await page.getByRole("heading", { name: "How it runs" }).click();
  await field("Pipe of the items").fill("nobody");
  await field("Job id").fill("timed");
  await field("Starts after the jobs").fill("first, second?");
  await field("Not before").fill("2040-01-31T08:00:00Z");
  await field("Must end by").fill("2040-02-01T08:00:00Z");
  await field("Kept when it is completed").fill("end+P7D");
  const editor = page.getByRole("textbox", { name: "CreateJobRequest as JSON" });
  await until("the text follows the form", async () =>
    (await editor.inputValue()).includes("end+P7D"),
  );
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL("**/jobs/timed");
  const { spec } = await site.api.getJob({ name: `${PARENT}/jobs/timed` });
  assert.deepEqual(
    spec?.prerequisites.map(({ job, ignoreMissing }) => [job, ignoreMissing]),
    [
      [`${PARENT}/jobs/first`, false],
      [`${PARENT}/jobs/second`, true],
    ],
  );
  assert.deepEqual(
    [spec?.start.case, spec?.deadline.case, spec?.retention?.completed],
    ["notBeforeTime", "deadlineTime", "end+P7D"],
  );
});

test("many jobs are submitted at once, and what is refused is told for each", async () => {
  const page = await site.open("new");
  await page.getByRole("button", { name: "Many jobs…" }).click();
  const dialog = page.getByRole("dialog", { name: "Many jobs in default" });
  const editor = dialog.getByRole("textbox", { name: "Jobs as YAML or JSON" });
  const job = (id: string, more: object = {}) => ({
    jobId: id,
    spec: { task: { pipe: "nobody" }, ...more },
  });
  const written = (...jobs: object[]) => jobs.map((each) => JSON.stringify(each)).join("\n");
  await editor.fill('{"jobId": ');
  await untilInvalid(editor);

  const unnamed = { task: { pipe: "nobody" }, labels: { about: "no-id" } };
  await editor.fill(
    written(
      job("many-1"),
      unnamed,
      job("many-3", { priority: 12 }),
      job("many-4", { prerequisites: [{ job: `${PARENT}/jobs/many-1` }] }),
    ),
  );
  await dialog.getByRole("button", { name: "Submit 4 jobs" }).click();
  const refused = dialog.getByRole("alert");
  await refused.getByText(/^Job 3, many-3: .*priority/).waitFor();
  await dialog.getByText("3 jobs accepted, 1 refused.", { exact: false }).waitFor();

  await editor.fill(
    written(
      job("many-1"),
      unnamed,
      job("many-3", { priority: 2 }),
      job("many-4", { prerequisites: [{ job: `${PARENT}/jobs/many-1` }] }),
    ),
  );
  await dialog.getByRole("button", { name: "Submit 4 jobs" }).click();
  await page.waitForURL("**/partitions/default/jobs");
  const { jobs } = await site.api.listJobs({ parent: PARENT, filter: "id = many-*" });
  assert.deepEqual(jobs.map(({ name }) => name.split("/").pop()).sort(), [
    "many-1",
    "many-3",
    "many-4",
  ]);
  // The one without an id was made once.
  assert.equal(
    (await site.api.listJobs({ parent: PARENT, filter: "labels.about = no-id" })).jobs.length,
    1,
  );
});

test("many jobs are read from a file", async () => {
  const page = await site.open("new");
  await page.getByRole("button", { name: "Many jobs…" }).click();
  const dialog = page.getByRole("dialog");
  const input = dialog.getByLabel("Read them from a file");
  await input.setInputFiles({
    name: "huge.json",
    mimeType: "text/json",
    buffer: Buffer.alloc(4 * 1024 * 1024 + 1, " "),
  });
  await dialog.getByText(/^huge\.json has /).waitFor();
  await untilDisabled(dialog.getByRole("button", { name: "Submit them" }));
  const text =
    "- {job_id: file-1, spec: {task: {pipe: nobody}}}\n- {job_id: file-2, spec: {task: {pipe: nobody}}}\n";
  await input.setInputFiles({
    name: "jobs.yaml",
    mimeType: "text/yaml",
    buffer: Buffer.from(text),
  });
  await dialog.getByRole("button", { name: "Submit 2 jobs" }).click();
  await page.waitForURL("**/partitions/default/jobs");
  assert.equal((await site.api.listJobs({ parent: PARENT, filter: "id = file-*" })).jobs.length, 2);
});
