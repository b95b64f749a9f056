import { unknown } from "../../src/inspect/fact.ts";
import { conversionSlots } from "../../src/rds/conversion-slots.ts";
import type { Case } from "./volume-cases.ts";
import { consistentFacts, type Shape } from "./volume-facts.ts";

const { fresh: FRESH } = conversionSlots(consistentFacts().handle);
const none: Partial<Shape> = { nodes: [] };
const noItem = unknown("no disk item names a pool");

/** The states of a volume on its way into a subvolume. */
export const CONVERSION_CASES: readonly Case[] = [
  {
    what: "a volume whose copy in a subvolume is whole, and whose own item is made anew",
    ids: ["volume-converting"],
    shape: none,
    change: { disk: "absent", rds: { movedBy: { slot: FRESH, isWhole: true }, pool: noItem } },
  },
  {
    what: "a volume whose own item was removed while its data was copied into a subvolume",
    ids: ["volume-converting"],
    shape: none,
    change: { disk: "absent", rds: { movedBy: { slot: FRESH, isWhole: false }, pool: noItem } },
  },
  {
    what: "a volume that is copied into a subvolume",
    ids: ["volume-converting"],
    shape: none,
    change: { record: { conversion: "copy" } },
  },
];
