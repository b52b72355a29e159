// The dashboard as a person has it: a server of its own, a browser, and pages in which nothing may go wrong.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { AxeResults } from "axe-core";
import type {
  Browser,
  BrowserContext,
  BrowserContextOptions,
  Locator,
  Page,
} from "playwright-core";

import { type Api, api } from "./api.ts";
import { launch } from "./browser.ts";
import { PARTITION } from "./jobs.ts";
import { Server, type Settings } from "./server.ts";
import { type Tasks, tasksDuring } from "./tasks.ts";
import { PATIENCE, until, untilEqual } from "./until.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const DESKTOP = { width: 1280, height: 800 };
export const NARROW = { width: 400, height: 800 };

export class Site {
  private readonly contexts: BrowserContext[] = [];
  private readonly complaints: string[] = [];
  /** Whether a browser may say that it cannot reach the server: while a test has it stopped. */
  private unreachable = false;

  private constructor(
    readonly server: Server,
    private readonly browser: Browser,
    readonly api: Api,
  ) {}

  static async start(settings: Settings = {}): Promise<Site> {
    const server = await Server.start(settings);
    try {
      return new Site(server, await launch(), api(server.url));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the dashboard shows something of the tests' partition, as in `jobs/one`. */
  path(rest: string): string {
    return `${this.server.url}/partitions/${PARTITION}/${rest}`;
  }

  /** Opens the dashboard at a path, in a window and with a memory of its own. */
  async open(rest: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({
      viewport: DESKTOP,
      reducedMotion: "reduce",
      ...options,
    });
    this.contexts.push(context);
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.complaints.push(`${error.name}: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      const isNetwork = text.includes("net::ERR_");
      if (["error", "warning"].includes(message.type()) && !(isNetwork && this.unreachable)) {
        this.complaints.push(`${message.type()}: ${text}`);
      }
    });
    await page.goto(this.path(rest));
    return page;
  }

  /** Runs `work` and tells which tasks the main thread of a page ran meanwhile. */
  async tasksDuring(page: Page, work: () => Promise<void>): Promise<Tasks> {
    return await tasksDuring(this.browser, page, work);
  }

  /** From now on browsers may say that the server is away. */
  expectUnreachable(): void {
    this.unreachable = true;
  }

  /** Closes the pages of a test. Nothing may have gone wrong in them, policies of the server included. */
  async closePages(): Promise<void> {
    await Promise.all(this.contexts.splice(0).map((context) => context.close()));
    this.unreachable = false;
    assert.deepEqual(this.complaints.splice(0), [], "a page complained");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.browser.close();
    } finally {
      await this.server[Symbol.asyncDispose]();
    }
  }
}

/** Waits until a field is marked as wrong. */
export const untilInvalid = (field: Locator) =>
  untilEqual(`${field} is wrong`, () => field.getAttribute("aria-invalid"), "true");

/** Waits until a button cannot be pressed. */
export const untilDisabled = (button: Locator) =>
  untilEqual(`${button} is disabled`, () => button.getAttribute("aria-disabled"), "true");

/** Waits until `probe` holds. Where it does not, the error says where the page is, what has the focus, and what it shows. */
export async function untilShown(
  page: Page,
  what: string,
  probe: () => Promise<boolean>,
): Promise<void> {
  try {
    await until(what, probe);
  } catch (error) {
    const state = await page.evaluate(() => ({
      address: location.pathname + location.search,
      focus: document.activeElement?.outerHTML.slice(0, 200),
      scrolled: `${scrollY} of ${document.documentElement.scrollHeight - innerHeight}`,
      text: document.body.innerText.slice(0, 3000),
    }));
    throw new Error(`waited in vain: ${what}. The page: ${JSON.stringify(state)}`, {
      cause: error,
    });
  }
}

/** Checks a page by the rules of WCAG 2 A and AA and of good practice. */
export async function checkAccess(page: Page, what: string): Promise<void> {
  // Not a script of the page, so that its policy does not forbid it.
  await page.evaluate(axe);
  const { violations } = (await page.evaluate(async () => {
    // A button that becomes possible has its new text on its old background for a moment.
    await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
    const { axe } = globalThis as unknown as {
      axe: { run: (context: Document) => Promise<AxeResults> };
    };
    return axe.run(document);
  })) as AxeResults;
  const found = violations.map(({ id, help, nodes }) => {
    return `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `    ${html}\n    ${failureSummary}`).join("\n")}`;
  });
  assert.deepEqual(found, [], `${what} is not accessible`);
}
