import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { EXT4, hasTool, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { type Command, exec } from "../../host/exec.ts";

const skipped = noDevices || ["e2fsck"].find((tool) => !hasTool(tool)) || "";
const CAPABILITY: Capability = { ...EXT4, mountFlags: ["errors=remount-ro"] };
const READ_ONLY: Capability = { ...EXT4, accessMode: "SINGLE_NODE_READER_ONLY" };

describe.skipIf(skipped !== "")(`a filesystem that met an error refuses every write ${skipped}`, () => {
  let lab: Lab;
  let node: LabNode;
  let commands: Command[] = [];
  let count = 0;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a", {
      exec: (command) => {
        commands.push(command);
        return exec(command);
      },
    });
  });
  afterEach(() => {
    commands = [];
  });
  afterAll(() => lab.cleanUp());

  interface Staged {
    readonly volume: Volume;
    readonly staging: string;
  }
  const stage = async ({ volume, staging }: Staged, capability = CAPABILITY) => {
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: staging,
      capability,
      volumeContext: {},
    });
  };
  const publish = (
    { volume, staging }: Staged,
    targetPath: string,
    readonly = false,
    capability = CAPABILITY,
  ) =>
    node.service.publish({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: staging,
      targetPath,
      capability,
      readonly,
    });
  const unpublish = ({ volume }: Staged, targetPath: string) =>
    node.service.unpublish({ volumeId: volume.volumeId, targetPath });
  const unstage = ({ volume, staging }: Staged) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
  const expand = ({ volume }: Staged, volumePath: string) =>
    node.service.expand({
      volumeId: volume.volumeId,
      volumePath,
      range: undefined,
      stagingTargetPath: "",
      capability: undefined,
    });
  const make = async (capability = CAPABILITY): Promise<Staged> => {
    count += 1;
    const it = { volume: lab.volume(32).export(), staging: lab.path(`staging-${count}`) };
    mkdirSync(it.staging);
    await stage(it, capability);
    return it;
  };
  let targets = 0;
  const target = () => {
    targets += 1;
    return lab.path(`target-${targets}`);
  };
  const superOptions = ({ staging }: Staged) => lab.mountsAt(staging)[0]?.superOptions ?? [];
  const causes = async ({ volume }: Staged) =>
    [...(await node.service.survey()).entries()]
      .filter(([slot]) => slot === volume.volumeId)
      .flatMap(([, conditions]) => (conditions ?? []).map(({ cause }) => cause));

  /** The kernel's own switch for an error; what it then shows differs between kernels. */
  const kernelError = ({ staging }: Staged): boolean => {
    const name = lab.mountsAt(staging)[0]?.source.replace("/dev/", "");
    const trigger = `/sys/fs/ext4/${name}/trigger_fs_error`;
    if (!existsSync(trigger)) return false;
    writeFileSync(trigger, "test");
    return true;
  };
  /** As kernels before 6.12 show it: the filesystem is `ro` as a whole, its mounts are `rw`. */
  const wholeReadOnly = (it: Staged): boolean => {
    const other = lab.path(`other-${count}`);
    mkdirSync(other);
    execFileSync("mount", ["--bind", it.staging, other]);
    execFileSync("mount", ["-o", "remount,ro", other]);
    execFileSync("umount", [other]);
    expect(superOptions(it)).toContain("ro");
    expect(lab.mountsAt(it.staging)[0]?.options).not.toContain("ro");
    return true;
  };

  for (const [name, fail] of [
    ["an error of this machine's kernel", kernelError],
    ["as kernels before 6.12 show it", wholeReadOnly],
  ] as const) {
    test(`${name}: stage, publish, expand, stats and health all say so`, async () => {
      const it = await make();
      const at = target();
      await publish(it, at);
      writeFileSync(`${at}/before`, "1");
      execFileSync("sync", ["-f", at]);
      expect(await causes(it)).toEqual([]);
      if (fail(it)) {
        expect(() => writeFileSync(`${at}/after`, "1")).toThrow();
        const failed = { id: "filesystemFailed", code: 9 };
        await expect(stage(it)).rejects.toMatchObject(failed);
        await expect(publish(it, at)).rejects.toMatchObject(failed);
        await expect(publish(it, target())).rejects.toMatchObject(failed);
        await expect(expand(it, at)).rejects.toMatchObject(failed);
        await expect(expand(it, it.staging)).rejects.toMatchObject(failed);
        const { condition } = await node.service.stats({ volumeId: it.volume.volumeId, volumePath: at });
        expect(condition).toMatchObject({ abnormal: true });
        expect(condition.message).toContain("went read-only after an error");
        expect(await causes(it)).toContain("read-only");
        // What was there can still be read.
        await unpublish(it, at);
        await publish(it, at, true);
        expect(readFileSync(`${at}/before`, "utf8")).toBe("1");
      }
      await unpublish(it, at);
      await unstage(it);
    });

    test(`${name}, and no pod has it: the next stage mounts it anew, and writes arrive`, async () => {
      const it = await make();
      writeFileSync(`${it.staging}/before`, "1");
      execFileSync("sync", ["-f", it.staging]);
      if (fail(it)) {
        commands = [];
        await stage(it);
        expect(commands.map(({ program }) => program)).toEqual(expect.arrayContaining(["umount", "mount"]));
        expect(await causes(it)).toEqual([]);
        const at = target();
        await publish(it, at);
        expect(readFileSync(`${at}/before`, "utf8")).toBe("1");
        writeFileSync(`${at}/after`, "1");
        await unpublish(it, at);
      }
      await unstage(it);
    });
  }

  test("read-only on purpose stays as it is: staged so, or only published so", async () => {
    const it = await make();
    const at = target();
    await publish(it, at, true);
    await publish(it, at, true);
    await stage(it);
    await expand(it, at);
    expect(await causes(it)).toEqual([]);
    await unpublish(it, at);
    await unstage(it);
    await stage(it, READ_ONLY);
    await stage(it, READ_ONLY);
    await publish(it, at, true, READ_ONLY);
    await publish(it, at, true, READ_ONLY);
    expect(await causes(it)).toEqual([]);
    await expect(expand(it, at)).rejects.toMatchObject({ id: "filesystemReadOnly" });
    await unpublish(it, at);
    await unstage(it);
  });
});
