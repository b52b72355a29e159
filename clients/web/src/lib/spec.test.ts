import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { JobSpecSchema } from "../gen/headway/v1/job_spec_pb";
import { specJson } from "./spec";

describe("a spec for people", () => {
  const batch = (jsonText: string) =>
    create(JobSpecSchema, {
      labels: { jsonText: "[1]" },
      work: {
        case: "batch",
        value: {
          splitter: "range",
          definition: { case: "jsonText", value: jsonText },
          parametersForm: { case: "parametersJsonText", value: '{"level":6}' },
          item: { pipe: "work", payloadForm: { case: "payloadJsonText", value: '"{{item}}"' } },
        },
      },
      jobType: {
        jobType: "jobTypes/a",
        parametersForm: { case: "parametersJsonText", value: '{"to":7}' },
      },
    });

  it("has its JSON values in it", () => {
    expect(specJson(batch('{"from":0,"to":1.5e3,"name":"9007199254740993"}'))).toEqual({
      labels: { jsonText: "[1]" },
      batch: {
        splitter: "range",
        json: { from: 0, to: 1500, name: "9007199254740993" },
        parameters: { level: 6 },
        item: { pipe: "work", payload: "{{item}}" },
      },
      jobType: { jobType: "jobTypes/a", parameters: { to: 7 } },
    });
  });

  it("keeps the text where a number would become another", () => {
    for (const text of ["[9007199254740993]", '{"a":-18446744073709551615}']) {
      expect(specJson(batch(text))).toMatchObject({ batch: { jsonText: text } });
    }
  });
});
