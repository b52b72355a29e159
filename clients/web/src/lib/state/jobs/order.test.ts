import { expect, it } from "vitest";
import { compareTexts } from "./order";

it("compares texts as their bytes in UTF-8", () => {
  const texts = ["", "A", "Z", "a", "ab", "é", "日", "\u{e000}", "\u{ffff}", "😀", "😀a", "😁"];
  const encoder = new TextEncoder();
  const bytes = (text: string): string =>
    Array.from(encoder.encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (const a of texts) {
    for (const b of texts) {
      const expected = bytes(a) < bytes(b) ? -1 : bytes(a) > bytes(b) ? 1 : 0;
      expect(Math.sign(compareTexts(a, b)), `${a} ${b}`).toBe(expected);
    }
  }
});
