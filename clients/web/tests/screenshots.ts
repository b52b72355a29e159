// Makes the pictures of docs/img: the dashboard's pages, light and dark, over a real server with real jobs.

import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import type { Page } from "playwright-core";

import { create, numbers, PARENT } from "./lib/jobs.ts";
import { DESKTOP, Site } from "./lib/site.ts";
import { until } from "./lib/until.ts";

const folder = resolve(import.meta.dirname, "../../../docs/img");
/** The folder of a job: its path is in the pictures, so it is the same on every machine. */
const ARCHIVE = "/tmp/contracts";
/** The largest picture, in bytes. */
const LARGEST = 200_000;

interface Picture {
  name: string;
  path: string;
  ready: (page: Page) => Promise<void>;
}

/** The pipes, once there are rates to draw. */
const PIPES: Picture = {
  name: "pipes",
  path: "pipes",
  ready: async (page) => {
    const line = page
      .getByRole("row")
      .filter({ has: page.getByText("work", { exact: true }) })
      .locator("polyline");
    await until(
      "the rate as a line",
      async () => ((await line.getAttribute("points")) ?? "").split(" ").length > 4,
    );
  },
};

const PICTURES: Picture[] = [
  {
    name: "jobs",
    path: "jobs",
    ready: (page) => page.getByText(/\d+ jobs, all of them/).waitFor(),
  },
  {
    name: "job",
    path: "jobs/contracts",
    ready: async (page) => {
      await until(
        "the tree of batches",
        async () => (await page.getByRole("treeitem").count()) > 6,
      );
      await page.getByRole("region", { name: "Events" }).getByText("Created").waitFor();
    },
  },
  PIPES,
  {
    name: "schedules",
    path: "schedules",
    ready: (page) => page.getByRole("link", { name: /^photos-nightly-/ }).waitFor(),
  },
  {
    name: "new",
    path: "new",
    ready: async (page) => {
      await page.getByLabel("Job id", { exact: true }).fill("photos-july");
      await page.getByLabel("Name for people", { exact: true }).fill("Tag the photos of July");
      await page.getByLabel("Labels", { exact: true }).fill("team=media");
      await page.getByLabel("Pipe of the items", { exact: true }).fill("photos.tag");
      await page.getByLabel("Type of the items", { exact: true }).fill("tag");
      await page.getByRole("button", { name: "Check" }).click();
      await page.getByText("The job is valid.").waitFor();
    },
  },
];

/** A folder of years with folders of months, each with some files. */
function archive(): string {
  for (let year = 2021; year <= 2025; year++) {
    for (let month = 1; month <= 12; month++) {
      const place = join(ARCHIVE, String(year), String(month).padStart(2, "0"));
      mkdirSync(place, { recursive: true });
      const files = 24 + ((year * 7 + month * 5) % 9) * 5;
      for (let file = 1; file <= files; file++) {
        writeFileSync(join(place, `contract-${file}.pdf`), "text");
      }
    }
  }
  return ARCHIVE;
}

async function prepare({ api, server }: Site): Promise<void> {
  const broken = server.gate("broken");
  broken.open(1);
  const about = (displayName: string, team: string, environment = "production") => ({
    displayName,
    labels: { team, environment },
  });
  // Slow enough to be under way in all pictures.
  const slow = { maxInFlight: 8 };
  await create(
    api,
    "invoices-2025",
    numbers({ count: 480 }, about("Render invoices of 2025", "billing")),
  );
  await create(
    api,
    "thumbnails",
    numbers({ count: 900, broken, each: 97 }, about("Make thumbnails", "media")),
  );
  await create(
    api,
    "newsletter-march",
    numbers({ count: 200, pipe: "mail.send" }, about("Send the newsletter of March", "marketing")),
  );
  await api.cancelJob({ name: `${PARENT}/jobs/newsletter-march` });
  await create(
    api,
    "search-index",
    numbers(
      { count: 1200, takes: 400 },
      { ...about("Rebuild the search index", "search"), ...slow },
    ),
  );
  await create(
    api,
    "contracts",
    numbers(
      { count: { folder: archive() }, takes: 80, broken, each: 181 },
      {
        ...about("Read scanned contracts", "legal"),
        ...slow,
        description: "Every page of the archive of contracts, year by year.",
      },
    ),
  );
  await create(
    api,
    "usage-backfill",
    numbers(
      { count: 300, pipe: "usage.import" },
      about("Backfill usage records", "billing", "staging"),
    ),
  );
  await api.pauseJob({ name: `${PARENT}/jobs/usage-backfill` });
  await create(
    api,
    "export-documents",
    numbers({ count: 2000, takes: 150 }, { ...about("Export documents", "platform"), ...slow }),
  );
  await create(
    api,
    "photos-june",
    numbers({ count: 40, pipe: "photos.tag" }, about("Tag the photos of June", "media", "staging")),
  );
  const schedule = (scheduleId: string, cron: string, timeZone = "Europe/Berlin") => {
    return api.createSchedule({
      parent: PARENT,
      scheduleId,
      schedule: {
        cron,
        timeZone,
        spec: numbers({ count: 40 }, about("Made by a schedule", "media")),
      },
    });
  };
  await schedule("photos-nightly", "0 3 * * *");
  await schedule("invoices-monthly", "30 5 1 * *");
  await schedule("usage-hourly", "@hourly", "UTC");
  await api.pauseSchedule({ name: `${PARENT}/schedules/usage-hourly` });
  await api.runSchedule({ name: `${PARENT}/schedules/photos-nightly` });
  const get = (id: string) => api.getJob({ name: `${PARENT}/jobs/${id}` });
  await until(
    "the jobs are where they are to be shown",
    async () => {
      const [invoices, thumbnails, contracts] = await Promise.all(
        ["invoices-2025", "thumbnails", "contracts"].map(get),
      );
      return invoices!.endTime && thumbnails!.endTime && contracts!.progress!.itemsDone > 600n;
    },
    60_000,
  );
}

mkdirSync(folder, { recursive: true });
mkdirSync(ARCHIVE); // Not there before, or not ours.
const site = await Site.start();
try {
  const schemes = ["light", "dark"] as const;
  const open = async (colorScheme: (typeof schemes)[number], { path }: Picture) => {
    return await site.open(path, { colorScheme, viewport: DESKTOP });
  };
  // What is drawn over time is opened first.
  const early = new Map<string, Page>();
  for (const scheme of schemes) {
    early.set(scheme, await open(scheme, PIPES));
  }
  await prepare(site);
  for (const scheme of schemes) {
    for (const picture of PICTURES) {
      const page = picture === PIPES ? early.get(scheme)! : await open(scheme, picture);
      await picture.ready(page);
      await page.evaluate(() => window.scrollTo(0, 0));
      const file = join(folder, `${picture.name}-${scheme}.png`);
      await page.screenshot({ path: file });
      const { size } = statSync(file);
      if (size > LARGEST) {
        throw new Error(`${file} has ${size} bytes, of at most ${LARGEST}`);
      }
      console.log(`${file}: ${Math.round(size / 1000)} kB`);
    }
  }
  await site.closePages();
} finally {
  await site[Symbol.asyncDispose]();
  rmSync(ARCHIVE, { recursive: true, force: true });
}
