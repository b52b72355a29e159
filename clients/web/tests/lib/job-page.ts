// The page of one job, as its tests see it.

import type { Page } from "playwright-core";

import { until } from "./until.ts";

/** Waits until the page shows this state. */
export const state = (page: Page, word: string) =>
  page.getByRole("status", { name: "State" }).getByText(word, { exact: true }).waitFor();

/** A button of what can be done to the job. */
export const button = (page: Page, name: string) =>
  page.getByRole("group", { name: "Actions" }).getByRole("button", { name, exact: true });

/** Waits until the progress bar shows this percentage. */
export async function shows(page: Page, percentage: number): Promise<void> {
  const bar = page.getByRole("progressbar", { name: "Progress" });
  await until(
    `${percentage} %`,
    async () => Number(await bar.getAttribute("aria-valuenow")) === percentage,
  );
}
