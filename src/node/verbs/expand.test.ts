import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import {
  BLOCK,
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { grpcCodeName } from "../../domain/errors/grpc-code.ts";
import type { DataPath } from "../../host/data-path.ts";
import { type Command, exec } from "../../host/exec.ts";
import { statFilesystem } from "../../mount/stat.ts";

const MIB = 1024n * 1024n;
const XFS: Capability = { ...EXT4, fsType: "xfs" };
/** Bit of CAP_SYS_RESOURCE, which the kernel wants for growing a mounted ext4 (fs/ext4/ioctl.c); containers may lack it. */
const CAP_SYS_RESOURCE = 1n << 24n;
const effective = BigInt(
  `0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`,
);
const noExt4 =
  ["mkfs.ext4", "resize2fs"].find((tool) => !hasTool(tool)) ??
  ((effective & CAP_SYS_RESOURCE) === 0n ? "needs CAP_SYS_RESOURCE" : "");
const noXfs = ["mkfs.xfs", "xfs_growfs"].find((tool) => !hasTool(tool)) ?? "";
const filesystems = [
  { name: "ext4", missing: noExt4, capability: EXT4, before: 32, after: 96, program: "resize2fs" },
  { name: "xfs", missing: noXfs, capability: XFS, before: 304, after: 400, program: "xfs_growfs" },
] as const;
/** Either will do where the filesystem does not matter. */
const some = filesystems.find(({ missing }) => missing === "") ?? filesystems[0];
const full = BigInt(some.after) * MIB;
const readOnly: Capability = { ...some.capability, accessMode: "SINGLE_NODE_READER_ONLY" };
/** A clock that a sleep moves. */
function quickClock() {
  let now = 0;
  const sleep = async (ms: number): Promise<void> => {
    now += ms;
  };
  return { now: () => now, monotonic: () => now, sleep };
}

async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${grpcCodeName(error.code)} ${error.id}`;
  }
}

describe.skipIf(noDevices !== "")(`NodeExpandVolume on real loop devices ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  /** Programs that a node ran, with their operands. */
  const ran: string[] = [];
  let hook: (command: Command) => void = () => {};
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a", {
      exec: (command) => {
        ran.push([command.program, ...command.args].join(" "));
        hook(command);
        return exec(command);
      },
    });
  });
  afterEach(async () => {
    hook = () => {};
    ran.length = 0;
  });
  afterAll(() => lab.cleanUp());

  const testSome = test.skipIf(some.missing !== "");

  let paths = 0;
  class Staged {
    readonly volume: Volume;
    readonly staging: string;
    readonly target: string;
    capability: Capability;

    constructor(capability: Capability, sizeMib: number) {
      paths += 1;
      this.volume = lab.volume(sizeMib).export();
      this.staging = lab.path(`stage-${paths}`);
      this.target = lab.path(`target-${paths}`);
      this.capability = capability;
      mkdirSync(this.staging);
    }
    get common() {
      const { volumeId } = this.volume;
      return { volumeId, stagingTargetPath: this.staging, capability: this.capability };
    }
    async stage(on = node, more = {}): Promise<this> {
      const publishContext = this.volume.context(on, more);
      await on.service.stage({ ...this.common, publishContext, volumeContext: {} });
      return this;
    }
    async publish(on = node, readonly = false): Promise<this> {
      const publishContext = this.volume.context(on);
      await on.service.publish({ ...this.common, publishContext, targetPath: this.target, readonly });
      return this;
    }
    expand(over: object = {}, on = node): Promise<bigint> {
      const range = { requiredBytes: BigInt(this.volume.size), limitBytes: 0n };
      return on.service.expand({ ...this.common, volumePath: this.staging, range, ...over });
    }
    async unstage(on = node): Promise<void> {
      const { volumeId } = this.volume;
      await on.service.unpublish({ volumeId, targetPath: this.target });
      await on.service.unstage({ volumeId, stagingTargetPath: this.staging });
    }
    /** Bytes of the mounted filesystem. */
    async bytes(): Promise<bigint> {
      const { blocks, blockSize } = await statFilesystem(exec, this.staging);
      return blocks * blockSize;
    }
  }

  const resizers = () => ran.filter((line) => /^(resize2fs|xfs_growfs) /.test(line));
  const fill = (path: string) => {
    const data = Buffer.alloc(Number(4n * MIB), "data that has to stay");
    writeFileSync(`${path}/data`, data);
    const sum = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    return (at = path) => expect(sum(readFileSync(`${at}/data`))).toBe(sum(data));
  };

  for (const { name, missing, capability, before, after } of filesystems) {
    describe.skipIf(missing !== "")(`${name} ${missing}`, () => {
      test("online, in use: device and filesystem grow, the data stays; again changes nothing", async () => {
        const staged = await (await new Staged(capability, before).stage()).publish();
        const verify = fill(staged.target);
        const held = openSync(`${staged.target}/held`, "w");
        const size = await staged.bytes();
        staged.volume.grow(after);
        try {
          for (const volumePath of [staged.target, staged.staging, staged.target]) {
            expect(await staged.expand({ volumePath })).toBe(BigInt(after) * MIB);
            const grown = (await staged.bytes()) - size;
            expect(grown > (BigInt(after - before) * MIB * 8n) / 10n).toBe(true);
          }
          expect(writeSync(held, "still open")).toBe(10);
        } finally {
          closeSync(held);
        }
        verify();
        await staged.unstage();
        // Nothing of it was lost on the way to the image.
        await staged.stage(node, { filesystemState: "keep" });
        verify(staged.staging);
        await staged.unstage();
      });

      test("grown while it was away: the next stage fills the device, once", async () => {
        const staged = await new Staged(capability, before).stage();
        // A new filesystem fills its device anyway.
        expect(resizers()).toEqual([]);
        const verify = fill(staged.staging);
        const size = await staged.bytes();
        await staged.unstage();
        staged.volume.grow(after);
        await staged.stage(node, { filesystemState: "used" });
        expect((await staged.bytes()) > size + (BigInt(after - before) * MIB * 8n) / 10n).toBe(true);
        verify();
        const full = await staged.bytes();
        await staged.stage(node, { filesystemState: "used" });
        expect(await staged.bytes()).toBe(full);
        await staged.unstage();
      });

      test("killed between mount and growth: the repeated stage grows it", async () => {
        const staged = await new Staged(capability, before).stage();
        const size = await staged.bytes();
        await staged.unstage();
        staged.volume.grow(after);
        const crash = () => {
          throw new DriverError("internal", 13, "the process ends here", "");
        };
        hook = ({ program }) => {
          if (/resize2fs|xfs_growfs/.test(program)) crash();
        };
        // As a process leaves it that is killed at this command.
        await staged.stage(node, { filesystemState: "used" });
        expect(await staged.bytes()).toBe(size);
        hook = () => {};
        await staged.stage(node, { filesystemState: "used" });
        expect((await staged.bytes()) > size).toBe(true);
        await staged.unstage();
      });
    });
  }

  testSome("NodeExpandVolume that fails at any of its commands is finished by the next", async () => {
    for (const program of ["losetup", some.program]) {
      const staged = await new Staged(some.capability, some.before).stage();
      const size = await staged.bytes();
      staged.volume.grow(some.after);
      hook = (command) => {
        if (command.program === program) throw new DriverError("internal", 13, "the process ends here", "");
      };
      expect(await outcome(staged.expand())).toBe("INTERNAL internal");
      hook = () => {};
      expect(await staged.expand()).toBe(full);
      expect((await staged.bytes()) > size).toBe(true);
      await staged.unstage();
    }
  });

  testSome(
    "a read-only target of a writable volume: the filesystem grows; staged read-only: refused",
    async () => {
      const staged = await (await new Staged(some.capability, some.before).stage()).publish(node, true);
      const size = await staged.bytes();
      staged.volume.grow(some.after);
      expect(await staged.expand({ volumePath: staged.target })).toBe(full);
      expect((await staged.bytes()) > size).toBe(true);
      await staged.unstage();

      const reader = await new Staged(some.capability, some.before).stage();
      await reader.unstage();
      reader.capability = readOnly;
      await reader.stage(node, { filesystemState: "keep" });
      reader.volume.grow(some.after);
      ran.length = 0;
      expect(await outcome(reader.expand())).toBe("FAILED_PRECONDITION filesystemReadOnly");
      // Nor does a stage grow it.
      await reader.unstage();
      await reader.stage(node, { filesystemState: "keep" });
      expect(resizers()).toEqual([]);
      await reader.unstage();
    },
  );
  testSome("a filesystem that cannot grow does not keep its data from being staged", async () => {
    const staged = await new Staged(some.capability, some.before).stage();
    const verify = fill(staged.staging);
    await staged.unstage();
    staged.volume.grow(some.after);
    const failing = lab.node("node-a", {
      exec: (command) =>
        command.program === some.program
          ? Promise.resolve({ code: 1, stdout: "", stderr: "no", truncated: false })
          : exec(command),
    });
    await staged.stage(failing, { filesystemState: "used" });
    verify();
    expect(await outcome(staged.expand({}, failing))).toBe("INTERNAL filesystemNotGrown");
    await staged.unstage();
  });

  test("block on two nodes, as during a migration: each sees the size by its own call", async () => {
    const other = lab.node("node-b");
    const source = await (await new Staged(BLOCK, 8).stage()).publish();
    const target = new Staged(BLOCK, 8);
    Object.assign(target, { volume: source.volume });
    await (await target.stage(other)).publish(other);
    source.volume.grow(24);
    const sizes = async (on: LabNode) => (await on.dataPath.find(source.volume.nqn))?.sizeBytes;
    expect(await source.expand({ volumePath: source.target })).toBe(24n * MIB);
    expect([await sizes(node), await sizes(other)]).toEqual([24n * MIB, 8n * MIB]);
    for (let repeat = 0; repeat < 2; repeat += 1) {
      expect(await target.expand({ volumePath: target.target }, other)).toBe(24n * MIB);
    }
    expect(await sizes(other)).toBe(24n * MIB);
    expect(resizers()).toEqual([]);
    // Less than it has, and no range at all: nothing shrinks.
    const range = { requiredBytes: 8n * MIB, limitBytes: 0n };
    expect(await source.expand({ volumePath: source.target, range })).toBe(24n * MIB);
    expect(await source.expand({ volumePath: source.target, range: undefined })).toBe(24n * MIB);
    await target.unstage(other);
    await source.unstage();
  });

  test("a size that the target does not show: told, with the remedy; once it is shown, it is taken", async () => {
    const clock = quickClock();
    const patient = lab.node("node-a", { clock });
    const staged = await (await new Staged(BLOCK, 8).stage()).publish();
    staged.volume.grow(24, "later");
    const call = staged.expand({ volumePath: staged.target }, patient);
    await expect(call).rejects.toMatchObject({ id: "expansionNotSeen", code: 9 });
    await expect(call).rejects.toThrow(/attached anew.*--online-expansion re-export/);
    expect(clock.now()).toBeGreaterThanOrEqual(25_000);
    staged.volume.export();
    expect(await staged.expand({ volumePath: staged.target }, patient)).toBe(24n * MIB);
    await staged.unstage();
  });

  describe("a size that the target does not show", () => {
    const MINUTE = 60_000;
    /** A published block volume that has grown unseen, with a target in a directory as kubelet makes it for a pod. */
    async function unseen() {
      const clock = quickClock();
      const patient = lab.node("node-a", { clock });
      const staged = await new Staged(BLOCK, 8).stage();
      const directory = lab.path(`pod-${paths}`);
      mkdirSync(directory);
      Object.assign(staged, { target: `${directory}/mount` });
      await staged.publish();
      staged.volume.grow(24, "later");
      const asOf = (file: string, minutesAgo: number) => {
        const at = (clock.now() - minutesAgo * MINUTE) / 1_000;
        utimesSync(file, at, at);
      };
      await clock.sleep(Date.now());
      const expand = (over = {}) => outcome(staged.expand({ volumePath: staged.target, ...over }, patient));
      return { clock, staged, directory, asOf, expand };
    }

    test("in use: the call is repeated for ten minutes, and finishes once the size is there", async () => {
      const { clock, staged, directory, asOf, expand } = await unseen();
      asOf(directory, 3);
      const answers: string[] = [];
      for (let minute = 0; minute < 9; minute += 1) {
        answers.push(await expand());
        await clock.sleep(MINUTE - 25_000);
      }
      expect(new Set(answers)).toEqual(new Set(["UNAVAILABLE expansionNotSeenYet"]));
      await clock.sleep(2 * MINUTE);
      // kubelet would start no pod with an error that is repeated, so it is not for ever.
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      // Another growth has its own time.
      const range = { requiredBytes: 25n * MIB, limitBytes: 0n };
      expect(await expand({ range })).toBe("UNAVAILABLE expansionNotSeenYet");
      staged.volume.export();
      expect(await expand()).toBe("OK");
      await staged.unstage();
    });

    test("for a pod that is only being started: an error that lets it start", async () => {
      const { staged, directory, asOf, expand } = await unseen();
      asOf(directory, 1);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      // Mounted anew for a pod of before, as after a reboot of the node.
      const record = `${directory}/vol_data.json`;
      writeFileSync(record, "{}");
      asOf(directory, 60);
      asOf(record, 1);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      asOf(record, 60);
      expect(await expand()).toBe("UNAVAILABLE expansionNotSeenYet");
      // A clock that went back says nothing about the age.
      asOf(directory, -60);
      expect(await expand()).toBe("FAILED_PRECONDITION expansionNotSeen");
      await staged.unstage();
    });
  });

  test("while the connection is down it is waited for; it is not taken for a target that shows nothing", async () => {
    let backAt = Number.POSITIVE_INFINITY;
    const clock = quickClock();
    const flaky = lab.node(
      "node-a",
      { clock },
      (real): DataPath => ({
        ...real,
        list: async () =>
          (await real.list()).map((each) => (clock.now() < backAt ? { ...each, state: "connecting" } : each)),
      }),
    );
    const staged = await (await new Staged(BLOCK, 8).stage()).publish();
    staged.volume.grow(24);
    expect(await outcome(staged.expand({ volumePath: staged.target }, flaky))).toBe(
      "UNAVAILABLE deviceNotReady",
    );
    backAt = clock.now() + 4_000;
    expect(await staged.expand({ volumePath: staged.target }, flaky)).toBe(24n * MIB);
    await staged.unstage();
  });

  testSome("what is not this volume, not there, or asked for wrongly", async () => {
    const staged = await (await new Staged(some.capability, some.before).stage()).publish();
    const stranger = await (await new Staged(BLOCK, 8).stage()).publish();
    staged.volume.grow(some.after);
    const { volumeId } = staged.volume;
    const cases: [object, string][] = [
      [{ volumeId: "" }, "INVALID_ARGUMENT fieldMissing"],
      [{ volumePath: "" }, "INVALID_ARGUMENT fieldMissing"],
      [{ range: { requiredBytes: -1n, limitBytes: 0n } }, "INVALID_ARGUMENT fieldInvalid"],
      [{ range: { requiredBytes: 2n, limitBytes: 1n } }, "OUT_OF_RANGE capacityOutOfRange"],
      [{ range: { requiredBytes: 0n, limitBytes: MIB } }, "OUT_OF_RANGE capacityOutOfRange"],
      [{ capability: { ...some.capability, fsType: "btrfs" } }, "INVALID_ARGUMENT capabilityUnsupported"],
      [{ capability: BLOCK }, "INVALID_ARGUMENT fieldInvalid"],
      [{ volumePath: "relative" }, "NOT_FOUND volumePathNotFound"],
      [{ volumePath: lab.path("nowhere", "at", "all") }, "NOT_FOUND volumePathNotFound"],
      [{ volumePath: lab.path() }, "NOT_FOUND volumePathNotFound"],
      [{ volumePath: `${staged.target}/inside` }, "NOT_FOUND volumePathNotFound"],
      [{ volumePath: stranger.target }, "NOT_FOUND volumePathNotFound"],
      [{ volumeId: stranger.volume.volumeId }, "NOT_FOUND volumePathNotFound"],
      [{ volumeId: "no-such-volume" }, "NOT_FOUND volumePathNotFound"],
      [{ volumeId: `csi-${"0".repeat(28)}` }, "NOT_FOUND volumePathNotFound"],
      [{ stagingTargetPath: "relative" }, "NOT_FOUND volumePathNotFound"],
    ];
    for (const [over, wanted] of cases) {
      expect([over, await outcome(staged.expand({ volumePath: staged.target, ...over }))]).toEqual([
        over,
        wanted,
      ]);
    }
    expect(
      await outcome(stranger.expand({ volumePath: stranger.target, stagingTargetPath: staged.staging })),
    ).toBe("NOT_FOUND volumePathNotFound");
    expect(resizers()).toEqual([]);
    // The optional fields may be left out.
    const bare = { volumeId, volumePath: staged.target, stagingTargetPath: "", capability: undefined };
    expect(await node.service.expand({ ...bare, range: undefined })).toBe(full);
    await staged.unstage();
    await stranger.unstage();
  });

  testSome("a volume whose device has vanished", async () => {
    const staged = await new Staged(some.capability, some.before).stage();
    const dead = lab.node("node-a", { sysRoot: lab.path() }, (real) => ({ ...real, list: async () => [] }));
    expect(await outcome(staged.expand({}, dead))).toBe("UNAVAILABLE deviceLost");
    await staged.unstage();
  });
});
