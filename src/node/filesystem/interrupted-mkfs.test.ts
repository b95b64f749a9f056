import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, copyFileSync, fstatSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { readImage, writeImage } from "../../../test/support/images.ts";
import {
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  toolPath,
  type Volume,
} from "../../../test/support/loop-node.ts";
import type { Capability, Filesystem } from "../../domain/access-mode.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import type { FilesystemState } from "../../domain/publish-context.ts";
import { type Command, type Exec, exec } from "../../host/exec.ts";
import type { MkfsMark } from "../../host/helper-answers.ts";
import { decodeMark, encodeMark, markOffsets, newMark } from "../../mount/mkfs-mark.ts";
import { crc32c } from "../../mount/superblock.ts";

const KIB = 1024;
interface Kind {
  readonly name: Filesystem;
  readonly capability: Capability;
  readonly mib: number;
  /** A check that changes nothing and finds the filesystem sound. */
  readonly check: readonly string[];
}
const KINDS: readonly Kind[] = [
  { name: "ext4", capability: EXT4, mib: 48, check: ["e2fsck", "-f", "-n"] },
  { name: "xfs", capability: { ...EXT4, fsType: "xfs" }, mib: 320, check: ["xfs_repair", "-n"] },
];
const missing = (kind: Kind) =>
  [`mkfs.${kind.name}`, kind.check[0] ?? ""].find((tool) => !hasTool(tool)) ?? "";

describe.skipIf(noDevices !== "")(`a first mkfs that did not end ${noDevices}`, () => {
  let lab: Lab;
  let [a, b]: LabNode[] = [];
  let commands: Command[] = [];
  let instead: (command: Command) => ReturnType<Exec> | undefined = () => undefined;
  let count = 0;
  const spying: Exec = (command) => {
    commands.push(command);
    return instead(command) ?? exec(command);
  };
  beforeAll(() => {
    lab = new Lab();
    a = lab.node("node-a", { exec: spying });
    b = lab.node("node-b", { exec: spying });
  });
  afterAll(() => lab.cleanUp());
  afterEach(() => {
    instead = () => undefined;
    commands = [];
  });

  const on = (node: LabNode | undefined): LabNode => {
    if (node === undefined) throw new Error("no node");
    return node;
  };
  const stage = async (
    volume: Volume,
    { capability }: Kind,
    filesystemState: FilesystemState,
    node = on(a),
  ): Promise<string> => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState }),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
    return path;
  };
  const unstage = (volume: Volume, stagingTargetPath: string, node = on(a)) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath });
  /** Attached again, as the controller would: a new epoch, the old export gone. */
  const attachAgain = (volume: Volume) => {
    volume.withdraw();
    volume.epoch += 1;
    volume.export();
  };
  const made = () => commands.filter(({ program }) => program.startsWith("mkfs"));
  const read = (volume: Volume, offset: number, length: number) => readImage(volume.image, offset, length);
  const write = (volume: Volume, offset: number, bytes: Buffer) => writeImage(volume.image, offset, bytes);
  const marksOf = (volume: Volume) =>
    markOffsets(volume.size).flatMap((offset) => decodeMark(read(volume, offset, 4096)) ?? []);
  const writeMarks = (volume: Volume, more: Partial<MkfsMark>, name: Filesystem) => {
    const mark = { ...newMark(volume.volumeId, volume.epoch, name), ...more };
    for (const offset of markOffsets(volume.size)) write(volume, offset, encodeMark(mark));
  };
  const failed = (code: number | null) => ({ code, stdout: "", stderr: "injected", truncated: false });
  const isSound = ({ check: [program = "", ...args] }: Kind, volume: Volume) =>
    expect(spawnSync(toolPath(program) ?? "", [...args, volume.image]).status).toBe(0);
  /** The filesystem is usable, made exactly `times` times since `commands` was cleared, and no mark is left. */
  const works = async (kind: Kind, volume: Volume, path: string, times: number, node = on(a)) => {
    expect(made()).toHaveLength(times);
    writeFileSync(`${path}/data`, "precious");
    await unstage(volume, path, node);
    expect(marksOf(volume)).toEqual([]);
    isSound(kind, volume);
  };
  /** Refused with this error; nothing is made and no byte changes. */
  const refused = async (volume: Volume, kind: Kind, state: FilesystemState, node = on(a)) => {
    const before = `${volume.image}.before`;
    execFileSync("cp", ["--sparse=always", "--", volume.image, before]);
    commands = [];
    const error = await stage(volume, kind, state, node).catch((reason: unknown) => reason);
    if (!(error instanceof DriverError)) throw new Error(`not refused: ${String(error)}`);
    expect(made()).toEqual([]);
    execFileSync("cmp", ["--", volume.image, before]);
    expect(lab.loops()).toEqual([]);
    return error;
  };
  /** A volume whose mkfs ended, the driver dying in this moment: the filesystem is whole, its mark still there. */
  const markedWhole = async (kind: Kind): Promise<Volume> => {
    const volume = lab.volume(kind.mib).export();
    instead = ({ args }) => (args.includes("unmark") ? Promise.resolve(failed(null)) : undefined);
    await expect(stage(volume, kind, "new")).rejects.toMatchObject({ code: 14 });
    instead = () => undefined;
    expect(made()).toHaveLength(1);
    expect(marksOf(volume).length).toBeGreaterThan(0);
    commands = [];
    return volume;
  };

  for (const kind of KINDS) {
    describe.skipIf(missing(kind) !== "")(`${kind.name} ${missing(kind)}`, () => {
      describe.skipIf(!hasTool("strace"))("killed at one of its writes (strace)", () => {
        const killedAt = (nth: number) => (command: Command) => {
          if (!command.program.startsWith("mkfs")) return undefined;
          const inject = `inject=pwrite64:signal=SIGKILL:when=${nth}`;
          const traced = ["-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject, command.program];
          const program = (toolPath("strace") ?? "") as `/${string}`;
          return exec({ ...command, program, args: [...traced, ...command.args] });
        };
        for (const nth of [1, 2, 3, 5, 8, 13, 21, 34, 55]) {
          test(`write ${nth}: made anew on the same node, and on the next after a detach; never twice`, async () => {
            const [here, there] = [lab.volume(kind.mib).export(), lab.volume(kind.mib).export()];
            for (const volume of [here, there]) {
              instead = killedAt(nth);
              await expect(stage(volume, kind, "new")).rejects.toMatchObject({
                id: "filesystemNotMade",
                code: 14,
              });
              expect(made()).toHaveLength(1);
              expect(marksOf(volume).length).toBeGreaterThan(0);
              instead = () => undefined;
              commands = [];
            }
            await works(kind, here, await stage(here, kind, "new"), 1);
            commands = [];
            attachAgain(there);
            await works(kind, there, await stage(there, kind, "used", on(b)), 1, b);
            commands = [];
            const path = await stage(here, kind, "used");
            await works(kind, here, path, 0);
          });
        }
      });

      test("whatever of its writes arrived: made anew", async () => {
        const whole = await markedWhole(kind);
        const size = fstatSync(openSync(whole.image, "r")).size;
        const places: number[] = [];
        const chunk = 64 * KIB;
        for (let offset = 0; offset < size; offset += chunk) {
          if (read(whole, offset, chunk).some((byte) => byte !== 0)) places.push(offset);
        }
        expect(places.length).toBeGreaterThan(5);
        let random = 1;
        const next = () => {
          random = (random * 48_271) % 2_147_483_647;
          return random / 2_147_483_647;
        };
        for (const share of [0, 0.3, 0.7, 1]) {
          const volume = lab.volume(kind.mib);
          copyFileSync(whole.image, volume.image);
          for (const offset of places) {
            const isMark = markOffsets(size).some((mark) => offset === mark);
            if (!isMark && next() >= share) write(volume, offset, Buffer.alloc(chunk));
          }
          // The superblock is written last, or says last that it is whole.
          write(volume, 0, Buffer.alloc(4096));
          writeMarks(volume, {}, kind.name);
          volume.export();
          commands = [];
          await works(kind, volume, await stage(volume, kind, "new"), 1);
        }
      });

      test("it ended, but the driver did not see it: the filesystem is taken, and the mark goes before the mount", async () => {
        const volume = await markedWhole(kind);
        attachAgain(volume);
        let marks: unknown;
        instead = ({ program }) => {
          if (program === "mount") marks = marksOf(volume);
          return undefined;
        };
        const path = await stage(volume, kind, "used", on(b));
        expect(marks).toEqual([]);
        await works(kind, volume, path, 0, b);
      });

      test("a mark that cannot be taken away: not mounted", async () => {
        const volume = await markedWhole(kind);
        instead = ({ args }) => (args.includes("unmark") ? Promise.resolve(failed(1)) : undefined);
        await expect(stage(volume, kind, "new")).rejects.toMatchObject({ code: 14 });
        expect(commands.some(({ program }) => program === "mount")).toBe(false);
      });

      test("a mark that cannot be written: nothing is made", async () => {
        const volume = lab.volume(kind.mib).export();
        const answer = JSON.stringify({ kind: "failed", detail: "EIO" });
        instead = ({ args }) =>
          args.includes("mark") ? Promise.resolve({ ...failed(0), stdout: answer }) : undefined;
        const error = await refused(volume, kind, "new");
        expect(error).toMatchObject({ id: "filesystemNotMade", code: 14 });
      });

      test("marks in a file are the content of a file", async () => {
        const volume = lab.volume(kind.mib).export();
        const path = await stage(volume, kind, "new");
        spawnSync("dd", ["if=/dev/zero", `of=${path}/data`, "bs=64K", "status=none"]);
        execFileSync("sync", ["-f", path]);
        await unstage(volume, path);
        writeMarks(volume, {}, kind.name);
        for (const state of ["new", "used"] as const) {
          commands = [];
          const again = await stage(volume, kind, state);
          expect(made()).toEqual([]);
          const found = spawnSync("grep", ["-aco", "rds-csi mkfs 1", `${again}/data`]).stdout.toString();
          expect(Number(found)).toBeGreaterThan(0);
          await unstage(volume, again);
          expect(marksOf(volume).length).toBeGreaterThan(0);
        }
      });

      // Which filesystem it is makes no difference here, and small volumes are quick.
      if (kind.name !== "ext4") return;
      describe("what is not proven is not made anew, and not touched", () => {
        /** An mkfs was interrupted: its mark, and everything but the superblock. */
        const interrupted = async (more: Partial<MkfsMark> = {}, epochs = 1) => {
          const volume = await markedWhole(kind);
          write(volume, 0, Buffer.alloc(4096));
          volume.withdraw();
          volume.epoch = epochs;
          volume.export();
          writeMarks(volume, { epoch: 1, ...more }, kind.name);
          return volume;
        };

        test("the twin: with the right mark it is", async () => {
          const volume = await interrupted({}, 2);
          await works(kind, volume, await stage(volume, kind, "used"), 1);
        });

        test("the volume was attached to somebody else in between", async () => {
          const volume = await interrupted({}, 3);
          const error = await refused(volume, kind, "used");
          expect(error).toMatchObject({
            id: "filesystemUnfinished",
            code: 9,
            message: expect.stringContaining("attached again since"),
            remedy: expect.stringContaining("delete its claim"),
          });
        });

        test("attachments have no epoch: one cannot be told from another", async () => {
          const volume = await interrupted({ epoch: 0 }, 0);
          expect(await refused(volume, kind, "used")).toMatchObject({ id: "filesystemUnfinished" });
          await works(kind, volume, await stage(volume, kind, "new"), 1);
        });

        test.each([
          ["of another volume", { volume: "csi-0123456789012345678901234567" }],
          ["of another filesystem", { filesystem: kind.name === "ext4" ? "xfs" : "ext4" }],
          ["of a later attachment", { epoch: 2 }],
        ] as const)("the mark is %s", async (_, more) => {
          const volume = await interrupted(more);
          const error = await refused(volume, kind, "new");
          expect(["deviceNotBlank", "filesystemUnfinished"]).toContain(error.id);
          expect(error.remedy).toContain("delete its claim");
        });

        test("the mark is torn", async () => {
          const volume = await interrupted();
          for (const offset of markOffsets(volume.size)) write(volume, offset + 40, Buffer.from("?"));
          expect(await refused(volume, kind, "new")).toMatchObject({ id: "deviceNotBlank" });
        });

        test("the volume holds data for sure", async () => {
          const volume = await interrupted();
          expect(["filesystemMissing", "filesystemUnfinished"]).toContain(
            (await refused(volume, kind, "keep")).id,
          );
        });

        test("something is where the superblock belongs", async () => {
          const volume = await interrupted();
          write(volume, 100, Buffer.from("?"));
          const error = await refused(volume, kind, "new");
          expect(error.code).toBe(9);
        });

        test("something else was made there by hand meanwhile", async () => {
          const volume = await interrupted();
          const raid = Buffer.alloc(256);
          raid.writeUInt32LE(0xa92b4efc, 0);
          raid.writeUInt32LE(1, 4);
          raid.writeBigUInt64LE(8n, 144);
          write(volume, 4096, raid);
          expect(await refused(volume, kind, "new")).toMatchObject({ id: "filesystemMismatch" });
        });

        test("somebody has the device open", async () => {
          const volume = await interrupted();
          await on(a).service.stage({
            volumeId: volume.volumeId,
            publishContext: volume.context(on(a)),
            stagingTargetPath: lab.path("block"),
            capability: { ...EXT4, accessType: "block" },
            volumeContext: {},
          });
          const fd = openSync(`/dev/${lab.loops()[0]}`, "r");
          try {
            await expect(stage(volume, kind, "new")).rejects.toMatchObject({ id: "deviceInUse" });
            expect(made()).toEqual([]);
          } finally {
            closeSync(fd);
          }
          await unstage(volume, lab.path("block"));
        });
      });
    });
  }

  const [, xfs] = KINDS;
  describe.skipIf(xfs === undefined || missing(xfs) !== "")(
    "an XFS that says itself that it is unfinished",
    () => {
      const kind = xfs as Kind;
      /** The superblock as mkfs.xfs leaves it until its very end. */
      const inProgress = (volume: Volume) => {
        const sector = read(volume, 0, 512);
        sector.writeUInt8(1, 126);
        sector.writeUInt32LE(0, 224);
        sector.writeUInt32LE(~crc32c(sector) >>> 0, 224);
        write(volume, 0, sector);
      };

      test("without a mark: the cause is named, and the remedy is not to repair it", async () => {
        const volume = lab.volume(kind.mib).export();
        execFileSync("mkfs.xfs", ["-q", volume.image]);
        inProgress(volume);
        for (const state of ["new", "used", "keep"] as const) {
          const error = await refused(volume, kind, state);
          expect(error).toMatchObject({ id: "filesystemUnfinished", code: 9 });
          expect(error.message).toContain("interrupted");
          expect(error.message).not.toContain("repair");
        }
      });

      test("with the mark of another filesystem: not made anew", async () => {
        const volume = await markedWhole(kind);
        inProgress(volume);
        writeMarks(volume, {}, kind.name);
        expect(await refused(volume, kind, "new")).toMatchObject({ id: "filesystemUnfinished" });
      });

      test("with its own mark: made anew", async () => {
        const volume = await markedWhole(kind);
        inProgress(volume);
        await works(kind, volume, await stage(volume, kind, "new"), 1);
      });
    },
  );

  test("an ordinary first stage leaves no mark, and mkfs has hours", async () => {
    const [kind] = KINDS;
    if (kind === undefined) return;
    const volume = lab.volume(kind.mib).export();
    const path = await stage(volume, kind, "new");
    const [command] = made();
    expect(command?.deadlineMs).toBeGreaterThan(3_600_000);
    expect(command?.args).not.toContain("-F");
    await works(kind, volume, path, 1);
  });
});
