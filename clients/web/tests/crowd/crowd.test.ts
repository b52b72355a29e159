// The page of jobs where there are many of them: what it costs the browser does not grow with their number.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import type { Page } from "playwright-core";

import { createMany, numbers, PARENT, waiting } from "../lib/jobs.ts";
import { Site } from "../lib/site.ts";
import { until } from "../lib/until.ts";

const CROWD = 10_000;
const MOVING = 1_000;
/** Rows in the document at most, the head included: those in sight and a few beyond. */
const MOST_ROWS = 60;
/** The longest that a task of a page may take on a processor while rows change, in milliseconds. */
const LONGEST_TASK = 100;
/** The largest part of the time that may go into tasks longer than 50 ms: a page that is busy redrawing everything is far above. */
const BUSY = 0.2;

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

test("ten thousand jobs are listed to the end with a handful of rows", async (t) => {
  await createMany(
    site.api,
    CROWD,
    (number) => waiting({ displayName: `Crowd ${number}` }),
    "crowd",
  );
  const begun = performance.now();
  const page = await site.open("jobs");
  await page.getByRole("row").nth(10).waitFor();
  t.diagnostic(`the first rows came after ${Math.round(performance.now() - begun)} ms`);

  let most = 0;
  await until("the end of the list", async () => {
    await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
    most = Math.max(most, await page.getByRole("row").count());
    return (await page.getByText("10,000 jobs, all of them").count()) > 0;
  });
  // They were created by many calls at once, so the first call need not have made the oldest.
  const { jobs } = await site.api.listJobs({ parent: PARENT, pageSize: 1, orderBy: "create_time" });
  const oldest = jobs[0]!.spec!.displayName;
  await until("the oldest job in sight", async () => {
    await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
    return (await page.getByRole("link", { name: oldest, exact: true }).count()) > 0;
  });
  most = Math.max(most, await page.getByRole("row").count());
  assert.ok(most <= MOST_ROWS, `${most} rows in the document`);
  t.diagnostic(`${most} rows in the document at most`);
});

test("a thousand rows change without holding up the page", async (t) => {
  const open = site.server.gate("moving");
  await createMany(
    site.api,
    MOVING,
    () =>
      numbers(
        { count: 1000, takes: 20, gate: open },
        { displayName: "Moving", maxInFlight: 8, labels: { crowd: "moving" } },
      ),
    "moving",
  );
  const page = await site.open("jobs?label=crowd%3Dmoving");
  await page.getByText("1,000 jobs, all of them").waitFor();

  const changes = await countChanges(page);
  const done = async () => {
    const jobs = (
      await site.api.listJobs({ parent: PARENT, filter: "labels.crowd = moving", pageSize: 1000 })
    ).jobs;
    return jobs.filter(({ progress }) => (progress?.itemsDone ?? 0n) > 0n).length;
  };

  const begun = performance.now();
  const { longest, long } = await site.tasksDuring(page, async () => {
    open.open(1000);
    await until("every job has moved", async () => (await done()) === MOVING, 60_000);
    await until("rows in sight have changed", async () => (await changes()) > 1000, 60_000);
  });
  const took = performance.now() - begun;
  t.diagnostic(
    `${await changes()} changes in ${Math.round(took)} ms, longest task ${Math.round(longest)} ms, long tasks ${Math.round(long)} ms`,
  );
  assert.ok(longest <= LONGEST_TASK, `a task held up the page for ${longest} ms`);
  assert.ok(long <= took * BUSY, `long tasks took ${long} of ${took} ms`);
});

test("a task that holds up a page is seen", async () => {
  const page = await site.open("jobs");
  const { longest, long } = await site.tasksDuring(page, async () => {
    await page.evaluate(
      (takes) =>
        new Promise<void>((done) => {
          setTimeout(() => {
            const end = performance.now() + takes;
            while (performance.now() < end);
            done();
          });
        }),
      20 * LONGEST_TASK,
    );
  });
  // It need not have had a processor for all that time.
  assert.ok(
    longest >= LONGEST_TASK && long >= longest,
    `the longest task seen took ${longest} ms, the long ones ${long} ms`,
  );
});

/** Counts the changes in the table of a page from now on. */
async function countChanges(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const seen = { changes: 0 };
    Object.assign(globalThis, { seen });
    new MutationObserver((records) => {
      seen.changes += records.length;
    }).observe(document.querySelector("[role=table]")!, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
    });
  });
  return () =>
    page.evaluate(() => (globalThis as unknown as { seen: { changes: number } }).seen.changes);
}
