import { describe, expect, it } from "vitest";
import { age, count, percentage, pretty, rate, span } from "./format";
import { idProblem } from "./api/names";
import { href, parse } from "./routes";

describe("numbers and times", () => {
  it("never round up to all", () => {
    expect(percentage(99.99)).toBe("99.9%");
    expect(percentage(100)).toBe("100%");
    expect(percentage(0)).toBe("0.0%");
  });
  it("are short, and exact where they can be", () => {
    expect(count(1234567n)).toBe("1,234,567");
    expect([0, 0.04, 3.14159, 412.4].map(rate)).toEqual(["0", "<0.1", "3.1", "412"]);
    expect([0, 40, 900, 59_000, 61_000, 3_600_000, 90_061_000].map(span)).toEqual([
      "0 s",
      "<0.1 s",
      "0.9 s",
      "59 s",
      "1 m 1 s",
      "1 h",
      "1 d 1 h",
    ]);
    expect([0, 5_000, 120_000, 86_400_000].map(age)).toEqual(["now", "5 s", "2 m", "1 d"]);
  });
  it("indents JSON and leaves text alone", () => {
    expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(pretty("{not json")).toBe("{not json");
  });
});

describe("addresses", () => {
  it("lead back to where they came from, whatever an id contains", () => {
    for (const id of ["nightly", "a b", "ä%#&=", "100%", "=+~"]) {
      expect(parse(href.job(id, id))).toEqual({ page: "job", partition: id, job: id });
      for (const section of ["pipes", "schedules", "types", "settings", "new"] as const)
        expect(parse(href.section(id, section))).toEqual({ page: section, partition: id });
      expect(parse(href.create(id))).toEqual({ page: "new", partition: id });
      expect(parse(href.jobs(id))).toEqual({ page: "jobs", partition: id });
    }
  });
  it("begin with the jobs of the default partition", () => {
    expect(parse("/")).toEqual({ page: "jobs", partition: "default" });
    expect(parse("/partitions/x")).toEqual({ page: "jobs", partition: "x" });
    expect(parse("/partitions/x/jobs/")).toEqual({ page: "jobs", partition: "x" });
    for (const path of [
      "/nothing",
      "/partitions/x/jobs/a/b",
      "/partitions/x/other",
      "/partitions/%E0%A4%A/jobs",
    ])
      expect(parse(path).page).toBe("missing");
  });
  it("refuse ids that the server refuses", () => {
    expect(idProblem("")).toBeDefined();
    expect(idProblem("a/b")).toBe("An id cannot contain “/”.");
    expect(idProblem("ä".repeat(65))).toBe("An id has at most 128 bytes.");
    expect(idProblem("a\u0007")).toBeDefined();
    expect(idProblem("nightly 2024_ä")).toBeUndefined();
  });
});
