// Makes the pictures of docs/img: the dashboard's pages, light and dark, over a real server with real jobs.

import { mkdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

import type { Page } from 'playwright-core';

import { create, IDLE, numbers, PARENT, type Tree, waiting } from './lib/jobs.ts';
import { DESKTOP, Site } from './lib/site.ts';
import { until } from './lib/until.ts';

const folder = resolve(import.meta.dirname, '../../../docs/img');
/** The largest picture, in bytes. */
const LARGEST = 200_000;

interface Picture {
  name: string;
  path: string;
  ready: (page: Page) => Promise<void>;
}

const PICTURES: Picture[] = [
  {
    name: 'jobs',
    path: 'jobs',
    ready: (page) => page.getByText(/\d+ jobs, all of them/).waitFor(),
  },
];

/** Years of months, each with so many items. */
function archive(years: number, months: number, items: number): Tree {
  let number = 0;
  const month = (): Tree => Array.from({ length: items + (number % 7) * 4 }, () => number++);
  return Array.from({ length: years }, () => Array.from({ length: months }, month));
}

async function prepare({ api, server }: Site): Promise<void> {
  const broken = server.gate('broken');
  broken.open(1);
  const about = (displayName: string, team: string, environment = 'production') => ({ displayName, labels: { team, environment } });
  // Slow enough to be under way in all pictures.
  const slow = { maxInFlight: 8 };
  await create(api, 'invoices-2025', numbers({ count: 480 }, about('Render invoices of 2025', 'billing')));
  await create(api, 'thumbnails', numbers({ count: 900, broken, each: 97 }, about('Make thumbnails', 'media')));
  await create(api, 'newsletter-march', numbers({ count: 200, pipe: IDLE }, about('Send the newsletter of March', 'marketing')));
  await api.cancelJob({ name: `${PARENT}/jobs/newsletter-march` });
  await create(api, 'search-index', numbers({ count: 1200, takes: 400 }, { ...about('Rebuild the search index', 'search'), ...slow }));
  await create(api, 'contracts', numbers({ count: archive(5, 12, 30), takes: 80, broken, each: 181 }, {
    ...about('Read scanned contracts', 'legal'),
    ...slow,
    description: 'Every page of the archive of contracts, year by year.',
  }));
  await create(api, 'usage-backfill', numbers({ count: 300, pipe: IDLE }, about('Backfill usage records', 'billing', 'staging')));
  await api.pauseJob({ name: `${PARENT}/jobs/usage-backfill` });
  await create(api, 'export-documents', numbers({ count: 2000, takes: 150 }, { ...about('Export documents', 'platform'), ...slow }));
  await create(api, 'photo-42', waiting(about('Tag a photo', 'media', 'staging')));
  const get = (id: string) => api.getJob({ name: `${PARENT}/jobs/${id}` });
  await until('the jobs are where they are to be shown', async () => {
    const [invoices, thumbnails, contracts] = await Promise.all(['invoices-2025', 'thumbnails', 'contracts'].map(get));
    return invoices!.endTime && thumbnails!.endTime && contracts!.progress!.itemsDone > 900n;
  }, 60_000);
}

const site = await Site.start();
try {
  await prepare(site);
  mkdirSync(folder, { recursive: true });
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const { name, path, ready } of PICTURES) {
      const page = await site.open(path, { colorScheme, viewport: DESKTOP });
      await ready(page);
      const file = join(folder, `${name}-${colorScheme}.png`);
      await page.screenshot({ path: file });
      const { size } = statSync(file);
      if (size > LARGEST) {
        throw new Error(`${file} has ${size} bytes, of at most ${LARGEST}`);
      }
      console.log(`${file}: ${Math.round(size / 1000)} kB`);
      await site.closePages();
    }
  }
} finally {
  await site[Symbol.asyncDispose]();
}
