import { expect, test } from "bun:test";
import { consistentFacts, DEFAULT_SHAPE } from "../../test/support/volume-facts.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Survey } from "../rds/survey.ts";
import { ifKnown, known, unknown } from "./fact.ts";
import type { PvFacts } from "./facts.ts";
import { parseVolumeName, resolveName } from "./resolve.ts";
import { volumeOf } from "./sides.ts";

const facts = consistentFacts();
const volume = volumeOf(facts) as NonNullable<ReturnType<typeof volumeOf>>;
const pv = ifKnown(facts.cluster.pv) as PvFacts;
const survey: Survey = { volumes: [volume], foreign: [], mounted: [] };
const both = { address: "192.0.2.1:22", survey: known(survey), pvs: known([{ ...pv, name: "pv-static" }]) };
const resolve = (name: string, sources: Parameters<typeof resolveName>[1] = both, namespace?: string) =>
  resolveName({ name, namespace }, sources);

test("every name leads to the volume, from either side alone", () => {
  for (const name of [volume.id, DEFAULT_SHAPE.name, "pv-static", "disk"])
    expect(resolve(name)).toBe(volume.id);
  expect(resolve("disk", both, "vms")).toBe(volume.id);
  expect(resolve("disk", { ...both, pvs: unknown("down") }, "vms")).toBe(volume.id);
  expect(resolve("disk", { ...both, survey: unknown("down") }, "vms")).toBe(volume.id);
  expect(resolve("pv-static", { ...both, survey: unknown("down") })).toBe(volume.id);
});

test("with a namespace only claims count", () => {
  expect(() => resolve(volume.id, both, "vms")).toThrow(/no volume is called/);
  expect(() => resolve("disk", both, "other")).toThrow(/no volume is called "other\/disk"/);
});

test("not found says where was looked and where was not", () => {
  expect(() => resolve("nothing")).toThrow(
    /no volume is called "nothing": the RDS 192\.0\.2\.1:22 has 1 volumes, none of that name; the cluster has 1 PersistentVolumes/,
  );
  const neither = { ...both, survey: unknown("no route"), pvs: unknown("--orchestrator is none") };
  expect(() => resolve("disk", neither)).toThrow(
    /the RDS could not be asked \(no route\); the cluster was not asked \(--orchestrator is none\)/,
  );
});

test("ambiguous lists the candidates", () => {
  const id = volumeIdFromName("second");
  const second = {
    ...volume,
    id,
    record: { ...volume.record, name: "second", claim: { namespace: "shop", name: "disk" } },
  };
  const two = { ...both, survey: known({ ...survey, volumes: [volume, second] }) };
  expect(() => resolve("disk", two)).toThrow(/"disk" names 2 volumes: .*claim shop\/disk.*claim vms\/disk/);
  expect(resolve("disk", two, "shop")).toBe(id);
});

test("names as they are typed", () => {
  expect(parseVolumeName("a", undefined)).toEqual({ namespace: undefined, name: "a" });
  expect(parseVolumeName("a/b", undefined)).toEqual({ namespace: "a", name: "b" });
  expect(parseVolumeName("a/b", "a")).toEqual({ namespace: "a", name: "b" });
  expect(parseVolumeName("b", "a")).toEqual({ namespace: "a", name: "b" });
  for (const [text, namespace] of [
    ["", undefined],
    ["/b", undefined],
    ["a/", undefined],
    ["a/b/c", undefined],
    ["a/b", "c"],
    ["b", ""],
  ] as const)
    expect(parseVolumeName(text, namespace)).toBeUndefined();
});
