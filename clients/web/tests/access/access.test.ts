// Every page, light and dark, wide and narrow, by the rules that axe-core knows; and nothing is wider than the window.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import type { Page } from "playwright-core";

import { create, createMany, numbers, PARENT, waiting } from "../lib/jobs.ts";
import { JOB_TYPES } from "../lib/server.ts";
import { checkAccess, DESKTOP, NARROW, Site } from "../lib/site.ts";
import { until } from "../lib/until.ts";

let site: Site;

before(async () => {
  site = await Site.start(JOB_TYPES);
  const { api, server } = site;
  const gate = server.gate("gate");
  const broken = server.gate("broken");
  broken.open(1);
  gate.open(6);
  await createMany(api, 12, () => waiting(), "many");
  await create(
    api,
    "paused",
    waiting({ displayName: "A job that is paused", labels: { team: "web", stage: "two" } }),
  );
  await api.pauseJob({ name: `${PARENT}/jobs/paused` });
  await create(api, "cancelled", waiting());
  await api.cancelJob({ name: `${PARENT}/jobs/cancelled` });
  await create(api, "done", numbers({ count: 5 }));
  await create(
    api,
    "failed",
    numbers({ count: 6, broken, each: 3 }, { displayName: "A job that failed" }),
  );
  await create(
    api,
    "active",
    numbers(
      { count: 12, gate },
      { displayName: "A job under way", description: "What it is about." },
    ),
  );
  await api.createSchedule({
    parent: PARENT,
    scheduleId: "nightly",
    schedule: { cron: "0 3 * * *", spec: waiting() },
  });
  await api.pauseSchedule({ name: `${PARENT}/schedules/nightly` });
  const states = async () =>
    (await api.listJobs({ parent: PARENT, pageSize: 100 })).jobs.map(({ progress }) => progress!);
  await until("nothing moves any more", async () => {
    const moving = (await states()).filter(
      ({ itemsDone, itemsFailed }) =>
        itemsDone + itemsFailed === 5n || itemsDone + itemsFailed === 6n,
    );
    return moving.length === 3;
  });
});
after(async () => {
  await site?.[Symbol.asyncDispose]();
});
afterEach(async () => {
  await site.closePages();
});

/** A view: where it is, and what is there once it is complete. */
interface View {
  what: string;
  path: string;
  ready: (page: Page) => Promise<void>;
}

const VIEWS: View[] = [
  {
    what: "jobs",
    path: "jobs",
    ready: (page) => page.getByText("17 jobs, all of them").waitFor(),
  },
  {
    what: "selected jobs",
    path: "jobs",
    ready: async (page) => {
      await page.getByRole("checkbox", { name: /Select all/ }).check();
      await page.getByText("17 selected").waitFor();
    },
  },
  {
    what: "a question about jobs",
    path: "jobs",
    ready: async (page) => {
      await page.getByRole("checkbox", { name: /Select all/ }).check();
      await page.getByRole("toolbar").getByRole("button", { name: "Retry" }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "no matching jobs",
    path: "jobs?label=no%3Dsuch",
    ready: (page) => page.getByRole("heading", { name: "No job matches" }).waitFor(),
  },
  {
    what: "help",
    path: "jobs",
    ready: async (page) => {
      await page.getByRole("button", { name: "Help and settings" }).click();
      await page.getByRole("dialog", { name: "Help and settings" }).waitFor();
    },
  },
  {
    what: "a job under way",
    path: "jobs/active",
    ready: async (page) => {
      await page.getByRole("heading", { name: "A job under way" }).waitFor();
      await page.getByRole("region", { name: "Events" }).getByText("Created").waitFor();
      await page.getByRole("treeitem").first().waitFor();
    },
  },
  {
    what: "a job that failed, its batches as a table",
    path: "jobs/failed",
    ready: async (page) => {
      await page.getByText("2 failures of 2 loaded").waitFor();
      await page.getByText("document 3 is broken").first().click();
      await page
        .getByRole("region", { name: "Batches" })
        .getByRole("button", { name: "Show as a table" })
        .click();
    },
  },
  {
    what: "pipes",
    path: "pipes",
    ready: (page) => page.getByText("No worker is attached").first().waitFor(),
  },
  {
    what: "the limits of a pipe",
    path: "pipes",
    ready: async (page) => {
      await page
        .getByRole("button", { name: /^Set the limits of/ })
        .first()
        .click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "schedules",
    path: "schedules",
    ready: (page) => page.getByText("0 3 * * *").waitFor(),
  },
  {
    what: "a schedule that is changed",
    path: "schedules",
    ready: async (page) => {
      await page.getByRole("button", { name: "Edit nightly" }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "job types",
    path: "types",
    ready: (page) => page.getByText("Pack the files of a folder").waitFor(),
  },
  {
    what: "a new job type",
    path: "types",
    ready: async (page) => {
      await page.getByRole("button", { name: "New job type" }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "the partition",
    path: "settings",
    ready: (page) => page.getByRole("heading", { name: "Its jobs run" }).waitFor(),
  },
  {
    what: "many jobs to be changed",
    path: "jobs",
    ready: async (page) => {
      await page.getByRole("button", { name: "Change many jobs" }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "a job that is changed",
    path: "jobs/paused",
    ready: async (page) => {
      await page.getByRole("button", { name: "Change", exact: true }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  {
    what: "a new job by a type",
    path: "new?type=export",
    ready: (page) => page.getByLabel("Job type", { exact: true }).waitFor(),
  },
  {
    what: "a new job",
    path: "new",
    ready: (page) => page.getByRole("heading", { name: "New job in default" }).waitFor(),
  },
  {
    what: "a new job that was refused",
    path: "new",
    ready: async (page) => {
      await page.getByLabel("Pipe of the items", { exact: true }).fill("no such/pipe");
      await page.getByRole("button", { name: "Submit" }).click();
      await page.getByRole("alert").waitFor();
    },
  },
  {
    what: "many new jobs, one of them refused",
    path: "new",
    ready: async (page) => {
      await page.getByRole("button", { name: "Many jobs…" }).click();
      await page
        .getByRole("textbox", { name: "Jobs as YAML or JSON" })
        .fill('- {task: {pipe: "no such/pipe"}}');
      await page.getByRole("button", { name: "Submit 1 job" }).click();
      await page.getByRole("dialog").getByRole("alert").waitFor();
    },
  },
  {
    what: "no such page",
    path: "nothing",
    ready: (page) => page.getByRole("heading", { name: "There is no such page" }).waitFor(),
  },
];

test("the rules find what is wrong", async () => {
  const page = await site.open("jobs");
  await page.getByText("17 jobs, all of them").waitFor();
  await page.evaluate(() =>
    document.querySelector("main")!.append(document.createElement("button")),
  );
  await assert.rejects(checkAccess(page, "a button without a name"), /button-name/);
});

test("an open page follows the colour scheme", async () => {
  const page = await site.open("jobs");
  const background = async (colorScheme: "light" | "dark") => {
    await page.emulateMedia({ colorScheme });
    return await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  };
  assert.notEqual(await background("light"), await background("dark"));
});

for (const [width, viewport] of [
  ["wide", DESKTOP],
  ["narrow", NARROW],
] as const) {
  describe(width, () => {
    for (const { what, path, ready } of VIEWS) {
      test(what, async () => {
        const page = await site.open(path, { viewport });
        await ready(page);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          await checkAccess(page, `${what}, ${colorScheme}`);
        }
        const beyond = await page.evaluate(
          () => document.documentElement.scrollWidth - window.innerWidth,
        );
        assert.ok(beyond <= 0, `it is ${beyond} pixels wider than the window`);
      });
    }
  });
}
