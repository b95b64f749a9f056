import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { BLOCK, EXT4, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import { ACCESS_MODES, type AccessMode, type Capability } from "../../domain/access-mode.ts";
import { capabilityProblem } from "../../domain/capability-problem.ts";

/** What each access mode means on the node. Source: CSI specification, NodePublishVolume; VolumeCapability.AccessMode.Mode. */
describe.skipIf(noDevices !== "")(`access modes on a node ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  const XFS: Capability = { ...EXT4, fsType: "xfs" };
  const path = (what: string) => {
    count += 1;
    return lab.path(`${what}-${count}`);
  };
  const stagingPath = () => {
    const made = path("staging");
    mkdirSync(made);
    return made;
  };

  /** A staged volume. @param readonly attached read-only by the controller */
  async function staged(volume: Volume, capability: Capability, readonly = false) {
    const staging = stagingPath();
    const common = {
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { readonly, filesystemState: "used" }),
      stagingTargetPath: staging,
      capability,
    };
    const stage = () => node.service.stage({ ...common, volumeContext: {} });
    await stage();
    const publish = (targetPath: string, more: { readonly?: boolean; capability?: Capability } = {}) =>
      node.service.publish({ ...common, targetPath, readonly: false, ...more });
    const end = async (...targets: readonly string[]) => {
      const { volumeId } = common;
      for (const targetPath of targets) await node.service.unpublish({ volumeId, targetPath });
      await node.service.unstage({ volumeId, stagingTargetPath: staging });
    };
    return { staging, stage, publish, end };
  }

  const sizeOf = (capability: Capability) => (capability.fsType === "xfs" ? 320 : 32);
  const writeBlock = (target: string) =>
    execFileSync("dd", ["if=/dev/zero", `of=${target}`, "bs=512", "count=1", "conv=notrunc"], {
      stdio: "pipe",
    });

  for (const [name, base] of [
    ["filesystem", EXT4],
    ["block", BLOCK],
  ] as const) {
    test(`${name}: a second target is there exactly for the modes that allow several`, async () => {
      const answers: [AccessMode, string][] = [];
      for (const accessMode of ACCESS_MODES) {
        const capability = { ...base, accessMode };
        const problem = capabilityProblem(capability);
        if (problem !== undefined) {
          await expect(staged(lab.volume(32).export(), capability)).rejects.toMatchObject({ id: problem.id });
          answers.push([accessMode, problem.id]);
          continue;
        }
        const it = await staged(lab.volume(32).export(), capability);
        const [one, two] = [path("target"), path("target")];
        await it.publish(one);
        await it.publish(one);
        const other = { readonly: !accessMode.endsWith("_READER_ONLY") };
        if (other.readonly) await expect(it.publish(one, other)).rejects.toMatchObject({ code: 6 });
        const second = await it.publish(two).then(
          () => "published",
          ({ id, code }: { id: string; code: number }) => `${code} ${id}`,
        );
        expect(existsSync(two)).toBe(second === "published");
        answers.push([accessMode, second]);
        await it.end(one, two);
      }
      const once = "9 publishedElsewhere";
      expect(answers).toEqual([
        ["SINGLE_NODE_WRITER", once],
        ["SINGLE_NODE_READER_ONLY", once],
        ["SINGLE_NODE_SINGLE_WRITER", once],
        ["SINGLE_NODE_MULTI_WRITER", "published"],
        ["MULTI_NODE_READER_ONLY", "readersOnSeveralNodes"],
        ["MULTI_NODE_SINGLE_WRITER", "readersOnSeveralNodes"],
        ["MULTI_NODE_MULTI_WRITER", base === BLOCK ? "published" : "rwxFilesystem"],
      ]);
    });
  }

  for (const [name, capability, readonly] of [
    ["ext4, SINGLE_NODE_READER_ONLY", { ...EXT4, accessMode: "SINGLE_NODE_READER_ONLY" }, false],
    ["xfs, SINGLE_NODE_READER_ONLY", { ...XFS, accessMode: "SINGLE_NODE_READER_ONLY" }, false],
    ["ext4, attached read-only", EXT4, true],
    ["xfs, attached read-only", XFS, true],
  ] as const) {
    test(`${name}: staged and published read-only, also if the publish asks for writes`, async () => {
      const volume = lab.volume(sizeOf(capability)).export();
      const writer = await staged(volume, { ...capability, accessMode: "SINGLE_NODE_WRITER" });
      writeFileSync(`${writer.staging}/f`, "content");
      await writer.end();
      const it = await staged(volume, capability, readonly);
      await it.stage();
      const target = path("target");
      await it.publish(target);
      await it.publish(target, { readonly: true });
      for (const at of [it.staging, target]) {
        expect(lab.mountsAt(at).at(-1)?.options).toContain("ro");
        expect(readFileSync(`${at}/f`, "utf8")).toBe("content");
        expect(() => writeFileSync(`${at}/g`, "")).toThrow("EROFS");
      }
      await it.end(target);
      const again = await staged(volume, { ...capability, accessMode: "SINGLE_NODE_WRITER" });
      writeFileSync(`${again.staging}/g`, "writable");
      await again.end();
    });
  }

  for (const [name, capability, readonly] of [
    ["SINGLE_NODE_READER_ONLY", { ...BLOCK, accessMode: "SINGLE_NODE_READER_ONLY" }, false],
    ["attached read-only", BLOCK, true],
  ] as const) {
    test(`block, ${name}: the device refuses writes, also if the publish asks for them`, async () => {
      const volume = lab.volume(32).export();
      const it = await staged(volume, capability, readonly);
      const target = path("target");
      await it.publish(target);
      await it.publish(target, { readonly: true });
      expect(() => writeBlock(target)).toThrow();
      await it.end(target);
      const again = await staged(volume, BLOCK);
      await again.publish(target);
      writeBlock(target);
      await again.end(target);
    });
  }

  test("a filesystem that is staged for writing does not become read-only under its pod", async () => {
    const volume = lab.volume(32).export();
    const it = await staged(volume, EXT4);
    const readonly = { ...EXT4, accessMode: "SINGLE_NODE_READER_ONLY" } as const;
    const request = {
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: it.staging,
      volumeContext: {},
    };
    await expect(node.service.stage({ ...request, capability: readonly })).rejects.toMatchObject({
      id: "stagedDifferently",
      code: 6,
    });
    writeFileSync(`${it.staging}/f`, "");
    await it.end();
  });
});
