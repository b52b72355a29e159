// Where the batches of a tree are drawn: each level a row, each batch as wide as its part of the items.
import type { Batch } from "../gen/headway/v1/batch_pb";

export interface Block {
  readonly key: string;
  readonly level: number;
  /** Pixels from the left edge, and its width. */
  readonly x: number;
  readonly width: number;
  readonly kind: "batch" | "rest" | "items";
  /** The batch, or the one that the rest or the items are of. */
  readonly batch: Batch;
  /** Batches that a `rest` stands for. */
  readonly batches: number;
  /** Items in it. */
  readonly items: number;
}

export interface Children {
  readonly batches: readonly Batch[];
  /** Whether there are more than these. */
  readonly more: boolean;
}

/** Narrower batches are drawn together, in pixels. */
export const NARROWEST = 7;
const REST = 18;
/** Levels in sight. */
export const LEVELS = 3;

/** The blocks of a batch and of what is below it, in reading order. */
export function blocksOf(
  top: Batch,
  width: number,
  childrenOf: (name: string) => Children | undefined,
): readonly Block[] {
  const blocks: Block[] = [];
  const place = (batch: Batch, level: number, x: number, wide: number): void => {
    blocks.push({
      key: batch.name,
      level,
      x,
      width: wide,
      kind: "batch",
      batch,
      batches: 1,
      items: Number(batch.itemsKnown),
    });
    const children = level + 1 < LEVELS ? childrenOf(batch.name) : undefined;
    if (children?.batches.length) placeChildren(batch, children, level + 1, x, wide);
  };
  const placeChildren = (
    parent: Batch,
    children: Children,
    level: number,
    x: number,
    wide: number,
  ): void => {
    const listed = children.batches.reduce((sum, { itemsKnown }) => sum + Number(itemsKnown), 0);
    const whole = Math.max(Number(parent.itemsKnown), listed, 1);
    const share = (batch: Batch): number => (Number(batch.itemsKnown) / whole) * wide;
    const shown = children.batches.filter((batch) => share(batch) >= NARROWEST);
    const hidden = children.batches.filter((batch) => share(batch) < NARROWEST);
    const hiddenItems = hidden.reduce((sum, { itemsKnown }) => sum + Number(itemsKnown), 0);
    const own = Math.max(0, Number(parent.itemsKnown) - listed);
    const folded = children.more
      ? Math.max(0, Number(parent.batchCount) - children.batches.length)
      : 0;
    const natural = ((hiddenItems + (children.more ? own : 0)) / whole) * wide;
    const restCount = hidden.length + folded;
    const restWidth = restCount ? Math.min(Math.max(natural, REST), wide) : 0;
    // The rest may be wider than its part; the others give way.
    const scale = wide - natural > 0 ? (wide - restWidth) / (wide - natural) : 0;
    let left = x;
    for (const batch of shown) {
      const size = share(batch) * scale;
      place(batch, level, left, size);
      left += size;
    }
    if (restCount) {
      blocks.push({
        key: `${parent.name}#rest`,
        level,
        x: left,
        width: restWidth,
        kind: "rest",
        batch: parent,
        batches: restCount,
        items: hiddenItems,
      });
      left += restWidth;
    }
    const ownWidth = x + wide - left;
    if (own > 0 && !children.more && ownWidth >= 2) {
      blocks.push({
        key: `${parent.name}#items`,
        level,
        x: left,
        width: ownWidth,
        kind: "items",
        batch: parent,
        batches: 0,
        items: own,
      });
    }
  };
  place(top, 0, 0, width);
  return blocks;
}

/** The block that an arrow leads to. */
export function neighbour(
  blocks: readonly Block[],
  from: Block,
  arrow: "left" | "right" | "up" | "down",
): Block | undefined {
  const level = from.level + (arrow === "up" ? -1 : arrow === "down" ? 1 : 0);
  const row = blocks.filter((block) => block.level === level);
  if (arrow === "left") return row[row.indexOf(from) - 1];
  if (arrow === "right") return row[row.indexOf(from) + 1];
  const middle = from.x + from.width / 2;
  if (arrow === "up") return row.find(({ x, width }) => x <= middle && middle <= x + width);
  return row.find(({ x, width }) => x + width > from.x && x < from.x + from.width);
}
