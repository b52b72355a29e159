// One headless Chromium for a file of tests. It ends with this process.

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

import { type Browser, chromium } from "playwright-core";

export async function launch(): Promise<Browser> {
  return await chromium.launch({
    executablePath: executable(),
    // As root the sandbox of Chromium does not start; a small /dev/shm is no reason to crash.
    args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-dev-shm-usage"],
  });
}

function executable(): string {
  const wanted = process.env.HEADWAY_CHROMIUM;
  if (wanted) {
    return wanted;
  }
  const names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      "there is no Chromium in PATH: scripts/install.sh browser installs it, HEADWAY_CHROMIUM names another",
    );
  }
  return found;
}
