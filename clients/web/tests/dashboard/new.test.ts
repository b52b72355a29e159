// The page for a new job: what is wrong is shown where it is, and what is right becomes a job.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { PARENT, WORK } from '../lib/jobs.ts';
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

test('what the server refuses is shown at its field and its line, and what is mended is submitted', async () => {
  const page = await site.open('new');
  await page.getByRole('heading', { name: 'New job in default' }).waitFor();
  const field = (name: string) => page.getByLabel(name, { exact: true });
  const wrong = (name: string) => until(`${name} is marked`, async () => (await field(name).getAttribute('aria-invalid')) === 'true');

  await field('Name for people').fill('By hand');
  await field('Pipe of the items').fill('no such/pipe');
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.getByRole('alert').waitFor();
  await wrong('Pipe of the items');
  // The same at the line of the request that says so.
  const editor = page.getByRole('textbox', { name: 'CreateJobRequest as JSON' });
  assert.equal(await editor.getAttribute('aria-invalid'), 'true');
  await page.getByRole('button', { name: /^Line \d+$/ }).first().click();
  const marked = await editor.evaluate((area: HTMLTextAreaElement) => area.value.slice(area.selectionStart, area.selectionEnd));
  assert.match(marked, /no such\/pipe/);
  assert.equal((await site.api.listJobs({ parent: PARENT })).jobs.length, 0);

  await field('Pipe of the items').fill(WORK);
  await field('What to split, as JSON').fill('{"from": 0, "to": 3}');
  await field('Payload of each item, as JSON').fill('{"number": "{{item}}"}');
  await field('Job id').fill('by-hand');
  await until('the text follows the form', async () => (await editor.inputValue()).includes('"by-hand"'));
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByText('Nothing is wrong with it. It was not submitted.').waitFor();
  assert.equal((await site.api.listJobs({ parent: PARENT })).jobs.length, 0);

  await page.getByRole('button', { name: 'Submit' }).click();
  await page.waitForURL('**/jobs/by-hand');
  await page.getByRole('heading', { name: 'By hand' }).waitFor();
  await page.getByRole('status', { name: 'State' }).getByText('Completed').waitFor();
  const { spec, progress } = await site.api.getJob({ name: `${PARENT}/jobs/by-hand` });
  assert.equal(spec?.displayName, 'By hand');
  assert.equal(progress?.itemsDone, 3n);
});

test('a job is written as YAML, and the form follows', async () => {
  const page = await site.open('new');
  await page.getByRole('button', { name: 'YAML' }).click();
  const editor = page.getByRole('textbox', { name: 'CreateJobRequest as YAML' });
  // What replaces a text that is just being selected would stay.
  await until('the draft as YAML', async () => (await editor.inputValue()).startsWith('spec:'));
  await editor.fill(
    [
      'jobId: as-text',
      'spec:',
      '  displayName: As text',
      '  batch:',
      '    splitter: list',
      '    json: { items: ["1", "2"] }',
      '    item: { pipe: nobody }',
    ].join('\n'),
  );
  await until('the form follows', async () => (await page.getByLabel('Name for people', { exact: true }).inputValue()) === 'As text');
  await editor.fill('spec: [');
  await until('the text is marked', async () => (await editor.getAttribute('aria-invalid')) === 'true');
  assert.equal(await page.getByRole('button', { name: 'Submit' }).getAttribute('aria-disabled'), 'true');
  await editor.fill('{ jobId: as-text, spec: { displayName: As text, batch: { splitter: list, json: { items: ["1", "2"] }, item: { pipe: nobody } } } }');
  await until('it can be read again', async () => (await page.getByRole('button', { name: 'Submit' }).getAttribute('aria-disabled')) === null);
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.waitForURL('**/jobs/as-text');
  await until('both items are known', async () => {
    return (await site.api.getJob({ name: `${PARENT}/jobs/as-text` })).progress?.itemsKnown === 2n;
  });
});
