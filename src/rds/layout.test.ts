import { expect, test } from "bun:test";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { isSafePath, nqnOf, parentOf, roundUpSize, SIZE_GRANULARITY } from "./layout.ts";

const ID = volumeIdFromName("pvc-1");

test("each component of a safe path is one of its own letters, and none leads upwards", () => {
  expect(isSafePath("pool/csi")).toBe(true);
  for (const path of ["pool/..", "../pool", "..", "pool//csi", "pool/a b", "a b/pool", "", "pool/"])
    expect([path, isSafePath(path)]).toEqual([path, false]);
});

test("the parent of a path is what stands before its last component; one component has none", () => {
  expect(["a/b/c", "a", ""].map(parentOf)).toEqual(["a/b", "", ""]);
});

test("sizes are rounded up to the granularity, and whole ones stay", () => {
  for (const [bytes, whole] of [
    [1n, 1n],
    [SIZE_GRANULARITY - 1n, 1n],
    [SIZE_GRANULARITY, 1n],
    [SIZE_GRANULARITY + 1n, 2n],
    [5n * SIZE_GRANULARITY, 5n],
  ] as const)
    expect(roundUpSize(bytes)).toBe(whole * SIZE_GRANULARITY);
});

test("an NQN names the volume, and its epoch and nonce if it has them", () => {
  expect(nqnOf("nqn.x", ID, 0)).toBe(`nqn.x:${ID}`);
  expect(nqnOf("nqn.x", ID, 1)).toBe(`nqn.x:${ID}.1`);
  expect(nqnOf("nqn.x", ID, 12, "ab")).toBe(`nqn.x:${ID}.12-ab`);
});
