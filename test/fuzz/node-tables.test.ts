import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { createHelper } from "../../src/host/helper.ts";
import { createNodeSystem } from "../../src/host/system.ts";
import { fuserPids } from "../../src/mount/fuser.ts";
import { loopFiles } from "../../src/mount/loops.ts";
import { mappedDevices } from "../../src/mount/mapped.ts";
import { decodeMark, encodeMark, newMark } from "../../src/mount/mkfs-mark.ts";
import { mountOf, parseMountinfo } from "../../src/mount/mountinfo.ts";
import { probe } from "../../src/mount/probe.ts";
import { statFilesystem, statPath } from "../../src/mount/stat.ts";
import { readSuperblock, SUPERBLOCK_SPAN, superblockDanger } from "../../src/mount/superblock.ts";
import { blockUsers } from "../../src/mount/users.ts";
import { kubeletPathOf } from "../../src/node/kubelet-paths.ts";
import { connectFailure } from "../../src/nvme/connect-command.ts";
import { controllerState } from "../../src/nvme/controller-state.ts";
import { readExport } from "../../src/nvme/loop-export.ts";
import { readLoopRecords } from "../../src/nvme/loop-record.ts";
import { subsystemState } from "../../src/nvme/sysfs.ts";
import { decodeCopy, encodeCopy } from "../../src/records/copy.ts";
import { FakeSysfs } from "../support/sysfs.ts";
import { FUZZ_SEED, Random, SHORT_SECONDS } from "./random.ts";

const seconds = SHORT_SECONDS / 3;

/** Fewer repetitions say nothing about shares. */
const ENOUGH = 100;

/** Least shares, percent, of the repetitions that were accepted and refused. */
interface Floors {
  readonly accepted: number;
  readonly refused: number;
}

/**
 * Repeats something random for a while, and as often as shares need. Without floors a run whose cases all fall into one class passes.
 * @param work says whether its case was accepted: read, or taken for what it said
 */
async function forAWhile(
  floors: Floors,
  work: (random: Random) => boolean | Promise<boolean>,
): Promise<void> {
  const random = new Random(FUZZ_SEED);
  const end = performance.now() + seconds * 1_000;
  const times = { accepted: 0, refused: 0 };
  const all = () => times.accepted + times.refused;
  while (performance.now() < end || all() < ENOUGH) times[(await work(random)) ? "accepted" : "refused"] += 1;
  const shares = { accepted: (100 * times.accepted) / all(), refused: (100 * times.refused) / all() };
  expect(shares.accepted).toBeGreaterThanOrEqual(floors.accepted);
  expect(shares.refused).toBeGreaterThanOrEqual(floors.refused);
}

/** The result of a call; the id of its error. A defect is thrown. */
async function outcomeOf<T>(
  call: () => T | Promise<T>,
): Promise<{ readonly value: T } | { readonly id: string }> {
  try {
    return { value: await call() };
  } catch (error) {
    if (error instanceof DriverError && error.id !== "internal") return { id: error.id };
    throw error;
  }
}

const mutated = (random: Random, text: string, most = 3): string =>
  random.mutated(Buffer.from(text), most).toString();

const MOUNTS = [
  "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard",
  "42 27 259:1 / /var/lib/kubelet/g\\040m rw,nosuid shared:7 master:3 - ext4 /dev/nvme0n1 rw,errors=remount-ro",
  "43 27 0:6 /nvme0n2 /var/lib/kubelet/t ro - devtmpfs devtmpfs rw",
  "44 27 0:50 / /mnt/nfs rw shared:9 - nfs4 host:/export rw,vers=4.2",
];

test("a mount table with lines that were changed: each other line is read as it is, or the table is unknown", async () => {
  await forAWhile({ accepted: 40, refused: 15 }, async (random) => {
    const own = readFileSync("/proc/self/mountinfo", "utf8").trimEnd().split("\n");
    const lines = [...MOUNTS, ...own];
    const at = random.int(lines.length);
    const text = lines.with(at, mutated(random, lines[at] ?? "")).join("\n");
    const got = await outcomeOf(() => parseMountinfo(`${text}\n`));
    if ("id" in got) {
      expect(got.id).toBe("nodeStateUnknown");
      return false;
    }
    const others = lines.toSpliced(at, 1).flatMap((line) => parseMountinfo(line));
    for (const mount of others) expect(got.value).toContainEqual(mount);
    mountOf(got.value, random.text());
    return true;
  });
});

const MAPS = [
  "55d0a000-55d0b000 r-xp 00001000 fe:00 1837 /usr/bin/qemu",
  "7f0000000000-7f0000001000 rw-s 00000000 103:01 12 /dev/nvme0n1",
  "7f0000002000-7f0000003000 rw-p 00000000 00:00 0 ",
  "7ffd8000-7ffd9000 rw-p 00000000 00:00 0                          [stack]",
];

test("mappings with a line that was changed: the devices of the others are found, or the process is unreadable", async () => {
  const base = mkdtempSync(join(tmpdir(), "rds-csi-fuzz-maps-"));
  try {
    const look = (text: string) =>
      mappedDevices(
        base,
        { namespace: "n", devices: new Set(["254:0", "259:1"]) },
        new Map(),
        () => {},
        () => text,
      );
    const whole = look(MAPS.join("\n")).map(({ device }) => device);
    expect(whole).toEqual(["254:0", "259:1"]);
    await forAWhile({ accepted: 15, refused: 40 }, (random) => {
      const at = random.int(MAPS.length);
      let found: readonly string[];
      try {
        found = look(MAPS.with(at, mutated(random, MAPS[at] ?? "")).join("\n")).map(({ device }) => device);
      } catch (error) {
        // EBUSY: unknown. ENOENT: the line now names a mapping of another device, which this process has not.
        expect((error as { code?: string }).code).toMatch(/^(EBUSY|ENOENT)$/);
        return false;
      }
      const others = look(MAPS.toSpliced(at, 1).join("\n")).map(({ device }) => device);
      expect(found).toEqual(expect.arrayContaining(others as string[]));
      return true;
    });
  } finally {
    rmSync(base, { recursive: true });
  }
});

const NQN = "nqn.2000-02.com.mikrotik:csi-0123456789abcdef0123456789ab.7";
const HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-4111-8111-111111111111";
const TARGET = {
  ...{ nqn: NQN, address: "192.0.2.9", port: 4_420, hostNqn: HOST, hostId: "", sizeBytes: 1n },
  ...{ ctrlLossTmo: -1, reconnectDelay: 5, keepAliveTmo: 5, fastIoFailTmo: -1, nrIoQueues: 0, queueSize: 0 },
};

test("a sysfs with attributes that are unreadable, gone or changed: never disconnected while its controller can be read", async () => {
  await forAWhile({ accepted: 45, refused: 10 }, async (random) => {
    const sysfs = new FakeSysfs(NQN, HOST);
    try {
      const device = join(sysfs.subsystem, "nvme0n1");
      const places = [
        ...["state", "transport", "address", "hostnqn", "hostid", "cntlid", "subsysnqn"].map((each) =>
          join(sysfs.controller, each),
        ),
        ...["dev", "size", "ro"].map((each) => join(device, each)),
        join(sysfs.subsystem, "subsysnqn"),
      ];
      const changed = new Set<string>();
      let isUnreadable = false;
      for (let count = 1 + random.int(2); count > 0; count -= 1) {
        const place = random.pick(places);
        changed.add(place);
        switch (random.int(4)) {
          case 0:
            rmSync(place, { recursive: true, force: true });
            break;
          case 1:
            rmSync(place, { recursive: true, force: true });
            mkdirSync(place);
            isUnreadable = true;
            break;
          case 2:
            rmSync(place, { recursive: true, force: true });
            writeFileSync(place, random.chance(0.5) ? random.text() : random.bytes(random.int(64)));
            break;
          default:
            if (changed.size > 0)
              sysfs.state = random.pick(["live", "dead", "deleting (no IO)", random.text()]);
        }
      }
      const got = await outcomeOf(() => subsystemState(sysfs.root, NQN));
      if ("id" in got) {
        expect(got.id).toMatch(/^(nodeStateUnknown|deviceAmbiguous)$/);
        return false;
      }
      const named = ["state", "subsysnqn"].some((each) => changed.has(join(sysfs.controller, each)));
      if (!named) expect(got.value.controllers).toHaveLength(1);
      if (!named && !isUnreadable)
        expect(controllerState(got.value.controllers, TARGET).kind).not.toBe("absent");
      for (const { device: found } of got.value.namespaces) expect(found.number).toMatch(/^\d+:\d+$/);
      return true;
    } finally {
      sysfs.cleanUp();
    }
  });
});

const OUTPUTS = [
  "TYPE=ext4\nUSAGE=filesystem\nUUID=1\nVERSION=1.0\n",
  "PTTYPE=gpt\n",
  " 12 345\n",
  "/dev/loop0 0:47 1234\n/dev/loop1 254:0 99\n",
  "61b0 103:1\n",
  "4096 100 50 40 10 5\n",
  "Failed to write to /dev/nvme-fabrics: Input/output error\n",
  "stat: cannot statx '/x': No such file or directory\n",
  "/dev/nvme0n1:  Cannot open /proc/12/maps: Permission denied\n",
  "",
];

test("programs that answer anything with any status: nothing is absent, unused or blank but by their own word for it", async () => {
  await forAWhile({ accepted: 20, refused: 40 }, async (random) => {
    const text = () => {
      const sample = random.pick(OUTPUTS);
      return random.chance(0.5) ? sample : random.chance(0.8) ? mutated(random, sample, 6) : random.text();
    };
    const result = {
      ...{ code: random.pick([0, 1, 2, 4, 8, 127, null]), stdout: text(), stderr: text(), truncated: false },
    };
    const run = async () => result;
    const signature = await outcomeOf(() => probe(run, "/dev/x"));
    if ("value" in signature) expect(signature.value.kind === "none").toBe(result.code === 2);
    const users = await outcomeOf(() => fuserPids(run, "/dev/x"));
    if ("value" in users && users.value.length === 0) {
      expect(result.code).toBe(1);
      expect(result.stdout.trim()).toBe("");
    }
    const stat = await outcomeOf(() => statPath(run, "/x"));
    if ("value" in stat && stat.value === undefined) {
      expect(result.code).not.toBe(0);
      expect(result.stderr).toMatch(/No such file or directory|Not a directory/);
    }
    await outcomeOf(() => statFilesystem(run, "/x"));
    await outcomeOf(() => loopFiles(run));
    connectFailure(result, TARGET, random.chance(0.5));
    return [signature, users, stat].some((each) => "value" in each);
  });
});

test("the start of a device with any bytes: zeros and marks are nothing else", async () => {
  await forAWhile({ accepted: 30, refused: 25 }, (random) => {
    const start = Buffer.alloc(SUPERBLOCK_SPAN);
    let isRead = false;
    const isXfs = random.chance(0.5);
    if (isXfs) start.write("XFSB");
    else start.writeUInt16LE(0xef53, 1024 + 0x38);
    for (let count = random.int(40); count > 0; count -= 1)
      start[(isXfs ? 0 : 1024) + random.int(random.pick([256, 1024]))] = random.int(256);
    for (const bytes of [
      start,
      start.subarray(0, random.int(start.length)),
      Buffer.alloc(random.int(40_000)),
    ]) {
      for (const filesystem of ["ext4", "xfs"] as const) {
        const found = readSuperblock(bytes, filesystem);
        if (found.kind === "zeros") expect(bytes.subarray(0, 2048).every((byte) => byte === 0)).toBe(true);
        superblockDanger(bytes, filesystem);
        isRead ||= bytes === start && !["zeros", "other"].includes(found.kind);
      }
    }
    const mark = newMark("csi-0123456789abcdef0123456789ab", random.int(1_000), random.pick(["ext4", "xfs"]));
    const encoded = encodeMark(mark);
    expect(decodeMark(encoded)).toEqual(mark);
    const changed = random.mutated(encoded.subarray(0, 200));
    const whole = Buffer.concat([changed, Buffer.alloc(encoded.length)]).subarray(0, encoded.length);
    if (!whole.equals(encoded)) expect(decodeMark(whole)).toBeUndefined();
    return isRead;
  });
});

test("files of JSON that were changed or cut: their content, or none", async () => {
  const directory = mkdtempSync(join(tmpdir(), "rds-csi-fuzz-json-"));
  const kubelet = join(directory, "pods/p/volumes/kubernetes.io~csi/pvc-1");
  mkdirSync(kubelet, { recursive: true });
  const record = { driverName: "rds.csi", volumeHandle: "csi-1", attachmentID: "a", nodeName: "n" };
  const device = { boot: "b", name: "loop3", sequence: "7", filesystem: "0:47", inode: "12" };
  const exported = {
    nqn: NQN,
    port: 4_420,
    path: "/x.img",
    sizeBytes: "1048576",
    slot: "csi-1",
    allowHosts: [HOST],
  };
  const copy = { comment: "rds1;n=pvc-1;c=test;t=1700000000", seen: "2026-01-01T00:00:00Z", epoch: 3 };
  try {
    await forAWhile({ accepted: 10, refused: 40 }, async (random) => {
      const text = (value: object) => {
        const json = JSON.stringify(value).replace(
          "{",
          random.chance(0.1) ? '{"__proto__":{"polluted":1},' : "{",
        );
        return random.chance(0.6) ? json : mutated(random, json);
      };
      const [vol, dev, exp, copied] = [record, device, exported, JSON.parse(encodeCopy(copy))].map(text);
      writeFileSync(join(kubelet, "vol_data.json"), vol ?? "");
      writeFileSync(join(directory, `${NQN}.device`), dev ?? "");
      writeFileSync(join(directory, `${NQN}.json`), exp ?? "");
      const path = await kubeletPathOf(join(kubelet, "mount"), "rds.csi");
      if (path !== undefined) expect(JSON.parse(vol ?? "").volumeHandle).toBe(path.handle);
      for (const each of (await readLoopRecords(directory)).values())
        expect(Object.values(each).every((field) => typeof field === "string")).toBe(true);
      const found = await outcomeOf(() => readExport(directory, NQN));
      if ("id" in found) expect(found.id).toBe("nodeStateUnknown");
      else expect(found.value).toBeDefined();
      const decoded = decodeCopy(copied ?? "");
      if (decoded !== undefined) expect(decodeCopy(encodeCopy(decoded))).toEqual(decoded);
      expect(({} as { polluted?: number }).polluted).toBeUndefined();
      return path !== undefined && decoded !== undefined && "value" in found;
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("answers of the helper that were changed or cut: a device in use is never unused", async () => {
  const root = mkdtempSync(join(tmpdir(), "rds-csi-fuzz-users-"));
  mkdirSync(join(root, "proc/self"), { recursive: true });
  mkdirSync(join(root, "sys/dev/block/259:1/holders"), { recursive: true });
  mkdirSync(join(root, "sys/block"), { recursive: true });
  writeFileSync(join(root, "proc/self/mountinfo"), "");
  const device = {
    name: "nvme0n1",
    path: "/dev/nvme0n1",
    number: "259:1",
    nqn: NQN,
    sizeBytes: 1n,
    readOnly: false,
  };
  const idle = {
    exclusive: "free",
    detail: "",
    processes: { uses: [], unreadable: 0 },
    backing: { files: [], remote: [] },
  };
  const answers = [
    { ...idle, exclusive: "busy" },
    { ...idle, exclusive: "error", detail: "EIO" },
    { ...idle, processes: { uses: [{ pid: 7, command: "qemu", parent: 1, how: "fd 9" }], unreadable: 0 } },
    { ...idle, processes: { uses: [], unreadable: 3 } },
    { ...idle, processes: { uses: [], unreadable: 0, overrun: "too many" } },
  ];
  try {
    await forAWhile({ accepted: 6, refused: 40 }, async (random) => {
      const true_ = JSON.stringify(random.pick(answers));
      const said = random.pick([
        true_,
        true_.slice(0, random.int(true_.length + 1)),
        mutated(random, true_, 2),
      ]);
      const system = createNodeSystem({
        procRoot: join(root, "proc"),
        sysRoot: join(root, "sys"),
        exec: async () => ({ code: 1, stdout: "", stderr: "", truncated: false }),
        helper: createHelper(
          async () => ({ code: 0, stdout: said, stderr: "", truncated: false }),
          ["helper"],
        ),
      });
      const got = await outcomeOf(() => blockUsers(system, device, "refuse"));
      if ("id" in got) return false;
      if (got.value.length > 0) return true;
      // Only an answer that says so, in each of its parts.
      const { exclusive, processes } = JSON.parse(said);
      expect({ exclusive, ...processes }).toMatchObject({ exclusive: "free", uses: [], unreadable: 0 });
      return true;
    });
  } finally {
    rmSync(root, { recursive: true });
  }
});
