// The page of pipes.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { create, createMany, IDLE, numbers, PARENT, waiting, WORK } from '../lib/jobs.ts';
import { Site } from '../lib/site.ts';
import { until } from '../lib/until.ts';

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

test('pipes show what is in them, who works on them, and where nobody does', async () => {
  const page = await site.open('pipes');
  await page.getByRole('heading', { name: 'No pipes yet' }).waitFor();

  const gate = site.server.gate('gate');
  await create(site.api, 'busy', numbers({ count: 7, gate }));
  await createMany(site.api, 5, () => waiting(), 'lonely');
  const pipe = (name: string) => page.getByRole('row').filter({ has: page.getByText(name, { exact: true }) });
  const cell = async (name: string, label: string) => (await pipe(name).locator(`[data-label="${label}"]`).textContent())?.trim();

  await until('the items at the worker', async () => (await pipe(WORK).count()) === 1 && (await cell(WORK, 'In flight')) === '7');
  assert.equal(await cell(WORK, 'Consumers'), '1');
  assert.equal(await pipe(WORK).getByText('No worker is attached').count(), 0);
  await pipe(IDLE).getByText('No worker is attached, and work waits.').waitFor();
  await until('the messages that wait', async () => (await cell(IDLE, 'Ready')) === '5');
  assert.equal(await cell(IDLE, 'Jobs'), '5');

  // What is in sight follows what happens.
  gate.open(7);
  await until('the items are done', async () => (await cell(WORK, 'In flight')) === '0');
  await site.api.pauseJob({ name: `${PARENT}/jobs/lonely-00000` });
  await site.api.cancelJob({ name: `${PARENT}/jobs/lonely-00001` });
  await until('one job fewer', async () => (await cell(IDLE, 'Jobs')) === '4');
});
