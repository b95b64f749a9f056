import { describe, expect, test } from "bun:test";
import { consistentFacts, DEFAULT_SHAPE } from "../../test/support/volume-facts.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { PersistentVolumeView } from "../kubernetes/port.ts";
import type { Survey } from "../rds/survey.ts";
import { ifKnown, known, notAsked, unknown, unknownBecause } from "./fact.ts";
import { volumeOf } from "./facts.ts";
import { lookedAt, parseVolumeName, resolveName } from "./resolve.ts";

const facts = consistentFacts();
const volume = volumeOf(facts) as NonNullable<ReturnType<typeof volumeOf>>;
const pv = ifKnown(facts.cluster.pv) as PersistentVolumeView;
const survey: Survey = { volumes: [volume], foreign: [], mounted: [], arrays: [], conversions: [] };
const both = { address: "192.0.2.1:22", survey: known(survey), pvs: known([{ ...pv, name: "pv-static" }]) };
const resolve = (name: string, sources: Parameters<typeof resolveName>[1] = both, namespace?: string) =>
  ifKnown(resolveName({ name, namespace }, sources));

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
    /no volume is called "nothing": the RDS 192\.0\.2\.1:22 has 1 volume, none of that name; the cluster has 1 PersistentVolume of/,
  );
  const alone = { ...both, pvs: notAsked("--orchestrator is none") };
  expect(() => resolve("nothing", alone)).toThrow(/the cluster was not asked \(--orchestrator is none\)/);
});

test("a name that is not found while a side does not answer is unknown, with that side's failure; a handle is itself", () => {
  const named = { name: "nothing", namespace: undefined };
  const down = unknownBecause(failure("rdsUnreachable", { address: both.address, reason: "no route" }));
  for (const pvs of [both.pvs, notAsked("--orchestrator is none"), unknown("no answer")])
    expect(resolveName(named, { ...both, survey: down, pvs })).toBe(down);
  const silent = unknown("no answer");
  expect(resolveName(named, { ...both, pvs: silent })).toBe(silent);
  const other = volumeIdFromName("second");
  expect(resolve(other, { ...both, survey: down, pvs: silent })).toBe(other);
});

test("a whole handle is itself, also where neither side has it", () => {
  const other = volumeIdFromName("second");
  expect(resolve(other)).toBe(other);
  expect(resolve(other, { ...both, pvs: notAsked("--orchestrator is none") })).toBe(other);
  expect(() => resolve(other, both, "vms")).toThrow(/no volume is called/);
});

test("not found names the volumes whose record cannot be read, without those of other clusters", () => {
  const foreign = (["unreadable", "no-record", "other-cluster"] as const).map((cause) => {
    return { id: volumeIdFromName(cause), disk: volume.disk, cause, reason: cause };
  });
  const [unreadable, noRecord] = foreign;
  const some = { ...both, survey: known({ ...survey, foreign }) };
  expect(() => resolve("nothing", some)).toThrow(
    `has 4 volumes, none of that name; of 2 the name is not known, as their record cannot be read (${unreadable?.id}, ${noRecord?.id}); the cluster`,
  );
  const one = { ...both, survey: known({ ...survey, foreign: foreign.slice(0, 1) }) };
  expect(() => resolve("nothing", one)).toThrow(
    `; of 1 the name is not known, as its record cannot be read (${unreadable?.id}); the cluster`,
  );
});

test("a beginning that is not tried while a side does not answer is named", () => {
  const named = (name: string) => ({ name, namespace: undefined });
  const down = { ...both, pvs: unknown("no answer") };
  expect(lookedAt(down, named("dis")).rds).toBe(
    `the RDS 192.0.2.1:22 has 1 volume, none of that name; 1 begins with it: ${volume.id}; beginnings are not tried while Kubernetes does not answer`,
  );
  expect(lookedAt(down, named("x")).rds).toBe("the RDS 192.0.2.1:22 has 1 volume, none of that name");
  expect(lookedAt(both, named("dis")).rds).toBe("the RDS 192.0.2.1:22 has 1 volume, none of that name");
  const silent = { ...both, survey: unknown("no answer") };
  expect(lookedAt(silent, named("pv-st")).cluster).toEndWith(
    `; 1 begins with it: ${volume.id}; beginnings are not tried while the RDS does not answer`,
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

describe("beginnings of names", () => {
  const named = (name: string, claim: string | undefined): typeof volume => ({
    ...volume,
    id: volumeIdFromName(name),
    record: {
      ...volume.record,
      name,
      claim: claim === undefined ? undefined : { namespace: "vms", name: claim },
    },
  });
  const [db, backup, web] = [
    named("pvc-1", "db"),
    named("pvc-22", "db-backup"),
    named("pvc-23", "web-rootdisk"),
  ];
  const many = { ...both, survey: known({ ...survey, volumes: [db, backup, web] }), pvs: known([]) };

  test("of a handle, a PersistentVolume or a claim lead to the one volume that has it", () => {
    for (const name of [web.id.slice(0, 12), "pvc-23", "web", "vms/web-r"])
      expect(resolve(name, many)).toBe(web.id);
    expect(resolve("web", many, "vms")).toBe(web.id);
    const inCluster = { ...many, pvs: known([{ ...pv, name: "pv-static" }]) };
    expect(resolve("pv-st", inCluster)).toBe(pv.handle as typeof web.id);
  });

  test("while a side does not answer only those of handles: it may have a volume of exactly that name", () => {
    const silent = { ...many, pvs: unknown("no answer") };
    expect(resolveName({ namespace: undefined, name: "web" }, silent)).toBe(silent.pvs);
    expect(resolve("web-rootdisk", silent)).toBe(web.id);
    expect(resolve(web.id.slice(0, 12), silent)).toBe(web.id);
  });

  test("a whole name wins over longer ones that begin with it", () => {
    expect(resolve("db", many)).toBe(db.id);
    expect(resolve("db-", many)).toBe(backup.id);
  });

  test("an ambiguous one lists the candidates, ten at most", () => {
    expect(() => resolve("pvc-2", many)).toThrow(
      /"pvc-2" is no whole name and fits 2 volumes: (?=.*claim vms\/db-backup, pvc-22)(?=.*claim vms\/web-rootdisk, pvc-23)/,
    );
    const crowd = Array.from({ length: 500 }, (_, index) => named(`pvc-${index}`, undefined));
    expect(() => resolve("csi-", { ...many, survey: known({ ...survey, volumes: crowd }) })).toThrow(
      /^"csi-" is no whole name and fits 500 volumes: (csi-\w+ \(pvc-\d+\); ){10}490 more\./,
    );
  });

  test("names as the list cuts them", () => {
    for (const name of [`${web.id.slice(0, 12)}…`, "v…/web-…isk", "vms/web-ro…sk", "web…"])
      expect(resolveName(parseVolumeName(name, undefined) ?? { namespace: undefined, name }, many)).toEqual(
        known(web.id),
      );
    expect(() => resolve("web…xx", many)).toThrow(/no volume is called/);
    expect(() => resolve("web-rootdisk…rootdisk", many)).toThrow(/no volume is called/);
  });

  test("another namespace, a claim without a volume, and a command that writes take no beginnings", () => {
    expect(() => resolve("web", many, "v")).toThrow(/no volume is called/);
    expect(() => resolveName({ namespace: "vms", name: "web" }, many, "the claim is Pending")).toThrow(
      /Pending/,
    );
    expect(() => resolveName({ namespace: undefined, name: "web" }, many, undefined, true)).toThrow(
      /no volume is called/,
    );
    expect(resolveName({ namespace: undefined, name: "web-rootdisk" }, many, undefined, true)).toEqual(
      known(web.id),
    );
  });
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
