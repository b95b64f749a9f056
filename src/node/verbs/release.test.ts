import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../host/data-path.ts";
import { silentLogger } from "../../observability/log.ts";
import type { NodeContext } from "../context.ts";
import { DEVICE, type Machine, machine, outcome } from "../proofs.fixture.ts";
import { release, unmountStaging } from "./release.ts";

const STAGING = "/staging";
const VOLUME = "csi-0123456789abcdef0123456789ab" as Connection["slot"];
const root = mkdtempSync(join(tmpdir(), "rds-csi-release-"));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;

const line = (device: string, path: string, source = "/dev/nvme0n1") =>
  `36 25 ${device} / ${path} rw,relatime shared:1 - ext4 ${source} rw\n`;
const OURS = line(DEVICE.number, STAGING);

/** A node with a mount table; umount takes the topmost mount at its path away. */
function nodeWith(mountinfo: string, answers: Machine = {}) {
  const node = machine(answers);
  count += 1;
  const procRoot = join(root, String(count));
  const table = join(procRoot, "self/mountinfo");
  mkdirSync(join(procRoot, "self"), { recursive: true });
  mkdirSync(join(procRoot, "sys/dev/block", DEVICE.number), { recursive: true });
  writeFileSync(table, mountinfo);
  let lines = mountinfo.split("\n").filter((each) => each !== "");
  const context = {
    system: {
      ...node.system,
      procRoot,
      sysRoot: join(procRoot, "sys"),
      exec: async (command: Parameters<typeof node.system.exec>[0]) => {
        const result = await node.system.exec(command);
        if (command.program === "umount") {
          const last = lines.findLastIndex((each) => each.split(" ")[4] === command.args.at(-1));
          lines = lines.filter((_, index) => index !== last);
          writeFileSync(table, lines.map((each) => `${each}\n`).join(""));
        }
        return result;
      },
    },
    dataPath: {
      ...node.dataPath,
      disconnect: async (nqn: string) => {
        await node.step(`disconnect ${nqn}`);
      },
    },
    logger: silentLogger,
  } as unknown as NodeContext;
  return { context, steps: node.steps, mounts: () => lines.length };
}
const connection: Connection = { nqn: DEVICE.nqn, slot: VOLUME, epoch: 7, state: "live", device: DEVICE };
const disconnected = `disconnect ${DEVICE.nqn}`;

test("unmounts the staging path, then proves that nothing uses the device, then disconnects", async () => {
  const { context, steps, mounts } = nodeWith(OURS + OURS + line("8:1", "/other"));
  await release(context, connection, STAGING);
  expect(mounts()).toBe(1);
  expect(steps.filter((step) => step !== "stat")).toEqual(["umount", "umount", "users", disconnected]);
});

test("a device that is in use stays connected", async () => {
  const users = [[{ kind: "mount", description: "mounted at /x" }]] as const;
  const { context, steps } = nodeWith(OURS, { users });
  expect(await outcome(release(context, connection, STAGING))).toBe("deviceInUse");
  expect(steps).not.toContain(disconnected);
});

test("a connection without a device is ended, and mounts stay", async () => {
  const { context, steps, mounts } = nodeWith(OURS);
  await release(context, { ...connection, device: undefined }, STAGING);
  expect([steps, mounts()]).toEqual([[disconnected], 1]);
});

test("mounts of the device stay without a staging path, and mounts of others at it", async () => {
  for (const [table, path] of [
    [OURS, undefined],
    [line("8:1", STAGING), STAGING],
  ] as const) {
    const { context, steps, mounts } = nodeWith(table);
    await release(context, connection, path);
    expect([steps, mounts()]).toEqual([["users", disconnected], 1]);
  }
});

test("nothing is unmounted if the device is mounted elsewhere too; the error names that place and the device", async () => {
  const { context, mounts, steps } = nodeWith(OURS + line(DEVICE.number, "/elsewhere"));
  const { id, message } = await release(context, connection, STAGING).catch((thrown) => thrown);
  expect(id).toBe("deviceInUse");
  for (const part of ["mounted at /elsewhere", DEVICE.path, VOLUME]) expect(message).toContain(part);
  expect([steps, mounts()]).toEqual([[], 2]);
});

test("nothing is unmounted if another live mount is at the path", async () => {
  const other = nodeWith(OURS + line("8:1", STAGING, "/dev/sda1"));
  mkdirSync(join(other.context.system.sysRoot, "dev/block/8:1"));
  const error = await unmountStaging(other.context, VOLUME, STAGING, [DEVICE]).catch((thrown) => thrown);
  expect(error).toMatchObject({ id: "pathOccupied", message: expect.stringContaining("/dev/sda1") });
  expect(other.mounts()).toBe(2);
});

test("a mount at the path whose device has vanished goes together with that of the device", async () => {
  const { context, steps, mounts } = nodeWith(line("8:1", STAGING, "/dev/sda1") + OURS);
  await release(context, connection, STAGING);
  expect([steps, mounts()]).toEqual([["umount", "umount", "users", disconnected], 0]);
});

test("several devices of one volume count as its own", async () => {
  const second = { ...DEVICE, number: "259:2", path: "/dev/nvme1n1" };
  const { context, mounts } = nodeWith(OURS + line("259:2", STAGING));
  mkdirSync(join(context.system.sysRoot, "dev/block/259:2"));
  await unmountStaging(context, VOLUME, STAGING, [DEVICE, second]);
  expect(mounts()).toBe(0);
  const away = nodeWith(line("259:2", "/away"));
  const error = await unmountStaging(away.context, VOLUME, STAGING, [DEVICE, second]).catch(
    (thrown) => thrown,
  );
  expect(error.message).toContain("/dev/nvme0n1, /dev/nvme1n1");
});
