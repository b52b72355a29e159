import { toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CreateJobRequestSchema } from "../gen/headway/v1/job_service_pb";
import {
  EXAMPLES,
  SPLITTERS,
  blank,
  concerns,
  fromBase64,
  get,
  normalised,
  requestOf,
  set,
  toBase64,
} from "./draft";
import { linesOf, parse, write } from "./source";

describe("a draft", () => {
  it("becomes the request that it says", () => {
    const draft = set(set(blank(), "spec.batch.item.pipe", "documents"), "jobId", "nightly");
    const request = requestOf(draft, "partitions/p", "r1", true);
    expect(request).toMatchObject({
      parent: "partitions/p",
      jobId: "nightly",
      requestId: "r1",
      validateOnly: true,
    });
    expect(toJson(CreateJobRequestSchema, request)).toMatchObject({
      spec: {
        batch: { splitter: "range", json: { from: 0, to: 1000 }, item: { pipe: "documents" } },
      },
    });
    for (const splitter of SPLITTERS)
      expect(() =>
        requestOf(
          set(blank(), "spec.batch.json", EXAMPLES[splitter].definition),
          "partitions/p",
          "",
          false,
        ),
      ).not.toThrow();
  });

  it("loses a field that is emptied, and what is empty then", () => {
    const draft = set(
      { spec: { displayName: "a", retryPolicy: { maxAttempts: 3 } } },
      "spec.retryPolicy.maxAttempts",
      "",
    );
    expect(draft).toEqual({ spec: { displayName: "a" } });
    expect(get(draft, "spec.retryPolicy.maxAttempts")).toBeUndefined();
  });

  it("reads the names of the contract in either way, and a spec alone", () => {
    expect(
      normalised({
        job_id: "j",
        spec: {
          max_in_flight: 3,
          labels: { max_in_flight: "x" },
          batch: { json: { my_key: 1 }, item: { pipe: "p" } },
        },
      }),
    ).toEqual({
      jobId: "j",
      spec: {
        maxInFlight: 3,
        labels: { max_in_flight: "x" },
        batch: { json: { my_key: 1 }, item: { pipe: "p" } },
      },
    });
    expect(normalised({ display_name: "n", task: { content_type: "text/plain" } })).toEqual({
      spec: { displayName: "n", task: { contentType: "text/plain" } },
    });
  });

  it("names a field that the contract does not have", () => {
    expect(() => requestOf({ spec: { surprise: 1 } }, "partitions/p", "", false)).toThrow(
      /surprise/,
    );
  });

  it("carries text as base64", () => {
    expect(fromBase64(toBase64("grüße 🦀"))).toBe("grüße 🦀");
    expect(fromBase64(btoa("\xff\xfe"))).toBeUndefined();
  });
});

it("finds the field of the form that the server means", () => {
  expect(concerns("spec.retryPolicy.maxAttempts", "spec.retry_policy.max_attempts")).toBe(true);
  expect(concerns("spec.labels", "spec.labels.team")).toBe(true);
  expect(concerns("spec.batch.item", "spec.batch.items")).toBe(false);
});

describe("the text", () => {
  const value = { spec: { displayName: "a", batch: { item: { pipe: "p" } } } };

  it.each(["json", "yaml"] as const)(
    "says the same as %s, and where each field is",
    async (format) => {
      const text = await write(value, format);
      expect(await parse(text, format)).toEqual({ value });
      const lines = text.split("\n");
      const line = (word: string) => lines.findIndex((each) => each.includes(word)) + 1;
      expect(
        await linesOf(text, [
          "spec.display_name",
          "spec.batch.item.pipe",
          "spec.batch.item.type",
          "nothing",
        ]),
      ).toEqual([line("displayName"), line("pipe"), line("item"), 1]);
    },
  );

  it("says at which line it cannot be read", async () => {
    expect(await parse('{\n  "a": 1,\n  b\n}', "json")).toMatchObject({ line: 3 });
    expect(await parse("a: 1\nb: [1, 2\nc: 3\n", "yaml")).toMatchObject({ line: 3 });
  });
});
