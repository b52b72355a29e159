import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { JobSchema, type Job } from "../../../gen/headway/v1/job_pb";
import { WatchJobsResponseSchema } from "../../../gen/headway/v1/job_service_pb";
import { JobTable } from "./job-table";
import { NEWEST, ORDERS } from "./order";

/** The job that was created at a second, in a revision. */
function job(second: number, revision = 1, displayName = ""): Job {
  return create(JobSchema, {
    name: `partitions/p/jobs/j${second}`,
    uid: `u${second}`,
    revision: BigInt(revision),
    createTime: { seconds: BigInt(second), nanos: 0 },
    spec: { displayName },
  });
}

function message(fields: {
  jobs?: Job[];
  removed?: string[];
  listingBegins?: boolean;
  listingComplete?: boolean;
}) {
  const removed = (fields.removed ?? []).map((uid) => ({ uid }));
  return create(WatchJobsResponseSchema, {
    jobs: fields.jobs ?? [],
    removed,
    listingBegins: fields.listingBegins ?? false,
    listingComplete: fields.listingComplete ?? false,
  });
}

function seconds(table: JobTable, query = ""): number[] {
  return table.matching(query).map(({ uid }) => Number(uid.slice(1)));
}

describe("the table of jobs", () => {
  it("is newest first, however the jobs come", () => {
    const table = new JobTable();
    table.put([job(5), job(3)]);
    table.put([job(9)]);
    table.put([job(4)]);
    table.put([job(1)]);
    expect(seconds(table)).toEqual([9, 5, 4, 3, 1]);
    // Many at once take another way.
    table.put(Array.from({ length: 20 }, (_, index) => job(2 * index)));
    table.put(Array.from({ length: 60 }, (_, index) => job(index)));
    const all = seconds(table);
    expect(all).toEqual(all.toSorted((a, b) => b - a));
    expect(new Set(all).size).toBe(all.length);
    expect(all).toHaveLength(60);
  });

  it("shows the newest state, and never an older one", () => {
    const table = new JobTable();
    table.put([job(1, 5)]);
    table.put([job(1, 4)]);
    expect(table.get("u1")?.revision).toBe(5n);
    table.put([job(1, 6)]);
    expect(table.get("u1")?.revision).toBe(6n);
    expect(table.size).toBe(1);
  });

  it("keeps what was shown until a new listing is complete, and then only what is in it", () => {
    const table = new JobTable();
    table.apply(message({ listingBegins: true, jobs: [job(3, 7), job(2), job(1)] }));
    table.apply(message({ listingComplete: true }));
    table.apply(message({ listingBegins: true, jobs: [job(4)] }));
    expect(seconds(table)).toEqual([4, 3, 2, 1]);
    // A listing may be of a database that was restored: its word counts.
    table.apply(message({ jobs: [job(3, 2)], listingComplete: true }));
    expect(seconds(table)).toEqual([4, 3]);
    expect(table.get("u3")?.revision).toBe(2n);
  });

  it("removes, also what a page that was asked for before would bring back", () => {
    const table = new JobTable();
    table.put([job(3), job(2)]);
    table.beginPage();
    table.apply(message({ removed: ["u2", "u1", "u77"] }));
    table.endPage([job(1), job(0)]);
    expect(seconds(table)).toEqual([3, 0]);
    // Later it may come again.
    table.put([job(1, 9)]);
    expect(seconds(table)).toEqual([3, 1, 0]);
  });

  it("finds by id and by name, and finds what comes later", () => {
    const table = new JobTable();
    table.put([job(12, 1, "Manuals"), job(2, 1, "Scans")]);
    expect(seconds(table, " MANU ")).toEqual([12]);
    expect(seconds(table, "j2")).toEqual([2]);
    table.put([job(22, 1, "More manuals")]);
    expect(seconds(table, "manu")).toEqual([22, 12]);
    table.remove("u12");
    expect(seconds(table, "manu")).toEqual([22]);
    // A state that changes nothing about who is found leaves the rows as they are.
    const before = table.matching("manu");
    table.put([job(22, 2, "More manuals")]);
    expect(table.matching("manu")).toBe(before);
    expect(before[0]?.job.revision).toBe(2n);
  });
});

describe("the table in another order", () => {
  const byName = ORDERS.find(({ text }) => text === "display_name") ?? NEWEST;
  const names = (table: JobTable): string[] =>
    table.matching("").map(({ job }) => job.spec?.displayName ?? "");

  it("shows what the pages reach, and of the stream what belongs there", () => {
    const table = new JobTable(byName);
    // The stream begins with the newest job, wherever that stands.
    table.apply(message({ listingBegins: true, listingComplete: true, jobs: [job(9, 1, "z")] }));
    table.beginPage();
    table.endPage([job(5, 1, "a"), job(3, 1, "c")], true);
    expect(names(table)).toEqual(["a", "c"]);
    table.apply(message({ jobs: [job(10, 1, "b"), job(11, 1, "d")] }));
    expect(names(table)).toEqual(["a", "b", "c"]);
    table.beginPage();
    // What comes while a page is on its way is not lost, unless it goes again.
    table.apply(message({ jobs: [job(12, 1, "e"), job(13, 1, "f"), job(14, 1, "zz")] }));
    table.apply(message({ removed: ["u13"] }));
    table.endPage([job(11, 1, "d"), job(9, 1, "z")], false);
    expect(names(table)).toEqual(["a", "b", "c", "d", "e", "z", "zz"]);
    table.apply(message({ jobs: [job(15, 1, "zzz")] }));
    expect(names(table).at(-1)).toBe("zzz");
  });

  it("keeps what was shown until the first page of a new listing is here", () => {
    const table = new JobTable(byName);
    table.apply(message({ listingBegins: true, listingComplete: true, jobs: [] }));
    table.beginPage();
    table.endPage([job(1, 7, "a"), job(2, 1, "b")]);
    table.apply(message({ listingBegins: true, listingComplete: true, jobs: [job(3, 1, "c")] }));
    expect(names(table)).toEqual(["a", "b", "c"]);
    table.beginPage();
    table.endPage([job(1, 2, "a"), job(3, 1, "c")]);
    expect(names(table)).toEqual(["a", "c"]);
    expect(table.get("u1")?.revision).toBe(2n);
  });

  it("breaks ties by age, in the same direction", () => {
    const descending = ORDERS.find(({ text }) => text === "display_name desc") ?? NEWEST;
    const table = new JobTable(descending);
    table.endPage([job(1, 1, "x"), job(3, 1, "y"), job(2, 1, "x")]);
    expect(seconds(table)).toEqual([3, 2, 1]);
    const up = new JobTable(byName);
    up.endPage([job(2, 1, "x"), job(3, 1, "y"), job(1, 1, "x")]);
    expect(seconds(up)).toEqual([1, 2, 3]);
  });
});
