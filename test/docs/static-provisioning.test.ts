import { afterEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { decodeRecord } from "../../src/domain/record/record-codec.ts";
import { EXT4, noDevices, toolPath } from "../support/loop-node.ts";
import { capture } from "../support/processes.ts";
import { BLOCK, MIB } from "../support/rds-stack.ts";
import { until } from "../support/until.ts";
import { page } from "./pages.fixture.ts";
import { answer } from "./scenarios.fixture.ts";
import {
  HANDLE,
  type HandOptions,
  type HandStand,
  NAME,
  startHandStand,
} from "./static-provisioning.fixture.ts";

const { blocks } = page("docs/static-provisioning.md");
const routeros = (note: string): readonly string[] =>
  blocks
    .filter((each) => each.language === "routeros" && each.note === note)
    .flatMap(({ text }) => text.trim().split("\n"));
const [pv, claim] = blocks
  .filter(({ language }) => language === "yaml")
  .flatMap(({ text }) => parseAllDocuments(text).map((each) => each.toJS()));
const FILE = `storage-pool/csi/${HANDLE}.img`;

const open: HandStand[] = [];
afterEach(async () => {
  for (const stand of open.splice(0)) await stand.close();
});
async function start(options: HandOptions = {}): Promise<HandStand> {
  const stand = await startHandStand(options);
  open.push(stand);
  return stand;
}
/** The page up to the objects. */
async function withDisk(note: "a new disk" | "an image", options: HandOptions = {}): Promise<HandStand> {
  const on = await start(options);
  await on.onRds(routeros(note));
  on.bind(pv, claim);
  return on;
}

test("the handle of the page follows from the name, by the page's own command", async () => {
  const [sh, text] = blocks.filter(({ note }) => note === "run in a test").map((each) => each.text.trim());
  const { stdout } = await capture("/bin/bash", ["-c", sh ?? ""]);
  expect(stdout.trim()).toBe(text ?? "");
  expect([text, pv.metadata.name, pv.spec.csi.volumeHandle, claim.spec.volumeName]).toEqual([
    HANDLE,
    NAME,
    HANDLE,
    NAME,
  ]);
});

describe.each(["current", "hostile", "strict", "old"] as const)("profile %s", (profile) => {
  test("without a record nothing is done with it; with one it is attached, detached, expanded, and deleted with its file", async () => {
    const on = await withDisk("a new disk", { profile });
    const { device } = on.stack.simulator;
    await until("the disk is ready", () => device.disk(HANDLE)?.size !== undefined);
    expect(device.disk(HANDLE)).toMatchObject({
      filePath: FILE,
      size: 64n * MIB,
      exported: false,
      comment: "",
    });
    const before = device.disk(HANDLE);
    for (const call of [() => on.attach(BLOCK), () => on.remove(), () => on.expand(96n * MIB)])
      expect(await answer(call())).toStartWith("foreignDisk FAILED_PRECONDITION");
    expect(device.disk(HANDLE)).toEqual(before);

    const adopted = await on.run(["volumes", "adopt", NAME, "--yes"]);
    expect([adopted.code, adopted.err]).toEqual([1, expect.stringContaining(`record ${HANDLE} --rebuild`)]);
    expect(device.disk(HANDLE)).toEqual(before);
    const plan = await on.rebuild();
    expect(plan.out).toContain("Nothing was changed.");
    expect(device.disk(HANDLE)).toEqual(before);
    await on.rebuild("--yes");
    const record = decodeRecord(device.disk(HANDLE)?.comment ?? "");
    expect(record).toMatchObject({
      kind: "record",
      record: { name: NAME, claim: { namespace: "default", name: NAME } },
    });
    // None that an attachment had, and not 0: that of a volume which nobody ever asked for.
    expect(record.kind === "record" ? record.record.epoch : 0).toBeGreaterThan(100_000_000);

    const context = await on.attach(BLOCK);
    expect(context.sizeBytes).toBe(64n * MIB);
    expect(device.disk(HANDLE)?.exported).toBe(true);
    await on.detach();
    expect(await on.expand(96n * MIB)).toMatchObject({ sizeBytes: 96n * MIB });
    expect(device.disk(HANDLE)).toMatchObject({ size: 96n * MIB, exported: false });
    await on.remove();
    expect([device.disk(HANDLE), device.file(FILE)]).toEqual([undefined, undefined]);
  });
});

describe("the form of the disk", () => {
  test.each<[string, string, string]>([
    [
      "another file name",
      `file-path=storage-pool/csi/data.img file-size=64M slot=${HANDLE}`,
      "the disk item is not what the driver makes",
    ],
    [
      "a slot of another name",
      `file-path=storage-pool/csi/csi-0123456789abcdef0123456789ab.img file-size=64M slot=csi-0123456789abcdef0123456789ab`,
      "its CSI name is not known",
    ],
  ])("%s: the record is refused, the disk stays as it is", async (_, settings, said) => {
    const on = await start();
    await on.onRds([
      "/file/add name=storage-pool/csi type=directory",
      `/disk/add type=file ${settings} mount-filesystem=no`,
    ]);
    const slot = /slot=(\S+)/.exec(settings)?.[1] ?? "";
    on.bind({ ...pv, spec: { ...pv.spec, csi: { ...pv.spec.csi, volumeHandle: slot } } }, claim);
    const before = on.stack.simulator.device.disk(slot);
    const { code, err } = await on.rebuild("--yes");
    expect([code, err]).toEqual([1, expect.stringContaining(said)]);
    expect(on.stack.simulator.device.disk(slot)).toEqual(before);
  });

  test("an export that somebody has switched on is a finding; the first attachment replaces it", async () => {
    const on = await withDisk("a new disk");
    const { device } = on.stack.simulator;
    await device.setDisk(HANDLE, { "nvme-tcp-export": true });
    await on.rebuild("--yes");
    expect((await on.run(["volumes", "list"])).out).toContain("exported-unattached");
    const { nqn } = await on.attach(BLOCK);
    expect(nqn).toStartWith(`nqn.2000-02.com.mikrotik:${HANDLE}.`);
    expect(device.disk(HANDLE)).toMatchObject({ nqn, exported: true });
  });

  test("a file in any folder of a pool, of a size that is no whole MiB: attached as it is, expanded to whole MiB", async () => {
    const on = await start();
    const path = `storage-pool/vms/${HANDLE}.img`;
    const { device } = on.stack.simulator;
    await device.makeDirectories("storage-pool/vms");
    await device.addFile(path, 5n * MIB + 512n);
    await on.onRds([`/disk/add type=file file-path=${path} slot=${HANDLE} mount-filesystem=no`]);
    on.bind(pv, claim);
    await on.rebuild("--yes");
    expect((await on.attach(BLOCK)).sizeBytes).toBe(5n * MIB + 512n);
    await on.detach();
    expect(await on.expand(6n * MIB + 1n)).toMatchObject({ sizeBytes: 7n * MIB });
    await on.remove();
    expect([device.disk(HANDLE), device.file(path)]).toEqual([undefined, undefined]);
  });

  test("a slot of the earlier driver: only before RouterOS 7.24, and not by --rebuild", async () => {
    const slot = "pvc-0a1b2c3d-0000-4000-8000-000000000001";
    const line = `/disk/add type=file file-path=storage-pool/${slot}.img file-size=64M slot=${slot} mount-filesystem=no`;
    await expect((await start()).onRds([line])).rejects.toThrow();
    const on = await start({ profile: "old" });
    await on.onRds([line]);
    on.bind({ ...pv, spec: { ...pv.spec, csi: { ...pv.spec.csi, volumeHandle: slot } } }, claim);
    expect((await on.rebuild("--yes")).err).toContain("`rds-csi volumes adopt` makes its first one");
  });

  test("with the policy Retain the disk outlives claim and PersistentVolume, and is an orphan then", async () => {
    const on = await withDisk("a new disk");
    await on.rebuild("--yes");
    on.world.api.delete("PersistentVolume", NAME);
    // A volume that was never attached, and whose claim is gone, looks unasked but for its epoch.
    await on.reconcileOften();
    expect(on.stack.simulator.device.disk(HANDLE)).toBeDefined();
    const { out } = await on.run(["volumes", "orphans"]);
    expect(out).toMatch(new RegExp(`^disk  yes .*10d .*${HANDLE}$`, "m"));
  });
});

describe.skipIf(noDevices !== "")(`on a node ${noDevices}`, () => {
  const mkfs = toolPath("mkfs.ext4") ?? "mkfs.ext4";

  test("an image with a filesystem is mounted as it is, grows, and goes with the policy Delete", async () => {
    const on = await start({ onDisk: true });
    const image = on.imagePath(FILE);
    await on.stack.simulator.device.makeDirectories("storage-pool/csi");
    await on.stack.simulator.device.addFile(FILE, 64n * MIB);
    execFileSync(mkfs, ["-q", "-F", "-d", on.contentWith("hello", "from an image"), image]);
    await on.onRds(routeros("an image"));
    const [look = ""] = routeros("look");
    expect(await on.onRds([look])).toMatch(/size=67 ?108 ?864|size=64/);
    on.bind(pv, claim);
    await on.rebuild("--yes");
    const at = await on.stage(EXT4);
    expect(readFileSync(join(at, "hello"), "utf8")).toBe("from an image");
    writeFileSync(join(at, "more"), "written by a pod");
    await on.unstage();
    await on.detach();
    await on.expand(96n * MIB);
    const again = await on.stage(EXT4);
    expect(readFileSync(join(again, "more"), "utf8")).toBe("written by a pod");
    await on.unstage();
    await on.detach();
    await on.remove();
    expect(on.stack.simulator.device.file(FILE)).toBeUndefined();
  });

  test("a new disk gets its filesystem once; what was written is there after another attachment", async () => {
    const on = await start({ onDisk: true });
    await on.onRds(routeros("a new disk"));
    on.bind(pv, claim);
    await on.rebuild("--yes");
    const at = await on.stage(EXT4);
    writeFileSync(join(at, "file"), "content");
    await on.unstage();
    await on.detach();
    expect(readFileSync(join(await on.stage(EXT4), "file"), "utf8")).toBe("content");
    await on.unstage();
    await on.detach();
  });

  test("a partition table is never formatted", async () => {
    const on = await start({ onDisk: true });
    await on.onRds(routeros("a new disk"));
    const table = Buffer.alloc(512);
    table.writeUInt16LE(0xaa55, 510);
    table.set([0, 32, 33, 0, 0x83, 254, 255, 255, 0, 8, 0, 0, 0, 0, 1, 0], 446);
    await on.stack.simulator.device.writeFile(FILE, 0n, table);
    on.bind(pv, claim);
    await on.rebuild("--yes");
    expect(await answer(on.stage(EXT4))).toContain("FAILED_PRECONDITION");
    expect(Buffer.from(await on.stack.simulator.device.readFile(FILE, 0n, 512)).equals(table)).toBe(true);
    await on.detach();
    expect((await on.attach(BLOCK)).sizeBytes).toBe(64n * MIB);
    await on.detach();
  });
});
