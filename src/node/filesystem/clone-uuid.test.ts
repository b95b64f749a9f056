import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import {
  BLOCK,
  EXT4,
  growsExt4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  toolPath,
  type Volume,
} from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { filesystemUuidOf } from "../../domain/filesystem-uuid.ts";
import type { PublishContext } from "../../domain/publish-context.ts";
import { type Command, type Exec, exec } from "../../host/exec.ts";
import { lookForUuid, uuidWrites } from "../../mount/change-uuid.ts";

const MIB = 1024 * 1024;
const ANY = filesystemUuidOf("csi-any");
const FILESYSTEMS = [
  { name: "ext4", capability: EXT4, mib: 48, larger: 56, check: ["e2fsck", "-f", "-n"] },
  { name: "xfs", capability: { ...EXT4, fsType: "xfs" }, mib: 320, larger: 336, check: ["xfs_repair", "-n"] },
] as const;

for (const { name, capability, mib, larger, check } of FILESYSTEMS) {
  const missing = [`mkfs.${name}`, check[0], "sha256sum"].find((tool) => !hasTool(tool)) ?? "";
  const skipped = noDevices || missing;
  const cannotGrow = name === "ext4" && !growsExt4 ? "needs CAP_SYS_RESOURCE" : "";
  describe.skipIf(skipped !== "")(`the UUID of a clone, ${name} ${skipped}`, () => {
    let lab: Lab;
    let node: LabNode;
    let commands: Command[] = [];
    let instead: (command: Command) => ReturnType<Exec> | undefined = () => undefined;
    let count = 0;
    const run: Exec = (command) => {
      commands.push(command);
      return instead(command) ?? exec(command);
    };
    beforeAll(() => {
      lab = new Lab();
      node = lab.node("node-a", { exec: run });
    });
    afterAll(() => lab.cleanUp());
    afterEach(() => {
      instead = () => undefined;
      commands = [];
    });

    const staging = (): string => {
      count += 1;
      const path = lab.path(`staging-${count}`);
      mkdirSync(path);
      return path;
    };
    const stage = async (
      volume: Volume,
      {
        path = staging(),
        as = capability as Capability,
        on = node,
        ...more
      }: Partial<PublishContext> & {
        path?: string;
        as?: Capability;
        on?: LabNode;
      } = {},
    ): Promise<string> => {
      const context: Partial<PublishContext> = {
        filesystemState: "keep",
        filesystemUuid: filesystemUuidOf(volume.volumeId),
        ...more,
      };
      await on.service.stage({
        volumeId: volume.volumeId,
        publishContext: volume.context(on, context),
        stagingTargetPath: path,
        capability: as,
        volumeContext: {},
        signal: undefined,
      });
      return path;
    };
    const unstage = (volume: Volume, path: string) =>
      node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });
    const uuidOf = (volume: Volume): string => {
      const found = lookForUuid(volume.image, name, ANY);
      return found.kind === "changeable" ? found.uuid : found.kind;
    };
    const digest = (path: string) =>
      execFileSync(toolPath("sha256sum") ?? "", [path])
        .toString()
        .slice(0, 64);
    const judge = (volume: Volume) =>
      spawnSync(check[0], [...check.slice(1), volume.image], { encoding: "utf8" });
    const mounts = () =>
      commands.filter(({ program }) => program === "mount").map(({ args }) => args.join(" "));
    const nouuid = (path: string) => lab.mountsAt(path)[0]?.superOptions.includes("nouuid") ?? false;

    /** A staged volume with a file of known content, and changes that were not synced. */
    const withData = async (): Promise<[Volume, string, string]> => {
      const volume = lab.volume(mib).export();
      const path = await stage(volume, { filesystemState: "new", filesystemUuid: undefined });
      writeFileSync(`${path}/data`, crypto.getRandomValues(new Uint8Array(65_536)));
      execFileSync("sync", [`${path}/data`]);
      const sum = digest(`${path}/data`);
      for (let file = 0; file < 40; file += 1) writeFileSync(`${path}/unsynced-${file}`, `${file}`);
      return [volume, path, sum];
    };
    /** A copy of the volume at one instant: nothing was written between its two equal halves. */
    const cloneOf = (source: Volume, sizeMib: number = mib): Volume => {
      const clone = lab.volume(sizeMib).export();
      for (let attempt = 0; ; attempt += 1) {
        execFileSync("cp", ["--sparse=always", source.image, clone.image]);
        if (spawnSync("cmp", [source.image, clone.image]).status === 0) break;
        if (attempt === 20) throw new Error("the source is never still");
      }
      return sizeMib === mib ? clone : clone.grow(sizeMib);
    };
    const isSettled = (volume: Volume) => {
      const found = lookForUuid(volume.image, name, ANY);
      return found.kind === "changeable" && found.unsettled === undefined;
    };

    test("two clones, taken while the source is mounted and written, and the source: all mounted here, each with its UUID and the data", async () => {
      const [source, path, sum] = await withData();
      const clones = [cloneOf(source), cloneOf(source)];
      expect(clones.map(isSettled)).toEqual([false, false]);
      const origin = uuidOf(source);
      commands = [];
      const paths: string[] = [];
      for (const clone of clones) paths.push(await stage(clone));
      // Each was mounted once more, to empty its journal.
      expect(mounts()).toHaveLength(4);
      expect([source, ...clones].map(uuidOf)).toEqual([
        origin,
        ...clones.map((clone) => filesystemUuidOf(clone.volumeId)),
      ]);
      for (const [index, at] of [path, ...paths].entries()) {
        expect(digest(`${at}/data`)).toBe(sum);
        expect(nouuid(at)).toBe(false);
        writeFileSync(`${at}/own`, `${index}`);
      }
      for (const [index, at] of [path, ...paths].entries())
        expect(readFileSync(`${at}/own`, "utf8")).toBe(`${index}`);
      // The next stage finds nothing to do.
      commands = [];
      await unstage(clones[0] as Volume, paths[0] as string);
      await stage(clones[0] as Volume, { path: paths[0] as string });
      await stage(clones[0] as Volume, { path: paths[0] as string });
      expect(mounts()).toHaveLength(1);
      expect(nouuid(paths[0] as string)).toBe(false);
      for (const [index, volume] of [source, ...clones].entries()) {
        await unstage(volume, [path, ...paths][index] as string);
        expect(judge(volume).status).toBe(0);
      }
    });

    test("a clean clone gets its UUID without another mount", async () => {
      const [source, path, sum] = await withData();
      await unstage(source, path);
      const clone = cloneOf(source);
      commands = [];
      const at = await stage(clone);
      expect(mounts()).toHaveLength(1);
      expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
      expect(digest(`${at}/data`)).toBe(sum);
      await unstage(clone, at);
    });

    test.skipIf(cannotGrow !== "")(
      `a clone that is a little larger fills its device ${cannotGrow}`,
      async () => {
        const [source, path, sum] = await withData();
        const clone = cloneOf(source, larger);
        const at = await stage(clone);
        expect(digest(`${at}/data`)).toBe(sum);
        await unstage(clone, at);
        expect(filesystemBytes(name, clone)).toBe(larger * MIB);
        expect(judge(clone).status).toBe(0);
        await unstage(source, path);
      },
    );

    test("an end after any of the writes: an older driver mounts it, and the next stage goes on", async () => {
      const [source, path, sum] = await withData();
      await unstage(source, path);
      const writesFor = (clone: Volume) => {
        const image = readFileSync(clone.image);
        const read = (offset: number, length: number) => image.subarray(offset, offset + length);
        const writes = uuidWrites(read, name, filesystemUuidOf(clone.volumeId));
        if (typeof writes === "string") throw new Error(writes);
        return [...writes];
      };
      const total = writesFor(source).length;
      for (let done = 1; done <= total; done += 1) {
        const clone = cloneOf(source);
        const fd = openSync(clone.image, "r+");
        for (const { offset, content } of writesFor(clone).slice(0, done))
          writeSync(fd, content, 0, content.length, offset);
        closeSync(fd);
        const at = staging();
        const isOlderToo = done % 2 === 1;
        if (isOlderToo) await unstage(clone, await stage(clone, { path: at, filesystemUuid: undefined }));
        await stage(clone, { path: at });
        expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
        expect(digest(`${at}/data`)).toBe(sum);
        await unstage(clone, at);
        expect(judge(clone).status).toBe(0);
      }
    });

    test("read-only: the UUID stays, and the source may be mounted beside it", async () => {
      const [source, path, sum] = await withData();
      const clone = cloneOf(source);
      commands = [];
      const at = await stage(clone, { as: { ...capability, accessMode: "SINGLE_NODE_READER_ONLY" } });
      expect(mounts()).toHaveLength(1);
      expect(nouuid(at)).toBe(name === "xfs");
      expect(digest(`${at}/data`)).toBe(sum);
      expect(uuidOf(clone)).toBe(uuidOf(source));
      await unstage(clone, at);
      // For writing it gets its own, and then needs no nouuid when it is read-only either.
      await unstage(clone, await stage(clone));
      const again = await stage(clone, { as: { ...capability, accessMode: "SINGLE_NODE_READER_ONLY" } });
      expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
      expect(nouuid(again)).toBe(false);
      await unstage(clone, again);
      await unstage(source, path);
    });

    test("a driver that ended between its two mounts: the next stage goes on, and an unstage clears", async () => {
      const [source, path, sum] = await withData();
      for (const next of ["stage", "unstage"] as const) {
        const clone = cloneOf(source);
        const at = staging();
        // The end of the driver: from here on none of its programs starts.
        let isDead = false;
        const dying = lab.node("node-a", {
          exec: (command) => {
            isDead ||= command.program === "umount";
            return isDead ? Promise.reject(failure("shuttingDown", {})) : exec(command);
          },
        });
        await expect(stage(clone, { path: at, on: dying })).rejects.toMatchObject({ id: "shuttingDown" });
        expect(lab.mountsAt(at)).toHaveLength(1);
        if (next === "stage") {
          await stage(clone, { path: at });
          expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
          expect(nouuid(at)).toBe(false);
          expect(digest(`${at}/data`)).toBe(sum);
        }
        await unstage(clone, at);
        expect(lab.mountsAt(at)).toEqual([]);
        expect(judge(clone).status).toBe(0);
      }
      await unstage(source, path);
    });

    const ofXfs = name === "xfs" ? test : () => {};
    // The other superblocks of an ext4 are not written.
    ofXfs("a superblock that cannot be changed: mounted with the UUID of the source", async () => {
      const [source, path, sum] = await withData();
      await unstage(source, path);
      const clone = cloneOf(source);
      const fd = openSync(clone.image, "r+");
      // Of the last allocation group: no mount reads it.
      writeSync(fd, new Uint8Array(512), 0, 512, ((mib * 3) / 4) * MIB);
      closeSync(fd);
      const at = await stage(clone);
      expect(nouuid(at)).toBe(true);
      expect(uuidOf(clone)).toBe(uuidOf(source));
      expect(digest(`${at}/data`)).toBe(sum);
      await unstage(clone, at);
    });

    test("a clone that pods have already keeps its mount", async () => {
      const [source, path] = await withData();
      const clone = cloneOf(source);
      const at = await stage(clone, { filesystemUuid: undefined });
      expect(nouuid(at)).toBe(name === "xfs");
      const request = { volumeId: clone.volumeId, targetPath: lab.path(`pod-${count}`) };
      const publishContext = clone.context(node, { filesystemState: "keep" });
      await node.service.publish({
        ...request,
        stagingTargetPath: at,
        capability,
        readonly: false,
        publishContext,
      });
      await stage(clone, { path: at });
      expect(uuidOf(clone)).toBe(uuidOf(source));
      await node.service.unpublish(request);
      await stage(clone, { path: at });
      expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
      await unstage(clone, at);
      await unstage(source, path);
    });

    test("a write that fails: UNAVAILABLE, nothing is mounted, and the next stage goes on", async () => {
      const [source, path, sum] = await withData();
      const clone = cloneOf(source);
      instead = ({ args }) =>
        args.includes("set-uuid")
          ? Promise.resolve({
              code: 0,
              stdout: '{"kind":"failed","detail":"EIO"}',
              stderr: "",
              truncated: false,
            })
          : undefined;
      const at = staging();
      await expect(stage(clone, { path: at })).rejects.toMatchObject({
        id: "filesystemUuidNotSet",
        code: 14,
        summary: expect.stringContaining("EIO"),
      });
      expect(lab.mountsAt(at)).toEqual([]);
      instead = () => undefined;
      await stage(clone, { path: at });
      expect(digest(`${at}/data`)).toBe(sum);
      await unstage(clone, at);
      await unstage(source, path);
    });

    test("not while anything has the device", async () => {
      const [source, path] = await withData();
      await unstage(source, path);
      const clone = cloneOf(source);
      const block = await stage(clone, { as: BLOCK });
      expect(lab.loops()).toHaveLength(1);
      const fd = openSync(`/dev/${lab.loops()[0]}`, "r");
      try {
        await expect(stage(clone)).rejects.toMatchObject({ id: "deviceInUse" });
        expect(uuidOf(clone)).toBe(uuidOf(source));
      } finally {
        closeSync(fd);
      }
      await unstage(clone, block);
    });

    test("a clone of a blank volume is formatted, and has its UUID from the next stage on", async () => {
      const clone = lab.volume(mib).export();
      const at = await stage(clone, { filesystemState: "new" });
      writeFileSync(`${at}/data`, "x");
      await unstage(clone, at);
      await stage(clone, { filesystemState: "used", path: at });
      expect(uuidOf(clone)).toBe(filesystemUuidOf(clone.volumeId));
      expect(existsSync(`${at}/data`)).toBe(true);
      await unstage(clone, at);
    });
  });
}

/** Bytes that a filesystem fills, as its superblock says. */
function filesystemBytes(name: "ext4" | "xfs", { image }: Volume): number {
  const start = readFileSync(image).subarray(0, 4096);
  return name === "ext4"
    ? start.readUInt32LE(1024 + 4) * 1024 * 2 ** start.readUInt32LE(1024 + 24)
    : Number(start.readBigUInt64BE(8)) * start.readUInt32BE(4);
}
