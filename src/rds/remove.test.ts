import { describe, expect, test } from "bun:test";
import { FILE_LAYOUTS, type FileLayout } from "../../test/support/file-layouts.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Command, CommandFailure, CommandOutcome } from "../routeros/client.ts";
import { readReply } from "../routeros/envelope.ts";
import type { Row } from "../routeros/reply/row.ts";
import { ros } from "../routeros/script.ts";
import { anyOf, filesAmong } from "./backing-file.ts";
import type { RdsContext } from "./context.ts";
import { conversionSlots } from "./conversion-slots.ts";
import type { Disk } from "./disk.ts";
import { awayPools, findLeftover } from "./leftover.ts";
import type { Place } from "./place.ts";
import { DISK, ID, PATH, RECORD } from "./rds.fixture.ts";
import { removeFile, removeUnfinished, removeVolume } from "./remove.ts";

const SIGNAL = new AbortController().signal;
const VOLUME = { id: ID, record: RECORD, disk: { ...DISK, comment: 'c"1' } };
const LAYOUT = { pool: "storage-pool", directory: "csi" };
const OTHER = volumeIdFromName("other");

type Answer = Partial<CommandFailure> | { readonly payload?: string; readonly rows?: readonly object[] };

/** A RDS that answers each command as told, the last answer again and again; `lines` are the commands. */
function rds(...answers: Answer[]) {
  const lines: string[] = [];
  const commands: Command[] = [];
  const lists: (string | undefined)[] = [];
  const run = async (command: Command): Promise<CommandOutcome> => {
    const answer = answers[Math.min(lines.length, answers.length - 1)] ?? {};
    lines.push(command.body(ros`ROWS`).render("N"));
    lists.push(command.listing?.where?.render("N"));
    commands.push(command);
    if ("reason" in answer || "kind" in answer)
      return { ok: false, failure: { kind: "own", reason: undefined, text: "", ...answer } };
    const { payload, rows = [] } = answer as { payload?: string; rows?: readonly object[] };
    const stdout = payload === undefined ? "~ok:N~" : `${payload}~ok:N~`;
    return {
      ok: true,
      reply: readReply("N", stdout, ""),
      rows: rows.map((row): Row => new Map(Object.entries(row))),
    };
  };
  const context = { client: { run, readsBrief: true }, clusterId: "test" } as unknown as RdsContext;
  return { context, lines, commands, lists };
}

const left = (count: string) => ({ payload: `~p:N:left~${count}~e:N~` });
const FOLDER = `storage-pool/csi/${ID}`;
/** The place of the volume with each layout, and the statements that remove what is there. */
const PLACES: Readonly<Record<FileLayout, { place: Place; removal: readonly string[] }>> = {
  plain: {
    place: { pool: "storage-pool", path: PATH },
    removal: [
      `:local rest [/file/find where name="${PATH}"]`,
      `:if ([:len [/disk/find where file-path="${PATH}" or file-path="/${PATH}"]] > 0) do={ :error "rds-csi:file-in-use" }`,
      `:if ([:len $rest] > 0) do={ /file/remove $rest }`,
      `:put ("~p:N:left~" . [:len [/file/find where name="${PATH}"]] . "~e:N~")`,
    ],
  },
  subvolume: {
    place: { pool: "storage-pool", path: FOLDER, subvolume: { label: "data", name: `csi/${ID}` } },
    removal: [
      `:if ([:len [/disk/find where file-path~"^/\\?${FOLDER}/"]] > 0) do={ :error "rds-csi:file-in-use" }`,
      `:local why ""`,
      `:foreach s in=[/disk/btrfs/subvolume/find where fs="data" and (fullname="csi/${ID}" or fullname="/csi/${ID}")] do={ :onerror g in={ /disk/btrfs/subvolume/remove $s } do={ :set why $g } }`,
      `:local left [:len [/file/find where name="${FOLDER}"]]`,
      `:if ($left > 0 && [:len $why] > 0) do={ :error $why }`,
      `:put ("~p:N:left~" . $left . "~e:N~")`,
    ],
  },
};
const GONE = `:if ([:len [/disk/find where slot="${ID}"]] > 0) do={ :error "rds-csi:changed" }`;
const { fresh, kept } = conversionSlots(ID);
const CONVERTING = `:if ([:len [/disk/find where slot="${fresh}" or slot="${kept}"]] > 0) do={ :error "rds-csi:converting" }`;
const LABEL = `:if ([:len [/disk/btrfs/filesystem/find where label="data"]] != 1) do={ :error "rds-csi:label-ambiguous" }`;
const MOUNTED = `:if ([:len [/disk/find where slot="storage-pool" and mounted]] = 0) do={ :error "rds-csi:pool-not-mounted" }`;
const MINE = `[/disk/find where slot="${ID}" and comment="c\\"1" and type="file"]`;

describe.each(FILE_LAYOUTS)("the line of a deletion, layout %s", (form) => {
  const { place, removal } = PLACES[form];
  const first = form === "plain" ? [MOUNTED, CONVERTING] : [MOUNTED, LABEL, CONVERTING];
  const rest = [GONE, ...removal, MOUNTED];

  test("ends the export and removes the item with exactly this record, then the file that nothing uses, on a mounted pool", async () => {
    const { context, lines, commands } = rds(left("0"));
    expect(await removeVolume(context, VOLUME, place, SIGNAL)).toBe("removed");
    const item = [...first, `/disk/set ${MINE} nvme-tcp-export=no`, `/disk/remove ${MINE}`];
    expect(lines).toEqual([[...item, ...rest].join("; ")]);
    expect(commands[0]).toMatchObject({ purpose: "change", orderKey: ID, what: `delete volume ${ID}` });
  });

  test("of a file alone touches no item", async () => {
    const { context, lines } = rds(left(" 0 "));
    expect(await removeFile(context, ID, place, SIGNAL)).toBe("removed");
    expect(lines).toEqual([[...first, ...rest].join("; ")]);
  });

  test.each<[string, Answer, string]>([
    ["changed", { reason: "changed" }, "changed"],
    ["pool-not-mounted", { reason: "pool-not-mounted" }, "filePoolNotMounted"],
    ["file-in-use", { reason: "file-in-use" }, "foreignDisk"],
    ["an item of a conversion", { reason: "converting" }, "volumeConverting"],
    ["label-ambiguous", { reason: "label-ambiguous" }, "labelAmbiguous"],
    ["busy", { kind: "busy", text: "in use" }, "rdsBusy"],
    ["another error", { kind: "other", text: "x" }, "commandRejected"],
    ["a file that stays", left("1"), "notVerified"],
    ["no count", {}, "notVerified"],
  ])("that meets %s has not removed the volume", async (_, answer, expected) => {
    const { context } = rds(answer);
    const id = (error: { readonly id: string }) => error.id;
    expect(await removeVolume(context, VOLUME, place, SIGNAL).catch(id)).toBe(expected as never);
    const unfinished = expected === "changed" ? "notVerified" : expected;
    expect(await removeUnfinished(context, ID, place, VOLUME, SIGNAL).catch(id)).toBe(unfinished as never);
  });
});

test("what a failed create left is removed with its item, or as a file alone", async () => {
  const { context, lines } = rds(left("0"));
  await removeUnfinished(context, ID, PLACES.plain.place, VOLUME, SIGNAL);
  await removeUnfinished(context, ID, PLACES.plain.place, undefined, SIGNAL);
  expect(lines.map((line) => line.includes("/disk/remove"))).toEqual([true, false]);
});

test("a file that a failed create left and that was changed meanwhile is not verified to be gone", async () => {
  const { context } = rds({ reason: "changed" });
  const removal = removeUnfinished(context, ID, PLACES.plain.place, undefined, SIGNAL);
  await expect(removal).rejects.toMatchObject({ id: "notVerified" });
});

test("messages name the volume, its pool, and the count of files that stay", async () => {
  const message = async (answer: Answer) => {
    const { context } = rds(answer);
    return removeVolume(context, VOLUME, PLACES.plain.place, SIGNAL).catch((reason: Error) => reason.message);
  };
  expect(await message({ reason: "pool-not-mounted" })).toMatch(
    new RegExp(`${ID}.*storage-pool|storage-pool.*${ID}`),
  );
  expect(await message({ reason: "file-in-use" })).toContain("another disk item");
  expect(await message(left("2"))).toContain("2 left");
  expect(await message({})).toContain("? left");
});

describe("the file of a volume without item", () => {
  const pool = (slot: string, over: object = {}) => ({
    slot,
    type: "raid",
    mounted: "true",
    "mount-point": slot,
    ...over,
  });
  const disk = (slot: string, over: Partial<Disk> = {}): Disk => ({
    ...DISK,
    ...{ slot, type: "raid", mounted: true, mountPoint: slot, comment: "", filePath: "" },
    ...over,
  });
  const DEFAULT = disk("storage-pool");
  const USB = disk("usb1");
  const files = (...paths: string[]) => ({
    payload: `~p:N:files~${paths.map((path) => `|${path}`).join("")}~e:N~`,
  });
  const file = (slot: string, id = ID) => `${slot}/csi/${id}.img`;
  const find = async (mounted: readonly Disk[], answer: Answer, id = ID, ...more: Answer[]) => {
    const { context, lines, commands } = rds(answer, ...more);
    const found = await findLeftover(context, id, LAYOUT, mounted, SIGNAL).catch(
      (error: { readonly id: string }) => error.id,
    );
    return { found: found as unknown, lines, commands };
  };
  const BOTH = [pool("storage-pool"), pool("usb1")];

  test("is the one at its exact path on the default pool", async () => {
    const { found, lines } = await find([DEFAULT, USB], {
      ...files(`/${file("storage-pool")} `),
      rows: BOTH,
    });
    expect(found).toEqual({ pool: "storage-pool", path: file("storage-pool") });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith(
      `:local there ""; :foreach i in=[/file/find where name="${file("storage-pool")}" or name="${file("usb1")}"] do={ :set there ($there . "|" . [/file/get $i name]) }; :put ("~p:N:files~" . $there . "~e:N~"); `,
    );
    expect(lines[0]).toContain(
      `where slot="storage-pool" or slot="${ID}" or mounted or (slot~"^(csi|pvc)-" and type="file" and !(file-path~"^/\\?(storage-pool|usb1)/csi/[^/]+(/disk[.]img)\\?\\$"))`,
    );
  });

  const unusual = { slot: OTHER, type: "file", comment: "", "file-path": "x" };
  test.each<[string, readonly Disk[], readonly object[]]>([
    ["no file is on another pool", [DEFAULT, disk("usb2")], [BOTH[0] ?? {}, pool("usb2")]],
    ["one pool is mounted", [DEFAULT], [BOTH[0] ?? {}]],
    ["the mounts are listed in another order", [disk("usb2"), DEFAULT], [BOTH[0] ?? {}, pool("usb2")]],
    ["a volume is listed that is no mount", [DEFAULT], [BOTH[0] ?? {}, unusual]],
    [
      "a mounted item says no mount point",
      [DEFAULT, disk("x", { mountPoint: "" })],
      [BOTH[0] ?? {}, pool("x", { "mount-point": "" })],
    ],
  ])("is judged by few disks where %s", async (_, mounted, rows) => {
    const { context, lists } = rds({ ...files(file("usb1")), rows });
    await findLeftover(context, ID, LAYOUT, mounted, SIGNAL).catch(() => undefined);
    expect(lists).toHaveLength(1);
    const points = mounted.flatMap(({ mountPoint }) => (mountPoint === "" ? [] : [mountPoint])).join("|");
    expect(lists[0]).toContain(`(file-path~"^/\\?(${points})/csi/`);
  });

  test.each<[string, readonly Disk[], readonly object[], number]>([
    ["a file is on a pool that only they prove ours", [DEFAULT, USB], BOTH, 1],
    ["... and on one of several such pools only", [DEFAULT, disk("usb2"), USB], [...BOTH, pool("usb2")], 1],
    [
      "a mount may hide the folder of another one",
      [DEFAULT, disk("x", { mountPoint: "storage-pool/csi" })],
      BOTH,
      0,
    ],
    ["a file disk is mounted", [DEFAULT, disk("x", { type: "file" })], BOTH, 0],
    ["the mounts are other ones than before", [DEFAULT, USB], [BOTH[0] ?? {}], 1],
    ["... though as many", [DEFAULT, USB], [BOTH[0] ?? {}, pool("usb2")], 1],
    [
      "a disk is mounted elsewhere than before",
      [DEFAULT, USB],
      [BOTH[0] ?? {}, pool("usb1", { "mount-point": "x" })],
      1,
    ],
    ["one mount is called as two were", [disk("a"), disk("b")], [pool("a", { "mount-point": "ab=b" })], 1],
    ["a file is on one of several such pools", [DEFAULT, USB, disk("usb2")], [...BOTH, pool("usb2")], 1],
    ["nothing is mounted anywhere", [disk("x", { mountPoint: "" })], [], 0],
    ["no mount point is a plain path", [disk("x", { mountPoint: "a b" })], [], 0],
  ])("is judged by all items of ours where %s", async (_, mounted, rows, at) => {
    const { context, lists, lines } = rds({ ...files(file("usb1")), rows });
    await findLeftover(context, ID, LAYOUT, mounted, SIGNAL).catch(() => undefined);
    expect(lists.indexOf('slot="storage-pool" or slot~"^(csi|pvc)-" or mounted')).toBe(at);
    expect(lines).toHaveLength(at + 1);
  });

  test.each<[string, readonly Disk[], string]>([
    ["few disks", [DEFAULT, USB], 'slot="storage-pool" or slot="'],
    [
      "all items of ours where a mount may hide the folder of another one",
      [DEFAULT, disk("x", { type: "file" })],
      'slot="storage-pool" or slot~"^(csi|pvc)-" or mounted',
    ],
  ])("a pool of ours that is away is found among %s", async (_, mounted, where) => {
    const lost = {
      slot: OTHER,
      type: "file",
      comment: OTHER_COMMENT,
      "file-path": file("usb2", OTHER),
    };
    const { context, lists } = rds({ ...files(), rows: [...BOTH, lost] });
    expect(await awayPools(context, LAYOUT, mounted, SIGNAL)).toEqual(["usb2"]);
    expect(lists).toHaveLength(1);
    expect(lists[0]).toStartWith(where);
  });

  test("is judged by few items whatever their order, with items that are not mounted, and without empty mount points", async () => {
    const unmounted = { slot: "csi-away", type: "file", comment: "", "file-path": "x/csi-away.img" };
    const rows = [unmounted, ...BOTH].toReversed();
    const { lines } = await find([DEFAULT, disk("x", { mountPoint: "" }), USB], {
      ...files(),
      rows: [...rows, pool("x", { "mount-point": "" })],
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("(storage-pool|usb1)/csi/");
  });

  test("is proven absent where no such file is", async () => {
    expect((await find([DEFAULT, USB], { ...files(), rows: BOTH })).found).toBeUndefined();
  });

  test("is nobody's on another pool, and one of two on pools in use is a copy", async () => {
    expect((await find([DEFAULT, USB], { ...files(file("usb1")), rows: BOTH })).found).toBe("fileNotProven");
    const used = {
      slot: OTHER,
      type: "file",
      comment: OTHER_COMMENT,
      "file-path": file("usb1", OTHER),
      size: "1",
    };
    const both = files(file("storage-pool"), file("usb1"));
    expect((await find([DEFAULT, USB], { ...both, rows: [...BOTH, used] })).found).toBe("fileNotProven");
    expect((await find([DEFAULT, USB], { ...files(file("usb1")), rows: [...BOTH, used] })).found).toEqual({
      pool: "usb1",
      path: file("usb1"),
    });
  });

  test("is taken beside one that is nobody's; the error names all that are unclear", async () => {
    const both = files(file("storage-pool"), file("usb1"));
    expect((await find([DEFAULT, USB], { ...both, rows: BOTH })).found).toEqual({
      pool: "storage-pool",
      path: file("storage-pool"),
    });
    const adopted = "pvc-0f0f0f0f-1111-2222-3333-444444444444" as typeof ID;
    const { context } = rds({ ...files(file("storage-pool", adopted), file("usb1", adopted)), rows: BOTH });
    const error = await findLeftover(context, adopted, LAYOUT, [DEFAULT, USB], SIGNAL).catch(
      (reason: Error) => reason.message,
    );
    expect(error).toContain(file("storage-pool", adopted));
    expect(error).toContain(file("usb1", adopted));
  });

  test("of an adopted volume is never proven ours", async () => {
    const adopted = "pvc-0f0f0f0f-1111-2222-3333-444444444444" as typeof ID;
    const answer = { ...files(file("storage-pool", adopted)), rows: BOTH };
    expect((await find([DEFAULT, USB], answer, adopted)).found).toBe("fileNotProven");
  });

  test("is unknown while a pool is away", async () => {
    const away = [pool("storage-pool", { mounted: "false" }), pool("usb1")];
    expect((await find([DEFAULT, USB], { ...files(), rows: away })).found).toBe("filePoolNotMounted");
  });

  test("is to be looked for anew if a pool came, or the item is back", async () => {
    expect((await find([DEFAULT], { ...files(), rows: BOTH })).found).toBe("changed");
    const item = { slot: ID, type: "file", comment: "", "file-path": "x", size: "1" };
    expect((await find([DEFAULT, USB], { ...files(), rows: [...BOTH, item] })).found).toBe("changed");
  });

  test("is looked for in the list alone while nothing is mounted", async () => {
    const { found, lines } = await find([], { rows: [] });
    expect([found, lines.length]).toEqual(["filePoolNotMounted", 1]);
    expect(lines[0]).not.toContain("/file/find");
  });

  test("is looked for before the list is read in parts, where that is long", async () => {
    const many = { reason: "too-many-", text: "rds-csi:too-many-900" };
    const looked = await find(
      [DEFAULT, USB],
      many,
      ID,
      many,
      { ...files(file("storage-pool")) },
      { rows: BOTH },
    );
    expect(looked.found).toEqual({ pool: "storage-pool", path: file("storage-pool") });
    expect(looked.lines[2]).toStartWith(':local there ""');
    expect(looked.commands[2]).toMatchObject({ purpose: "read", what: `look for the file of volume ${ID}` });
  });

  test("is looked for among all pools and all items of ours, also where these are read in parts", async () => {
    const many = { reason: "too-many-", text: "rds-csi:too-many-900" };
    const { context, lines, lists } = rds(many, many, files(), many, { rows: BOTH }, { rows: [] });
    expect(await findLeftover(context, ID, LAYOUT, [DEFAULT, USB], SIGNAL)).toBeUndefined();
    const [, all, , whole, core, ...parts] = lists;
    expect([all, whole]).toEqual(Array(2).fill('slot="storage-pool" or slot~"^(csi|pvc)-" or mounted'));
    expect(core).toBe('slot="storage-pool" or mounted or (slot~"^(csi|pvc)-" and !(type="file"))');
    expect(lines[4]).toBe("ROWS");
    expect(parts.length).toBeGreaterThan(2);
    for (const part of parts) expect(part).toStartWith('(slot~"^(csi|pvc)-" and type="file") and ');
  });

  test("is looked for anew if the default pool came", async () => {
    expect((await find([USB], { ...files(), rows: BOTH })).found).toBe("changed");
  });

  test("is on no other pool of an installation without a cluster id", async () => {
    const used = {
      slot: OTHER,
      type: "file",
      comment: OTHER_COMMENT,
      "file-path": file("usb1", OTHER),
      size: "1",
    };
    const { context } = rds({ ...files(file("usb1")), rows: [...BOTH, used] });
    const unknown = { ...context, clusterId: undefined } as RdsContext;
    const found = findLeftover(unknown, ID, LAYOUT, [DEFAULT, USB], SIGNAL);
    await expect(found).rejects.toMatchObject({ id: "fileNotProven" });
  });

  test("is unknown if the list of files is cut off", async () => {
    expect((await find([DEFAULT], { payload: "~p:N:files~|x", rows: BOTH })).found).toBe("replyUnreadable");
  });
});

const OTHER_COMMENT = encodeRecord({ ...RECORD, name: "other" });

test("conditions for files name exact paths", () => {
  expect(anyOf(["a", "b", 'c"']).render("N")).toBe('name="a" or name="b" or name="c\\""');
  expect(filesAmong(["a"]).render("N")).toBe(
    ':local there ""; :foreach i in=[/file/find where name="a"] do={ :set there ($there . "|" . [/file/get $i name]) }; :put ("~p:N:files~" . $there . "~e:N~")',
  );
});
