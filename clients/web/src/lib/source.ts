// The text of the editor: JSON or YAML, and at which lines its fields are.
import type { JsonValue } from "@bufbuild/protobuf";
import { formPath } from "./draft";

export type Format = "json" | "yaml";

const loadYaml = (): Promise<typeof import("yaml")> => import("yaml");

export type Parsed =
  { readonly value: JsonValue } | { readonly problem: string; readonly line: number | undefined };

export async function write(value: JsonValue, format: Format): Promise<string> {
  return format === "json"
    ? `${JSON.stringify(value, null, 2)}\n`
    : (await loadYaml()).stringify(value);
}

export async function parse(text: string, format: Format): Promise<Parsed> {
  if (format === "json") {
    try {
      const value: JsonValue = JSON.parse(text);
      return { value };
    } catch (thrown) {
      const said = thrown instanceof Error ? thrown.message : "this is not JSON";
      const place = /position (\d+)/.exec(said)?.[1];
      return {
        problem: said,
        line: place === undefined ? undefined : text.slice(0, Number(place)).split("\n").length,
      };
    }
  }
  const { parseDocument } = await loadYaml();
  const document = parseDocument(text, { prettyErrors: false });
  const error = document.errors[0];
  if (error)
    return { problem: error.message, line: text.slice(0, error.pos[0]).split("\n").length };
  try {
    // Aliases that grow without bound are refused by the library.
    const value: JsonValue = document.toJS({ maxAliasCount: 100 });
    return { value };
  } catch (thrown) {
    return {
      problem: thrown instanceof Error ? thrown.message : "this cannot be read",
      line: undefined,
    };
  }
}

/** The line, from 1, of each path; of a field that is not there, the line of what it belongs in. JSON is YAML, too. */
export async function linesOf(text: string, paths: readonly string[]): Promise<readonly number[]> {
  const { parseDocument, isMap, isScalar, LineCounter } = await loadYaml();
  const lineCounter = new LineCounter();
  const root = parseDocument(text, { lineCounter, prettyErrors: false }).contents;
  return paths.map((path) => {
    let node: unknown = root;
    let line = 1;
    for (const segment of formPath(path)
      .split(/[.[\]/]/)
      .filter(Boolean)) {
      if (!isMap(node)) break;
      const pair = node.items.find(
        ({ key }) => isScalar(key) && formPath(String(key.value)) === segment,
      );
      if (!pair || !isScalar(pair.key)) break;
      line = lineCounter.linePos(pair.key.range?.[0] ?? 0).line;
      node = pair.value;
    }
    return line;
  });
}
