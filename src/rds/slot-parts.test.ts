import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { cutPart, NUMBERED_SLOTS, OUR_SLOTS, patternOf, type SlotPart } from "./slot-parts.ts";

const meets = (part: SlotPart, slot: string) => new RegExp(patternOf(part)).test(slot);

const ours = fc
  .tuple(fc.constantFrom("csi-", "pvc-"), fc.nat(2 ** 32 - 1))
  .map(([prefix, number]) => prefix + number.toString(16).padStart(8, "0"));
const others = fc.string({ unit: fc.constantFrom(..."abv-_.0123456789"), minLength: 1, maxLength: 12 });

/** Cuts a part as a reader may: some of the pieces again, and again. */
function leaves(part: SlotPart, counts: readonly number[]): SlotPart[] {
  const [count = 1, ...later] = counts;
  const pieces = cutPart(part, count);
  if (later.length === 0) return pieces;
  return pieces.flatMap((piece, at) => (at % 2 === 0 ? leaves(piece, later) : [piece]));
}

describe("parts of a list by slot", () => {
  for (const [name, all, slots] of [
    ["slots of ours", OUR_SLOTS, ours],
    ["numbered slots", NUMBERED_SLOTS, others],
  ] as const) {
    test(`${name}: each is in one part, however often the parts are cut`, () => {
      fc.assert(
        fc.property(
          fc.array(slots, { minLength: 1, maxLength: 10 }),
          fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 3 }),
          (list, counts) => {
            const parts = leaves(all, counts);
            for (const slot of list) {
              const holding = parts.filter((part) => meets(part, slot)).length;
              expect({ slot, holding }).toEqual({ slot, holding: meets(all, slot) ? 1 : 0 });
            }
          },
        ),
        { numRuns: 100 },
      );
    });
  }

  test("are as many as asked for, or cannot be cut further", () => {
    for (const count of [1, 2, 3, 15, 16, 17, 29, 64, 300, 5_000, 70_000]) {
      const parts = cutPart(OUR_SLOTS, count);
      expect(parts.length).toBeGreaterThanOrEqual(Math.min(count, 16 ** 4));
      expect(parts.length).toBeLessThanOrEqual(Math.max(count * 16, 1));
    }
    const [smallest] = cutPart(NUMBERED_SLOTS, 1_000);
    expect(smallest === undefined ? [] : cutPart(smallest, 2)).toEqual([smallest as SlotPart]);
  });

  test("cover every volume id of this driver", () => {
    for (let at = 0; at < 200; at++) expect(meets(OUR_SLOTS, volumeIdFromName(`pvc-${at}`))).toBe(true);
    expect(meets(OUR_SLOTS, "pvc-0a1b2c3d-0000-4000-8000-0123456789ab")).toBe(true);
    expect(meets(OUR_SLOTS, "csi-zebra")).toBe(false);
  });
});
