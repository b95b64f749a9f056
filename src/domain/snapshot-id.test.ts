import { expect, test } from "bun:test";
import {
  isHandleLabel,
  parseSnapshotHandle,
  parseSnapshotId,
  partsOfHandle,
  snapshotHandle,
  snapshotIdFromName,
} from "./snapshot-id.ts";

const id = snapshotIdFromName("s1");

test("a handle is an id and the label of a filesystem, both of which it gives back", () => {
  for (const label of ["a", "storage-pool-fs", "A.b_c:1@d+e-f", ".", "x".repeat(64)]) {
    const handle = snapshotHandle(id, label);
    expect(parseSnapshotHandle(handle)).toBe(handle);
    expect(partsOfHandle(handle)).toEqual({ id, label });
    expect([isHandleLabel(label), handle.length <= 128]).toEqual([true, true]);
    expect(parseSnapshotId(handle)).toBeUndefined();
  }
});

test("any other text is neither", () => {
  for (const label of ["", "a b", 'a"', "a|b", "a>b", "ä", "a\n", "x".repeat(65)]) {
    expect(parseSnapshotHandle(`${id}.${label}`)).toBeUndefined();
    expect(isHandleLabel(label)).toBe(false);
  }
  for (const text of ["", id, `${id.slice(0, -1)}.a`, `${id}0.a`, ` ${id}.a`, `csi${id.slice(4)}.a`])
    expect(parseSnapshotHandle(text)).toBeUndefined();
  expect(parseSnapshotId(id)).toBe(id);
  for (const text of ["", `${id}.`, `${id}\n`, `${id}0`]) expect(parseSnapshotId(text)).toBeUndefined();
});
