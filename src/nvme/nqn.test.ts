import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { parseVolumeNqn, requireVolumeNqn } from "./nqn.ts";

const PREFIX = "nqn.2000-02.com.mikrotik";
const slot = volumeIdFromName("x");
const adopted = "pvc-01234567-89ab-cdef-0123-456789abcdef";

describe("NQN of a volume", () => {
  test("property: slot and epoch come back", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<string>(slot, adopted),
        fc.integer({ min: 0, max: 999_999_999 }),
        (id, epoch) => {
          const nqn = `${PREFIX}:${id}${epoch === 0 ? "" : `.${epoch}`}`;
          expect(parseVolumeNqn(PREFIX, nqn)).toMatchObject({ nqn, slot: id, epoch });
        },
      ),
    );
  });

  test.each([
    "",
    PREFIX,
    `${PREFIX}:`,
    `${PREFIX}:${slot}.`,
    `${PREFIX}:${slot}.0`,
    `${PREFIX}:${slot}.01`,
    `${PREFIX}:${slot}.-1`,
    `${PREFIX}:${slot}.1.2`,
    `${PREFIX}:${slot}.1 `,
    `${PREFIX}:${slot}/../x`,
    `${PREFIX}:${slot.toUpperCase()}.1`,
    `${PREFIX}:nixos-var`,
    `x${PREFIX}:${slot}.1`,
    `${PREFIX}.evil:${slot}.1`,
  ])("not ours: %j", (nqn) => {
    expect(parseVolumeNqn(PREFIX, nqn)).toBeUndefined();
    expect(() => requireVolumeNqn(PREFIX, nqn)).toThrow("--nqn-prefix");
  });

  test("an empty prefix owns nothing; the volume has to be the right one", () => {
    expect(parseVolumeNqn("", `:${slot}.1`)).toBeUndefined();
    expect(() => requireVolumeNqn(PREFIX, `${PREFIX}:${slot}.1`, adopted)).toThrow("is not that of volume");
  });
});
