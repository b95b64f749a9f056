import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { BLOCK, EXT4, growsExt4, hasTool, type LabNode, noDevices } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { exec } from "../../host/exec.ts";
import { lab, MIB, node, outcome, ran, rig, Staged, useExpandRig } from "./expand.fixture.ts";

const XFS: Capability = { ...EXT4, fsType: "xfs" };

const noExt4 =
  ["mkfs.ext4", "resize2fs"].find((tool) => !hasTool(tool)) ?? (growsExt4 ? "" : "needs CAP_SYS_RESOURCE");

const noXfs = ["mkfs.xfs", "xfs_growfs"].find((tool) => !hasTool(tool)) ?? "";

const filesystems = [
  { name: "ext4", missing: noExt4, capability: EXT4, before: 32, after: 96, program: "resize2fs" },
  { name: "xfs", missing: noXfs, capability: XFS, before: 304, after: 400, program: "xfs_growfs" },
] as const;

/** Either will do where the filesystem does not matter. */
const some = filesystems.find(({ missing }) => missing === "") ?? filesystems[0];

const full = BigInt(some.after) * MIB;

const readOnly: Capability = { ...some.capability, accessMode: "SINGLE_NODE_READER_ONLY" };

describe.skipIf(noDevices !== "")(`NodeExpandVolume on real loop devices ${noDevices}`, () => {
  useExpandRig();

  const testSome = test.skipIf(some.missing !== "");

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
        rig.hook = ({ program }) => {
          if (/resize2fs|xfs_growfs/.test(program)) crash();
        };
        // As a process leaves it that is killed at this command.
        await staged.stage(node, { filesystemState: "used" });
        expect(await staged.bytes()).toBe(size);
        rig.hook = () => {};
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
      rig.hook = (command) => {
        if (command.program === program) throw new DriverError("internal", 13, "the process ends here", "");
      };
      expect(await outcome(staged.expand())).toBe("INTERNAL internal");
      rig.hook = () => {};
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
