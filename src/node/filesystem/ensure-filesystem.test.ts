import { describe, expect, test } from "bun:test";
import type { FilesystemFinding, MkfsMark, Superblock } from "../../host/helper-answers.ts";
import { uuidOf } from "../../mount/mkfs-mark.ts";
import { DEVICE, type Machine, machine, outcome, read, ZEROS } from "../proofs.fixture.ts";
import { ensureFilesystem, judgeUnfinished } from "./ensure-filesystem.ts";
import type { FilesystemWish } from "./make-filesystem.ts";

const VOLUME = "csi-a";
const WISH: FilesystemWish = {
  ...{ volume: VOLUME, device: DEVICE, filesystem: "ext4", state: "new", epoch: 7, sizeBytes: 1_000n },
};
const MARK: MkfsMark = { volume: VOLUME, epoch: 7, filesystem: "ext4", token: "0f".repeat(16) };
const WHOLE: Superblock = { kind: "whole", uuid: "u" };
const OTHER: Superblock = { kind: "other" };
const [FLUSH, FIND] = ["--flushbufs /dev/nvme0n1", "find ext4 1000"];
/** The first look at a device whose superblock is not zeros. */
const LOOK = [FIND, FLUSH];
/** That at zeros, and the looks that follow it once nothing uses the device. */
const AGAIN = [FIND, "users", FLUSH, FIND];
const MKFS = ["users", "connected", "stat", "mark 259:1", "mkfs.ext4", `unmark 259:1 ${VOLUME}`];
const ext4 = [0, "TYPE=ext4\nUSAGE=filesystem\n"] as const;
const busy = [{ kind: "process", description: "mkfs" }] as const;

const ensure = async (answers: Machine, wish: Partial<FilesystemWish> = {}) => {
  const node = machine(answers);
  const result = await outcome(ensureFilesystem(node, { ...WISH, ...wish }));
  return { result, steps: node.steps };
};
const found = (...findings: FilesystemFinding[]) => ({ found: findings });
const changes = (steps: readonly string[]) => steps.filter((step) => /mark|mkfs/.test(step));

describe("a filesystem is made", () => {
  test("on a blank device, after every proof, each from a look that began after the last user had gone", async () => {
    expect(await ensure({})).toEqual({
      result: true,
      steps: [...AGAIN, "blkid", "look 1000 quick", ...MKFS],
    });
  });

  test("on a used volume's blank device only after a deep look", async () => {
    const { result, steps } = await ensure({}, { state: "used" });
    expect([result, steps.filter((step) => step.startsWith("look"))]).toEqual([true, ["look 1000 deep"]]);
  });

  test("anew where an mkfs of this attachment did not end: no look for data, as its own work is there", async () => {
    const unfinished: Superblock = { kind: "unfinished", uuid: uuidOf(MARK) };
    expect(await ensure(found(read(ZEROS, { marks: [MARK] })))).toEqual({
      result: true,
      steps: [...AGAIN, "blkid", ...MKFS],
    });
    // blkid would take its own superblock for somebody's filesystem, and so would mkfs.
    const forced = MKFS.map((step) => (step === "mkfs.ext4" ? "mkfs.ext4 -F" : step));
    expect(await ensure(found(read(unfinished, { marks: [MARK] })))).toEqual({
      result: true,
      steps: [...LOOK, "users", FLUSH, FIND, ...forced],
    });
  });
});

test.each<[string, Machine, number]>([
  ["a mount of the filesystem that is there", found(read(WHOLE)), 1],
  ["blkid, of a superblock that the driver does not know", { ...found(read(OTHER)), blkid: ext4 }, 1],
  ["blkid, of a superblock that is damaged", found(read({ kind: "damaged", detail: "checksum" })), 1],
  ["blkid, before mkfs", {}, 1],
  ["a filesystem that another program ends meanwhile", found(read(ZEROS), read(WHOLE)), 1],
])("the cache is dropped before what reads through it: %s", async (_, answers, times) => {
  const { steps } = await ensure(answers);
  expect(steps.filter((step) => step === FLUSH)).toHaveLength(times);
  const reader = steps.findIndex((step) => /blkid|mkfs/.test(step));
  expect(steps.indexOf(FLUSH)).toBeLessThan(reader < 0 ? steps.length : reader);
});

test("an unknown answer to the look for data is no proof of a blank device", async () => {
  for (const blank of [{ kind: "nothing" }, {}]) {
    const { result, steps } = await ensure({ blank: blank as never });
    expect([result, changes(steps)]).toEqual(["deviceUnreadable", []]);
  }
});

test("nothing is made, changed or looked through where the filesystem is there", async () => {
  expect(await ensure(found(read(WHOLE)))).toEqual({ result: false, steps: LOOK });
  expect(await ensure({ ...found(read(OTHER)), blkid: ext4 })).toEqual({
    result: false,
    steps: [...LOOK, "blkid"],
  });
  // Zeros in the place of the superblock are judged by a second look, after the last user has gone.
  expect(await ensure({ ...found(read(ZEROS)), blkid: ext4 })).toEqual({
    result: false,
    steps: [...AGAIN, "blkid"],
  });
});

test("an mkfs that outlived its driver and ends while it is waited for has made the filesystem", async () => {
  expect(await ensure(found(read(ZEROS), read(WHOLE)))).toEqual({
    result: false,
    steps: AGAIN,
  });
});

describe("the mark beside a whole filesystem", () => {
  const whole = (mark: Partial<MkfsMark>, uuid = uuidOf(MARK)) =>
    found(read({ kind: "whole", uuid }, { marks: [{ ...MARK, ...mark }] }));

  test("of this very filesystem is taken away, with proof that nothing uses the device", async () => {
    const proofs = ["users", "connected", "stat"];
    expect(await ensure(whole({}))).toEqual({
      result: false,
      steps: [...LOOK, ...proofs, `unmark 259:1 ${VOLUME}`],
    });
    expect((await ensure({ ...whole({}), users: [busy] })).result).toBe("deviceInUse");
    expect((await ensure({ ...whole({}), find: "absent" })).result).toBe("deviceChanged");
    const erased = { kind: "failed", detail: "EIO" } as const;
    expect((await ensure({ ...whole({}), erased })).result).toBe("filesystemNotMade");
  });

  test("of another volume or another filesystem stays: it is the content of a file", async () => {
    for (const answers of [whole({ volume: "csi-b" }), whole({}, "another")])
      expect(await ensure(answers)).toEqual({ result: false, steps: LOOK });
  });
});

test.each<[string, Machine, Partial<FilesystemWish>, string]>([
  ["is unreadable", found({ kind: "unreadable", detail: "EIO" }), {}, "deviceUnreadable"],
  ["cannot be flushed", { flush: 1 }, {}, "deviceUnreadable"],
  ["has a dangerous superblock", found(read(WHOLE, { danger: "d" })), {}, "filesystemUnsafe"],
  [
    "has one that only blkid knows",
    { ...found(read(OTHER, { danger: "d" })), blkid: ext4 },
    {},
    "filesystemUnsafe",
  ],
  ["has another filesystem", { blkid: [0, "TYPE=xfs\nUSAGE=filesystem\n"] }, {}, "filesystemMismatch"],
  ["is a RAID member named ext4", { blkid: [0, "TYPE=ext4\nUSAGE=raid\n"] }, {}, "filesystemMismatch"],
  ["has a partition table", { blkid: [0, "PTTYPE=gpt\n"] }, {}, "filesystemMismatch"],
  ["has several signatures", { blkid: [8, ""] }, {}, "signatureUnclear"],
  ["is refused by blkid", { blkid: [1, ""] }, {}, "deviceUnreadable"],
  ["is damaged", found(read({ kind: "damaged", detail: "checksum" })), {}, "filesystemDamaged"],
  ["is empty, though the volume holds data", {}, { state: "keep" }, "filesystemMissing"],
  ["has data", { blank: { kind: "data", offset: 4096 } }, {}, "deviceNotBlank"],
  ["cannot be looked through", { blank: { kind: "unreadable", detail: "EIO" } }, {}, "deviceUnreadable"],
  ["is in use before the look", { users: [busy] }, {}, "deviceInUse"],
  ["is in use after the look", { users: [[], busy] }, {}, "deviceInUse"],
  ["has changed", { find: { number: "259:9" } }, {}, "deviceChanged"],
  ["is too small", { find: { sizeBytes: 999n } }, {}, "deviceTooSmall"],
  [
    "has an unfinished filesystem without a mark",
    found(read({ kind: "unfinished", uuid: "u" })),
    {},
    "filesystemUnfinished",
  ],
  [
    "has a mark of long ago",
    found(read(ZEROS, { marks: [{ ...MARK, epoch: 5 }] })),
    { state: "used" },
    "filesystemUnfinished",
  ],
])("a device that %s is never formatted", async (_, answers, wish, expected) => {
  const { result, steps } = await ensure(answers, wish);
  expect(result).toBe(expected);
  expect(changes(steps)).toEqual([]);
});

describe("the judgement of an unfinished mkfs", () => {
  const unfinished: Superblock = { kind: "unfinished", uuid: uuidOf(MARK) };
  const judge = (
    superblock: Superblock,
    marks: readonly Partial<MkfsMark>[],
    wish: Partial<FilesystemWish> = {},
  ) =>
    judgeUnfinished(
      { kind: "read", superblock, marks: marks.map((each) => ({ ...MARK, ...each })) },
      { ...WISH, ...wish },
    );
  const used = { state: "used" } as const;

  test.each<[string, ReturnType<typeof judge>, string | undefined]>([
    ["zeros and a mark of this attachment", judge(ZEROS, [{}]), "ours"],
    ["its own superblock and mark", judge(unfinished, [{}]), "ours"],
    ["one of two marks fits", judge(unfinished, [{ volume: "csi-b" }, {}]), "ours"],
    ["the attachment before", judge(ZEROS, [{ epoch: 6 }], used), "ours"],
    ["this attachment of a used volume", judge(ZEROS, [{}], used), "ours"],
    ["the first attachment of a used volume", judge(ZEROS, [{ epoch: 1 }], { ...used, epoch: 1 }), "ours"],
    ["no sign: other content", judge(OTHER, [{}]), undefined],
    ["no sign: a whole one", judge(WHOLE, [{}]), undefined],
    ["no sign: zeros alone", judge(ZEROS, []), undefined],
    ["no sign: another volume's mark", judge(ZEROS, [{ volume: "csi-b" }]), undefined],
    ["no sign: zeros on a volume with data", judge(ZEROS, [{}], { state: "keep" }), undefined],
    ["data for sure", judge(unfinished, [{}], { state: "keep" }), "holds data for sure"],
    ["no mark", judge(unfinished, []), "mark is missing"],
    ["the mark of another program", judge(unfinished, [{ filesystem: "xfs" }]), "mark is missing"],
    ["the mark of another filesystem", judge(unfinished, [{ token: "1".repeat(32) }]), "another filesystem"],
    ["a new volume, the attachment before", judge(ZEROS, [{ epoch: 6 }]), "attached again"],
    ["two attachments before", judge(ZEROS, [{ epoch: 5 }], used), "attached again"],
    ["a later attachment", judge(ZEROS, [{ epoch: 8 }], used), "attached again"],
    ["no epochs", judge(ZEROS, [{ epoch: 0 }], { ...used, epoch: 0 }), "attached again"],
    ["no epoch now", judge(ZEROS, [{ epoch: -1 }], { ...used, epoch: 0 }), "attached again"],
    ["no epoch then", judge(ZEROS, [{ epoch: 0 }], { ...used, epoch: 1 }), "attached again"],
  ])("%s", (_, judged, expected) => {
    if (expected === undefined || expected === "ours") expect(judged).toBe(expected as "ours");
    else expect(judged).toContain(expected);
  });
});
