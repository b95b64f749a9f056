import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { BLOCK, EXT4, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { type Command, exec } from "../../host/exec.ts";

/** Mounts with an SELinux context, on a machine without SELinux: the mount table shows what a kernel with it would show. */
describe.skipIf(noDevices !== "")(`SELinux contexts ${noDevices}`, () => {
  const LABEL = "system_u:object_r:container_file_t:s0";
  const asked = (categories: string) => `context="${LABEL}:${categories}"`;
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  const commands: Command[] = [];
  /** What the kernel shows of filesystems that are mounted from now on, as if the mount program had passed it on. */
  let shown = "seclabel";
  const labels = new Map<string, string>();
  beforeAll(() => {
    lab = new Lab();
    const procRoot = lab.path("proc");
    mkdirSync(`${procRoot}/self`, { recursive: true });
    for (const name of readdirSync("/proc").filter((each) => each !== "self"))
      symlinkSync(`/proc/${name}`, `${procRoot}/${name}`);
    for (const name of readdirSync("/proc/self").filter((each) => each !== "mountinfo"))
      symlinkSync(`/proc/self/${name}`, `${procRoot}/self/${name}`);
    const refresh = () => {
      const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
      const labelled = lines.map((line) => {
        const found = [...labels].find(([device]) => line.includes(` ${device} `));
        return found === undefined || !/ - (ext4|xfs) /.test(line) ? line : `${line},${found[1]}`;
      });
      writeFileSync(`${procRoot}/self/mountinfo`, labelled.join("\n"));
    };
    refresh();
    node = lab.node("node-a", {
      procRoot,
      exec: async (command) => {
        commands.push(command);
        const device = command.args.find((each) => each.startsWith("/dev/loop"));
        if (command.program === "mount" && device !== undefined) labels.set(device, shown);
        const result = await exec(command);
        refresh();
        return result;
      },
    });
  });
  afterAll(() => lab.cleanUp());

  const XFS: Capability = { ...EXT4, fsType: "xfs" };
  const place = () => {
    count += 1;
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    return path;
  };
  const stage = (volume: Volume, stagingTargetPath: string, capability: Capability) =>
    node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState: "used" }),
      stagingTargetPath,
      capability,
      volumeContext: {},
    });
  const unstage = ({ volumeId }: Volume, stagingTargetPath: string) =>
    node.service.unstage({ volumeId, stagingTargetPath });

  for (const [name, base, mib] of [
    ["ext4", EXT4, 32],
    ["xfs", XFS, 320],
  ] as const) {
    test(`${name}: the context is passed on; with another one, or without, the volume is staged differently`, async () => {
      const volume = lab.volume(mib).export();
      const path = place();
      const capability = { ...base, mountFlags: [asked("c15,c25")] };
      shown = asked("c15,c25");
      commands.length = 0;
      await stage(volume, path, capability);
      const mount = commands.find(({ program }) => program === "mount");
      expect(mount?.args.join(" ")).toContain(asked("c15,c25"));
      await stage(volume, path, capability);
      await stage(volume, path, { ...base, mountFlags: [asked("c25,c15")] });
      for (const mountFlags of [[asked("c15,c26")], [`context=${LABEL}`], []]) {
        await expect(stage(volume, path, { ...base, mountFlags })).rejects.toMatchObject({
          id: "stagedDifferently",
          code: 6,
        });
      }
      expect(lab.mountsAt(path)).toHaveLength(1);
      await unstage(volume, path);
    });

    test(`${name}: a mount whose context was dropped is undone`, async () => {
      const volume = lab.volume(mib).export();
      const path = place();
      shown = "seclabel";
      const capability = { ...base, mountFlags: [asked("c15,c25")] };
      await expect(stage(volume, path, capability)).rejects.toMatchObject({ id: "contextDropped", code: 9 });
      expect(lab.mountsAt(path)).toEqual([]);
      expect(await node.dataPath.find(volume.nqn)).toBeUndefined();
      await stage(volume, path, base);
      await unstage(volume, path);
    });
  }

  test("a block volume has no mount options: none reaches a mount", async () => {
    const volume = lab.volume(32).export();
    const [path, target] = [place(), lab.path("device")];
    const capability = { ...BLOCK, mountFlags: [asked("c15,c25")] };
    commands.length = 0;
    await stage(volume, path, capability);
    const { volumeId } = volume;
    await node.service.publish({
      ...{ volumeId, capability, targetPath: target, stagingTargetPath: path, readonly: false },
      publishContext: volume.context(node),
    });
    const mounts = commands.filter(({ program }) => program === "mount");
    expect(mounts.length).toBeGreaterThan(0);
    expect(mounts.map(({ args }) => args.join(" ")).join()).not.toContain("context");
    await node.service.unpublish({ volumeId, targetPath: target });
    await unstage(volume, path);
  });
});
