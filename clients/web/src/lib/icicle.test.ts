import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { BatchSchema, type Batch } from "../gen/headway/v1/batch_pb";
import { blocksOf, neighbour, type Children } from "./icicle";

function batch(name: string, known: number, batches = 0): Batch {
  return create(BatchSchema, { name, itemsKnown: BigInt(known), batchCount: BigInt(batches) });
}

function draw(root: Batch, tree: Record<string, Children>, width = 1_000) {
  return blocksOf(root, width, (name) => tree[name]);
}

describe("the icicle", () => {
  it("gives each batch its part of the width, three levels deep", () => {
    const blocks = draw(batch("r", 400, 2), {
      r: { batches: [batch("a", 100, 1), batch("b", 300)], more: false },
      a: { batches: [batch("c", 50, 1)], more: false },
      c: { batches: [batch("d", 50)], more: false },
    });
    expect(blocks.map(({ key, level, x, width }) => [key, level, x, width])).toEqual([
      ["r", 0, 0, 1_000],
      ["a", 1, 0, 250],
      ["c", 2, 0, 125],
      ["a#items", 2, 125, 125],
      ["b", 1, 250, 750],
    ]);
  });

  it("draws what is too small together, as one block that says how many", () => {
    const small = Array.from({ length: 50 }, (_, index) => batch(`s${index}`, 1));
    const blocks = draw(batch("r", 10_050, 51), {
      r: { batches: [batch("a", 10_000), ...small], more: false },
    });
    const rest = blocks.find(({ kind }) => kind === "rest");
    expect(rest).toMatchObject({ batches: 50, items: 50, width: 18 });
    expect(blocks.find(({ key }) => key === "a")?.width).toBeCloseTo(982);
    expect(blocks.every(({ x, width }) => x >= 0 && x + width <= 1_000.001)).toBe(true);
  });

  it("counts batches that were not loaded into the rest", () => {
    const loaded = Array.from({ length: 500 }, (_, index) => batch(`s${index}`, 100));
    const blocks = draw(batch("r", 100_000, 900), { r: { batches: loaded, more: true } }, 10_000);
    expect(blocks.filter(({ kind }) => kind === "batch")).toHaveLength(501);
    expect(blocks.at(-1)).toMatchObject({ kind: "rest", batches: 400 });
  });

  it("survives a batch of which nothing is known", () => {
    const blocks = draw(
      batch("r", 0, 3),
      { r: { batches: [batch("a", 0), batch("b", 0), batch("c", 0)], more: false } },
      300,
    );
    expect(blocks.map(({ kind }) => kind)).toEqual(["batch", "rest"]);
    expect(blocks.every(({ width }) => Number.isFinite(width) && width > 0)).toBe(true);
  });

  it("leads the arrows to neighbours, in and out", () => {
    const blocks = draw(batch("r", 400, 2), {
      r: { batches: [batch("a", 100, 1), batch("b", 300, 1)], more: false },
      b: { batches: [batch("c", 300)], more: false },
    });
    const block = (key: string) => blocks.find((each) => each.key === key)!;
    expect(neighbour(blocks, block("a"), "right")?.key).toBe("b");
    expect(neighbour(blocks, block("a"), "left")).toBeUndefined();
    expect(neighbour(blocks, block("b"), "down")?.key).toBe("c");
    expect(neighbour(blocks, block("c"), "up")?.key).toBe("b");
    expect(neighbour(blocks, block("r"), "down")?.key).toBe("a");
    expect(neighbour(blocks, block("a"), "down")).toBeUndefined();
  });
});
