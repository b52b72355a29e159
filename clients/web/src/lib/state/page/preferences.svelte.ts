// What this browser remembers: theme, partitions, who acts, keys.
import { setActor } from "../../api/client";
import { DEFAULT_PARTITION } from "../../routes";

export type Theme = "system" | "light" | "dark";
const RECENT = 8;

function read(key: string): string | undefined {
  try {
    return localStorage.getItem(`headway.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(`headway.${key}`, value);
  } catch {
    // Without storage nothing is remembered, and all else works.
  }
}

function readRecent(): readonly string[] {
  try {
    const found: unknown = JSON.parse(read("partitions") ?? "[]");
    return Array.isArray(found)
      ? found.filter((entry) => typeof entry === "string").slice(0, RECENT)
      : [];
  } catch {
    return [];
  }
}

class Preferences {
  theme: Theme = $state("system");
  /** Whether single keys act. */
  keys = $state(read("keys") !== "off");
  actor = $state(read("actor") ?? "");
  recent: readonly string[] = $state.raw(readRecent());

  constructor() {
    const theme = read("theme");
    if (theme === "light" || theme === "dark") this.theme = theme;
    setActor(this.actor);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    write("theme", theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  setKeys(on: boolean): void {
    this.keys = on;
    write("keys", on ? "on" : "off");
  }

  setActor(name: string): void {
    this.actor = name;
    setActor(name);
    write("actor", name);
  }

  visited(partition: string): void {
    if (this.recent[0] === partition) return;
    this.recent = [partition, ...this.recent.filter((other) => other !== partition)].slice(
      0,
      RECENT,
    );
    write("partitions", JSON.stringify(this.recent));
  }

  /** Partitions to offer, the newest first. */
  get offered(): readonly string[] {
    return this.recent.includes(DEFAULT_PARTITION)
      ? this.recent
      : [...this.recent, DEFAULT_PARTITION];
  }
}

export const preferences = new Preferences();
