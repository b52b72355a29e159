// Numbers, times and durations as they are shown. One way of writing for all, since logs and the command line use it too.
import { at, millis } from "./api/time";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compactNumber = new Intl.NumberFormat("en", {
  notation: "compact",
  maximumFractionDigits: 1,
});
const clockTime = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const dayAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

export function count(value: bigint | number): string {
  return whole.format(value);
}

/** At most five characters: `1.2M`. */
export function compact(value: bigint | number): string {
  return compactNumber.format(value);
}

/** A count with its noun: `1 job`, `12 jobs`. */
export function counted(value: bigint | number, one: string, many = `${one}s`): string {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}

/** Cut and not rounded: 100% is only what is complete. */
export function percentage(value: number): string {
  return value >= 100 ? "100%" : `${(Math.floor(value * 10) / 10).toFixed(1)}%`;
}

/** Items per second, without the unit. */
export function rate(value: number): string {
  if (value <= 0) return "0";
  if (value < 0.1) return "<0.1";
  return value < 10
    ? value.toFixed(1)
    : value < 100_000
      ? whole.format(value)
      : compactNumber.format(value);
}

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
];

/** The largest two units: `2 h 5 m`. */
export function span(ms: number): string {
  if (ms > 0 && ms < 1_000) return ms < 100 ? "<0.1 s" : `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.max(0, Math.round(ms / 1000));
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const unit = UNITS[first];
  if (!unit) return "0 s";
  const [name, size] = unit;
  const next = UNITS[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  return next && rest
    ? `${Math.floor(seconds / size)} ${name} ${rest} ${next[0]}`
    : `${Math.floor(seconds / size)} ${name}`;
}

/** The largest unit: `5 m`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const unit = UNITS.find(([, size]) => seconds >= size);
  return unit ? `${Math.floor(seconds / unit[1])} ${unit[0]}` : "now";
}

export function timeLeft(duration: Duration | undefined): string {
  return duration ? span(millis(duration)) : "";
}

/** `14:03:27`. */
export function clock(ms: number): string {
  return clockTime.format(ms);
}

/** The time, with its day if that is not today. */
export function moment(time: Timestamp | undefined, now: number = Date.now()): string {
  const ms = at(time);
  if (ms === undefined) return "";
  return new Date(ms).toDateString() === new Date(now).toDateString()
    ? clockTime.format(ms)
    : dayAndTime.format(ms);
}

/** All there is to say about a time, for a title. */
export function exactly(time: Timestamp | undefined): string {
  const ms = at(time);
  return ms === undefined ? "" : full.format(ms);
}

/** Text that is JSON, indented; any other as it is. */
export function pretty(text: string): string {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
