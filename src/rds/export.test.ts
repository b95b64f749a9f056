import { describe, expect, test } from "bun:test";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { parseVolumeId } from "../domain/volume-id.ts";
import { type ExportSettings, exportNameOf } from "./export.ts";
import type { RdsVolume } from "./volume.ts";

const SLOT = "csi-dc0b943a124a3fca3f9c15f43eea";
const SETTINGS: ExportSettings = { nqnPrefix: "nqn.2000-02.com.mikrotik", nvmePort: 4420, fencing: "epoch" };
const nqn = (suffix: string): string => `${SETTINGS.nqnPrefix}:${SLOT}${suffix}`;

/** A volume in epoch 5, whose record names an export, or none. */
function volume(named: string | undefined, onItem: string): RdsVolume {
  const q = named === undefined ? "" : `;q=${named},4420,-`;
  const decoded = decodeRecord(`rds1;n=v;c=test;t=1;e=5;a=node-a,nqn.h,0,bw,2${q}`);
  const id = parseVolumeId(SLOT);
  if (decoded.kind !== "record" || id === undefined) throw new Error("not a volume");
  return { id, record: decoded.record, disk: { nqn: onItem, port: 4420 } as RdsVolume["disk"] };
}

describe("the name of an attached volume's export", () => {
  for (const [what, named, onItem, expected] of [
    ["the record's", nqn(".5-5f3a90c2"), nqn(".5-5f3a90c2"), nqn(".5-5f3a90c2")],
    ["the record's, though the item has another", nqn(".5-5f3a90c2"), "nqn.x:y", nqn(".5-5f3a90c2")],
    ["the record's of --fencing off", nqn(""), nqn(""), nqn("")],
    ["the item's, in a record of version 0.1", undefined, nqn(".5"), nqn(".5")],
  ] as const) {
    test(`is ${what}`, () => {
      expect(exportNameOf(SETTINGS, volume(named, onItem)).nqn).toBe(expected);
    });
  }

  test("is the item's, if 0.1 attached anew and kept the name of an earlier epoch", () => {
    expect(exportNameOf(SETTINGS, volume(nqn(".4-5f3a90c2"), nqn(".5"))).nqn).toBe(nqn(".5"));
  });

  test("is the item's, if 0.1 attached anew and kept a name without epoch", () => {
    expect(exportNameOf(SETTINGS, volume(nqn(""), nqn(".5"))).nqn).toBe(nqn(".5"));
  });
});
