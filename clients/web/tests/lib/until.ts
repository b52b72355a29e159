// Waiting for conditions, never for time.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

/** How long anything may take, in milliseconds. */
export const PATIENCE = 20_000;
/** How often a condition is looked at, in milliseconds. */
const LOOK = 20;

/** Waits until `probe` returns something, and returns it; says what was waited for where it takes too long. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  patience = PATIENCE,
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + patience;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== null && found !== false) {
      return found as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > end) {
      throw new Error(`waited ${patience} ms in vain: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/**
 * Waits until `probe` gives `expected`. A page may render one part of an answer before another. After `PATIENCE` the
 * error shows what `probe` gave last.
 */
export async function untilEqual<T>(
  what: string,
  probe: () => Promise<T>,
  expected: T,
): Promise<void> {
  let last: T | undefined;
  try {
    await until(what, async () => isDeepStrictEqual((last = await probe()), expected));
  } catch (error) {
    assert.deepEqual(last, expected, what);
    throw error;
  }
}
