import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { unusedHelper } from "../../test/support/node-helper.ts";
import type { DeviceInspection, ProcessScan, ProcessUse } from "../host/helper-answers.ts";
import { createNodeSystem } from "../host/system.ts";
import { processAt } from "./processes.ts";
import { blockUsers } from "./users.ts";

const NUMBER = "259:1";
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rds-csi-users-"));
  mkdirSync(join(root, "proc/self"), { recursive: true });
  mkdirSync(join(root, `sys/dev/block/${NUMBER}/holders`), { recursive: true });
  mkdirSync(join(root, "sys/block"), { recursive: true });
  writeFileSync(join(root, "proc/self/mountinfo"), "");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const users = (
  unreadable: number,
  blind: "refuse" | "ignore",
  found: {
    scan?: readonly ProcessUse[];
    fuser?: string;
    about?: Partial<ProcessScan>;
    inspection?: Partial<DeviceInspection>;
    /** Answers of programs by their name. */
    programs?: Readonly<Record<string, string>>;
    /** Gets the questions to the helper. */
    asked?: unknown[];
  } = {},
) => {
  const system = createNodeSystem({
    procRoot: join(root, "proc"),
    sysRoot: join(root, "sys"),
    exec: async ({ program }) => {
      const answer = found.programs?.[program] ?? (program === "fuser" ? found.fuser : undefined);
      return { code: answer === undefined ? 1 : 0, stdout: answer ?? "", stderr: "", truncated: false };
    },
    helper: {
      ...unusedHelper,
      inspect: async (...question) => {
        found.asked?.push(...question.slice(0, 3));
        return {
          exclusive: "free",
          detail: "",
          processes: { uses: found.scan ?? [], unreadable, ...found.about },
          backing: { files: [], remote: [] },
          ...found.inspection,
        };
      },
    },
  });
  const device = {
    name: "nvme0n1",
    path: "/dev/nvme0n1",
    number: NUMBER,
    nqn: "nqn",
    sizeBytes: 1n,
    readOnly: false,
  };
  return blockUsers(system, device, blind);
};

test("a process that may not be looked into may be the user: unknown, not unused", async () => {
  await expect(users(1, "refuse")).rejects.toMatchObject({ id: "nodeStateUnknown", code: 14 });
  expect(await users(0, "refuse")).toEqual([]);
  expect(await users(1, "ignore")).toEqual([]);
});

test("an unknown answer to the exclusive opening is no proof that it is free", async () => {
  for (const exclusive of ["maybe", "error", undefined])
    await expect(
      users(0, "ignore", { inspection: { exclusive, detail: "x" } as never }),
    ).rejects.toMatchObject({ id: "nodeStateUnknown" });
});

test("a partition whose number cannot be read may be mounted: unknown, not unused", async () => {
  const partition = join(root, `sys/dev/block/${NUMBER}/nvme0n1p1`);
  mkdirSync(join(partition, "holders"), { recursive: true });
  writeFileSync(join(partition, "partition"), "1\n");
  writeFileSync(join(partition, "dev"), "259:12\n");
  writeFileSync(join(root, "proc/self/mountinfo"), "1 0 259:12 / /m rw - ext4 s rw\n");
  expect(await users(0, "refuse")).toEqual([{ kind: "mount", description: "mounted at /m" }]);
  for (const number of ["", "259", "259:12 x", "x259:12", "?"]) {
    writeFileSync(join(partition, "dev"), `${number}\n`);
    await expect(users(0, "refuse")).rejects.toMatchObject({ id: "nodeStateUnknown" });
  }
});

test("a process of a pod is named with the pod's UID", async () => {
  const use = {
    pid: 60,
    command: "qemu",
    parent: 1,
    how: "fd 9",
    pod: "4f9d1b7a-0c2e-4c52-9d3f-5a1e6b7c8d9e",
  };
  expect(await users(0, "refuse", { scan: [use] })).toEqual([
    { kind: "process", description: `process 60 (qemu, fd 9) of pod ${use.pod}` },
  ]);
});

test("a process that may not be looked into is named", async () => {
  await expect(users(2, "refuse", { about: { unread: ["60 (mover)"] } })).rejects.toThrow(
    "2 processes may not be looked into, as 60 (mover);",
  );
});

test("a scan that did not end proves nothing, also where hidden processes are left alone; the error names who made it long", async () => {
  const overrun = "they are too many to be looked at within 85 s: process 90 (dup) has 2200000 of 2200100";
  for (const blind of ["refuse", "ignore"] as const) {
    await expect(users(0, blind, { about: { overrun } })).rejects.toMatchObject({
      id: "nodeStateUnknown",
      message: expect.stringContaining("process 90 (dup) has 2200000"),
    });
  }
  const scan = [{ pid: 41, command: "dd", parent: 1, how: "fd 3" }];
  expect(await users(0, "refuse", { scan, about: { overrun } })).toMatchObject([{ kind: "process" }]);
});

test("where pods have millions of descriptors fuser, which sees less than the scan, is left out", async () => {
  expect(await users(0, "refuse", { fuser: " 44", about: { entries: 200_001 } })).toEqual([]);
  expect(await users(0, "refuse", { fuser: " 44", about: { entries: 200_000 } })).toHaveLength(1);
});

test("an nvme-cli of this driver only identifies the device in passing; every other process is a user, with its name", async () => {
  const stat = (pid: number, command: string, parent: number) => {
    mkdirSync(join(root, "proc", String(pid)), { recursive: true });
    writeFileSync(join(root, "proc", String(pid), "stat"), `${pid} (${command}) S ${parent} 1 1 0 -1 0\n`);
  };
  stat(41, "nvme", process.pid);
  stat(42, "nvme", 1);
  stat(43, "mkfs.ext4", process.pid);
  stat(44, "a) S 1 (b", 7);
  const scan = [41, 42, 43].map((pid) => ({
    pid,
    ...processAt(join(root, "proc", String(pid))),
    how: "fd 3",
  }));
  expect(await users(0, "refuse", { scan: scan.slice(0, 1), fuser: " 41" })).toEqual([]);
  expect((await users(0, "refuse", { scan, fuser: " 41 44 45" })).map((user) => user.description)).toEqual([
    "process 42 (nvme, fd 3)",
    "process 43 (mkfs.ext4, fd 3)",
    "process 44 (a) S 1 (b, found by fuser)",
    "process 45 (?, found by fuser)",
  ]);
});

const held = (name: string, attributes: Readonly<Record<string, string>>, partition = "") => {
  const base = join(root, `sys/dev/block/${NUMBER}`, partition, "holders", name);
  for (const [attribute, value] of Object.entries(attributes)) {
    mkdirSync(join(base, attribute, ".."), { recursive: true });
    writeFileSync(join(base, attribute), `${value}\n`);
  }
};

test("who holds the device is told by who made the holder: multipathd, LVM with its volume group, md; also on a partition", async () => {
  held("dm-0", { "dm/name": "mpatha", "dm/uuid": "mpath-uuid.bcc5b39c" });
  held("dm-1", { "dm/name": "my--group-data--disk", "dm/uuid": "LVM-abc" });
  held("dm-2", { "dm/name": "secret", "dm/uuid": "CRYPT-LUKS2-abc-secret" });
  held("md0", { "md/level": "raid1" });
  held("bcache0", { dev: "251:0" });
  held("dm-3", { "dm/name": "mpathb-part1", "dm/uuid": "part1-mpath-uuid.bcc5b39c" }, "nvme0n1p1");
  writeFileSync(join(root, `sys/dev/block/${NUMBER}/nvme0n1p1/partition`), "1\n");
  writeFileSync(join(root, `sys/dev/block/${NUMBER}/nvme0n1p1/dev`), "259:2\n");
  expect((await users(0, "refuse")).map(({ description }) => description).sort()).toEqual([
    "held by bcache0",
    "held by dm-0 (multipath map mpatha of multipathd)",
    "held by dm-1 (LVM volume group my-group, volume data-disk)",
    "held by dm-2 (device-mapper secret)",
    "held by dm-3 (multipath map mpathb-part1 of multipathd)",
    "held by md0 (md array, raid1)",
  ]);
});

test("a mount of a partition is a use of the device", async () => {
  mkdirSync(join(root, `sys/dev/block/${NUMBER}/nvme0n1p1/holders`), { recursive: true });
  writeFileSync(join(root, `sys/dev/block/${NUMBER}/nvme0n1p1/partition`), "1\n");
  writeFileSync(join(root, `sys/dev/block/${NUMBER}/nvme0n1p1/dev`), "259:2\n");
  writeFileSync(
    join(root, "proc/self/mountinfo"),
    "90 22 259:2 / /mnt/part rw shared:9 - ext4 /dev/nvme0n1p1 rw\n",
  );
  expect(await users(0, "refuse")).toEqual([{ kind: "mount", description: "mounted at /mnt/part" }]);
});

describe("the kernel's answer to an exclusive open", () => {
  const busy = { inspection: { exclusive: "busy", detail: "EBUSY" } } as const;
  const KERNEL = "the kernel (a filesystem that is still alive, or a mount in another namespace)";
  const swaps = (line: string) =>
    writeFileSync(join(root, "proc/swaps"), `Filename Type Size Used Priority\n${line}\n`);

  test("busy is a use of its own only if no other is found", async () => {
    expect(await users(0, "refuse", busy)).toEqual([{ kind: "kernel", description: KERNEL }]);
    const scan = [{ pid: 41, command: "dd", parent: 1, how: "fd 3" }];
    expect(await users(0, "refuse", { ...busy, scan })).toMatchObject([{ kind: "process" }]);
  });

  test("busy for swap names the swap", async () => {
    const stat = "61b0 103:1\n";
    swaps("/dev/nvme0n1 partition 1 0 -2");
    expect(await users(0, "refuse", { ...busy, programs: { stat } })).toEqual([
      { kind: "kernel", description: "swap of this node (/dev/nvme0n1)" },
    ]);
    expect(await users(0, "refuse", { ...busy, programs: { stat: "61b0 103:2\n" } })).toMatchObject([
      { description: KERNEL },
    ]);
    expect(await users(0, "refuse", { ...busy, programs: { stat: "81b0 103:1\n" } })).toMatchObject([
      { description: KERNEL },
    ]);
    expect(await users(0, "refuse", busy)).toMatchObject([{ description: KERNEL }]);
    swaps("/dev/nvme0n1 file 1 0 -2");
    expect(await users(0, "refuse", { ...busy, programs: { stat } })).toMatchObject([
      { description: KERNEL },
    ]);
  });

  test("another device under the name, or an error, is no answer", async () => {
    const asked = (exclusive: "changed" | "error") =>
      users(0, "ignore", { inspection: { exclusive, detail: "it is 259:9" } });
    await expect(asked("changed")).rejects.toMatchObject({ id: "deviceChanged" });
    await expect(asked("changed")).rejects.toThrow("it is 259:9");
    await expect(asked("error")).rejects.toMatchObject({ id: "nodeStateUnknown" });
    await expect(asked("error")).rejects.toThrow("it is 259:9");
  });
});

test("every mount of the device is a use, and none of another one; so is its node at another place", async () => {
  const node = (place: string, root = "/nvme0n1") => `91 22 0:5 ${root} ${place} rw - devtmpfs devtmpfs rw\n`;
  const table = [
    "90 22 259:1 / /a rw - ext4 /dev/nvme0n1 rw\n",
    "90 22 259:11 / /b rw - ext4 /dev/nvme1n1 rw\n",
    node("/pods/x"),
    node("/dev/nvme0n1"),
    node("/pods/y", "/nvme1n1"),
    node("/pods/z", "/dir/nvme0n1"),
  ];
  writeFileSync(join(root, "proc/self/mountinfo"), table.join(""));
  const at = async (stat: string) =>
    (await users(0, "refuse", { programs: { stat } })).map(
      ({ kind, description }) => `${kind}: ${description}`,
    );
  const mounted = "mount: mounted at /a";
  const published = ["mount: published at /pods/x", "mount: published at /pods/z"];
  expect(await at("61b0 103:1\n")).toEqual([mounted, ...published]);
  expect(await at("61b0 103:2\n")).toEqual([mounted]);
  expect(await at("81a4 103:1\n")).toEqual([mounted]);
});

describe("a loop device", () => {
  const made = (path: string) => {
    mkdirSync(join(root, "sys/block/loop3/loop"), { recursive: true });
    writeFileSync(join(root, "sys/block/loop3/loop/backing_file"), `${path}\n`);
  };
  const losetup = "/dev/loop3 0:5 77\n";
  const file = { path: "/x", filesystem: "0:5", inode: "77", device: NUMBER };
  const seen = (files: readonly (typeof file)[]) => ({
    programs: { losetup },
    inspection: { backing: { files, remote: [] } },
  });

  test("over the device is a use; one over another device is none", async () => {
    made("/x");
    expect(await users(0, "refuse", seen([file]))).toEqual([
      { kind: "loop", description: "loop device loop3 (/x)" },
    ]);
    expect(await users(0, "refuse", seen([{ ...file, device: "259:2" }]))).toEqual([]);
  });

  test("whose file cannot be found is unclear: no proof, unless such things are left alone", async () => {
    made("/x");
    await expect(users(0, "refuse", seen([]))).rejects.toThrow(
      "the loop device loop3 may be over it: its file was /x, which leads to it in no mount namespace now; detach it (losetup --detach /dev/loop3) if nothing needs it",
    );
    expect(await users(0, "ignore", seen([]))).toEqual([]);
    // Beside a user that is known nothing has to be clear.
    const scan = [{ pid: 41, command: "dd", parent: 1, how: "fd 3" }];
    expect(await users(0, "refuse", { ...seen([]), scan })).toHaveLength(1);
  });
});

test("the helper looks for the device, its partitions and the files of loop devices", async () => {
  const partition = (name: string) => join(root, `sys/dev/block/${NUMBER}/${name}`);
  for (const name of ["nvme0n1p1", "nvme0n1p2"]) {
    mkdirSync(join(partition(name), "holders"), { recursive: true });
    writeFileSync(join(partition(name), "partition"), "1\n");
  }
  // The other one is on its way out.
  writeFileSync(join(partition("nvme0n1p1"), "dev"), "259:2\n");
  for (const loop of ["loop3", "loop4"]) {
    mkdirSync(join(root, `sys/block/${loop}/loop`), { recursive: true });
    writeFileSync(join(root, `sys/block/${loop}/loop/backing_file`), "/x\n");
  }
  const asked: unknown[] = [];
  await users(0, "ignore", { asked, programs: { losetup: "" } });
  expect(asked).toStrictEqual(["/dev/nvme0n1", [NUMBER, "259:2"], ["/x"]]);
});

test("a process that the scan has found is described by the scan, also if fuser finds it", async () => {
  const scan = [{ pid: 41, command: "dd", parent: 1, how: "fd 3" }];
  expect(await users(0, "refuse", { scan, fuser: " 41" })).toEqual([
    { kind: "process", description: "process 41 (dd, fd 3)" },
  ]);
});

test("a holder is a use of its own kind", async () => {
  held("md0", { "md/level": "raid1" });
  expect(await users(0, "refuse")).toEqual([
    { kind: "holder", description: "held by md0 (md array, raid1)" },
  ]);
});

test("all blind spots are named together, with what the plugin needs", async () => {
  await expect(users(1, "refuse")).rejects.toThrow(
    "1 process may not be looked into; the node plugin needs a privileged container with hostPID (CAP_SYS_PTRACE, CAP_SYS_ADMIN)",
  );
  await expect(users(1, "refuse")).rejects.toThrow("whether /dev/nvme0n1 is in use");
  mkdirSync(join(root, "sys/block/loop3/loop"), { recursive: true });
  writeFileSync(join(root, "sys/block/loop3/loop/backing_file"), "/x\n");
  const about = { unread: ["60 (a)", "61 (b)"] };
  await expect(users(2, "refuse", { about, programs: { losetup: "" } })).rejects.toThrow(
    /as 60 \(a\), 61 \(b\); .*\); the loop device loop3 /,
  );
});
