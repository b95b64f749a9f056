import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { BLOCK, EXT4, Lab, type LabNode, noDevices, type Volume } from "../../../test/support/loop-node.ts";
import type { AccessMode, Capability } from "../../domain/access-mode.ts";
import { failure, toDriverError } from "../../domain/errors/driver-error.ts";
import { kubeletTarget } from "../health/lost.fixture.ts";

describe.skipIf(noDevices !== "")(`NodePublishVolume, NodeUnpublishVolume ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  interface Staged {
    readonly volume: Volume;
    readonly path: string;
    readonly capability: Capability;
  }
  const staged = async (capability: Capability = EXT4): Promise<Staged> => {
    count += 1;
    const volume = lab.volume(32).export();
    const path = lab.path(`staging-${count}`);
    mkdirSync(path);
    await node.service.stage({
      volumeId: volume.volumeId,
      publishContext: volume.context(node),
      stagingTargetPath: path,
      capability,
      volumeContext: {},
    });
    return { volume, path, capability };
  };
  const publish = (
    it: Staged,
    targetPath: string,
    more: { readonly?: boolean; capability?: Capability } = {},
  ) =>
    node.service.publish({
      volumeId: it.volume.volumeId,
      publishContext: it.volume.context(node),
      stagingTargetPath: it.path,
      targetPath,
      capability: more.capability ?? it.capability,
      readonly: more.readonly ?? false,
    });
  const unpublish = (it: Staged, targetPath: string) =>
    node.service.unpublish({ volumeId: it.volume.volumeId, targetPath });
  const unstage = (it: Staged) =>
    node.service.unstage({ volumeId: it.volume.volumeId, stagingTargetPath: it.path });
  const target = () => {
    count += 1;
    return lab.path(`target-${count}`);
  };
  const mode = (it: Staged, accessMode: AccessMode): Capability => ({ ...it.capability, accessMode });

  test("read-only is honoured and keeps the other options", async () => {
    const it = await staged({ ...EXT4, mountFlags: ["nosuid", "noatime"] });
    const at = target();
    await publish(it, at, { readonly: true });
    await publish(it, at, { readonly: true });
    expect(lab.mountsAt(at)).toHaveLength(1);
    expect(lab.mountsAt(at)[0]?.options).toEqual(expect.arrayContaining(["ro", "nosuid", "noatime"]));
    expect(() => writeFileSync(`${at}/x`, "")).toThrow("EROFS");
    writeFileSync(`${it.path}/x`, "1");
    expect(readFileSync(`${at}/x`, "utf8")).toBe("1");
    await expect(publish(it, at)).rejects.toMatchObject({ id: "publishedDifferently", code: 6 });
    await unpublish(it, at);
    await publish(it, at);
    await expect(publish(it, at, { readonly: true })).rejects.toMatchObject({ id: "publishedDifferently" });
    await unpublish(it, at);
    await unstage(it);
  });

  for (const accessType of ["mount", "block"] as const) {
    test(`${accessType}: a second target is refused for single-writer modes, allowed for the others`, async () => {
      const base: Capability = { accessMode: "SINGLE_NODE_WRITER", accessType, fsType: "", mountFlags: [] };
      const it = await staged(base);
      const [one, two] = [target(), target()];
      await publish(it, one);
      for (const single of ["SINGLE_NODE_WRITER", "SINGLE_NODE_SINGLE_WRITER"] as const) {
        await expect(publish(it, two, { capability: mode(it, single) })).rejects.toMatchObject({
          id: "publishedElsewhere",
          message: expect.stringContaining(one),
        });
        expect(existsSync(two)).toBe(false);
      }
      await publish(it, two, { capability: mode(it, "SINGLE_NODE_MULTI_WRITER") });
      await expect(unstage(it)).rejects.toMatchObject({ id: "deviceInUse" });
      await unpublish(it, one);
      await unpublish(it, two);
      await unstage(it);
    });
  }

  test("the staging path must be the mount point of this volume's device", async () => {
    const [it, other] = [await staged(), await staged()];
    const at = target();
    await expect(publish({ ...it, path: other.path }, at)).rejects.toMatchObject({ id: "notStaged" });
    await expect(publish({ ...it, path: lab.path() }, at)).rejects.toMatchObject({ id: "notStaged" });
    await expect(publish({ ...it, path: lab.path("nowhere") }, at)).rejects.toMatchObject({
      id: "notStaged",
    });
    // A reboot or a hand has unmounted it: the bare directory must not be handed out.
    execFileSync("umount", [it.path]);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "notStaged" });
    expect(existsSync(at)).toBe(false);
    await unstage(it);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "notStaged" });
    await unstage(other);
  });

  test("what is at the target and not ours stays", async () => {
    const [it, other] = [await staged(), await staged()];
    const at = target();
    writeFileSync(at, "content");
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(unpublish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    expect(readFileSync(at, "utf8")).toBe("content");
    unlinkSync(at);
    symlinkSync(it.path, at);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(unpublish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    unlinkSync(at);
    mkdirSync(at);
    writeFileSync(`${at}/data`, "content");
    await expect(unpublish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    expect(readFileSync(`${at}/data`, "utf8")).toBe("content");
    unlinkSync(`${at}/data`);
    await publish(other, at);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(unpublish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    await expect(node.service.unpublish({ volumeId: "x", targetPath: at })).rejects.toMatchObject({
      id: "pathOccupied",
    });
    await unpublish(other, at);
    execFileSync("mount", ["-t", "tmpfs", "none", it.path]);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "notStaged" });
    execFileSync("umount", [it.path]);
    await unstage(it);
    await unstage(other);
  });

  test("a target with content is refused, named with what it holds; emptied, it is published and can be unpublished", async () => {
    for (const it of [await staged(), await staged(BLOCK)]) {
      const at = target();
      const file = it.capability === BLOCK ? at : `${at}/written while nothing was mounted`;
      if (it.capability !== BLOCK) mkdirSync(at);
      writeFileSync(file, "content");
      await expect(publish(it, at)).rejects.toMatchObject({
        id: "pathNotEmpty",
        code: 9,
        message: expect.stringContaining(at),
        summary: expect.stringContaining(
          it.capability === BLOCK ? "7 bytes" : '"written while nothing was mounted"',
        ),
      });
      expect(lab.mountsAt(at)).toEqual([]);
      expect(readFileSync(file, "utf8")).toBe("content");
      if (it.capability === BLOCK) writeFileSync(file, "");
      else unlinkSync(file);
      await publish(it, at);
      await unpublish(it, at);
      expect(existsSync(at)).toBe(false);
      await unstage(it);
    }
  });

  test("unpublish: absent, parent absent, stacked, plain device node, unknown volume", async () => {
    const it = await staged();
    await unpublish(it, lab.path("none"));
    await unpublish(it, lab.path("none", "deeper"));
    const at = target();
    await publish(it, at);
    execFileSync("mount", ["--bind", it.path, at]);
    expect(lab.mountsAt(at)).toHaveLength(2);
    await unpublish(it, at);
    expect(existsSync(at)).toBe(false);
    execFileSync("mknod", [at, "b", "7", "200"]);
    await unpublish(it, at);
    expect(existsSync(at)).toBe(false);
    mkdirSync(at);
    await node.service.unpublish({ volumeId: "not-ours", targetPath: at });
    expect(existsSync(at)).toBe(false);
    await unstage(it);
  });

  test("something mounted below the target: unpublish refuses, the data is untouched", async () => {
    const it = await staged();
    const at = target();
    await publish(it, at);
    writeFileSync(`${at}/precious`, "1");
    mkdirSync(`${at}/sub`);
    execFileSync("mount", ["-t", "tmpfs", "none", `${at}/sub`]);
    await expect(unpublish(it, at)).rejects.toMatchObject({ id: "unmountFailed", code: 9 });
    expect(readFileSync(`${it.path}/precious`, "utf8")).toBe("1");
    execFileSync("umount", [`${at}/sub`]);
    await unpublish(it, at);
    expect(readFileSync(`${it.path}/precious`, "utf8")).toBe("1");
    await unstage(it);
  });

  test.each(["mount", "block"] as const)(
    "a process that keeps the target busy (%s): named with its program, the pod and the PersistentVolume; nothing is unmounted",
    async (accessType) => {
      const it = await staged(accessType === "mount" ? EXT4 : BLOCK);
      const pod = "4f9d1b7a-0c2e-4c52-9d3f-5a1e6b7c8d9e";
      const target = kubeletTarget(lab, pod, it.volume.volumeId);
      await publish(it, target);
      const options = accessType === "mount" ? { cwd: target } : {};
      const stdin = accessType === "block" ? openSync(target, "r") : ("ignore" as const);
      const child = spawn("sleep", ["60"], { stdio: [stdin, "ignore", "ignore"], ...options });
      if (typeof stdin === "number") closeSync(stdin);
      try {
        const error = await unpublish(it, target).then(() => undefined, toDriverError);
        expect(error?.id).toBe("unmountFailed");
        expect(error?.message).toContain(
          `process ${child.pid} (sleep, ${accessType === "mount" ? "cwd" : "fd 0"})`,
        );
        expect(error?.message).toContain(`pod ${pod}`);
        expect(error?.message).toContain(`PersistentVolume pv-${it.volume.volumeId}`);
        expect(lab.mountsAt(target)).toHaveLength(1);
      } finally {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      await unpublish(it, target);
      expect(lab.mountsAt(target)).toEqual([]);
    },
  );

  test("block read-only: the device refuses writes; targets that disagree are refused; then writable again", async () => {
    const it = await staged(BLOCK);
    const [one, two] = [target(), target()];
    await publish(it, one, { readonly: true });
    expect(() =>
      execFileSync("dd", ["if=/dev/zero", `of=${one}`, "bs=512", "count=1", "status=none"], {
        stdio: "pipe",
      }),
    ).toThrow();
    await publish(it, one, { readonly: true });
    await expect(publish(it, one)).rejects.toMatchObject({ id: "publishedDifferently" });
    await expect(publish(it, two)).rejects.toMatchObject({ id: "publishedElsewhere" });
    await publish(it, two, { readonly: true });
    await unpublish(it, one);
    await unpublish(it, two);
    await publish(it, one);
    execFileSync("dd", ["if=/dev/zero", `of=${one}`, "bs=512", "count=1", "status=none", "conv=notrunc"]);
    await unpublish(it, one);
    await unstage(it);
  });

  test("block: what exists at the target is verified", async () => {
    const [it, other] = [await staged(BLOCK), await staged(BLOCK)];
    const at = target();
    mkdirSync(at);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    rmdirSync(at);
    execFileSync("mknod", [at, "b", "7", "200"]);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    unlinkSync(at);
    await publish(other, at);
    await expect(publish(it, at)).rejects.toMatchObject({ id: "pathOccupied" });
    expect(statSync(at).rdev).toBe(statSync((await node.dataPath.find(other.volume.nqn))?.path ?? "").rdev);
    await unpublish(other, at);
    await unstage(it);
    await unstage(other);
    // After the device has gone for good (crash of the node's kernel connection), the leftovers can be removed.
    const third = await staged(BLOCK);
    await publish(third, at);
    const device = await node.dataPath.find(third.volume.nqn);
    await node.dataPath.disconnect(third.volume.nqn);
    expect(device).toBeDefined();
    await unpublish(third, at);
    expect(existsSync(at)).toBe(false);
  });

  test("a failing mount leaves nothing at the target", async () => {
    for (const capability of [EXT4, BLOCK]) {
      const it = await staged(capability);
      const at = target();
      const broken = lab.node("node-a", {
        exec: (command) =>
          command.program === "mount"
            ? Promise.resolve({ code: 32, stdout: "", stderr: "boom", truncated: false })
            : node.system.exec(command),
      });
      const request = {
        volumeId: it.volume.volumeId,
        publishContext: it.volume.context(node),
        stagingTargetPath: it.path,
        targetPath: at,
        capability,
        readonly: false,
      };
      await expect(broken.service.publish(request)).rejects.toMatchObject({ id: "mountFailed" });
      expect(existsSync(at)).toBe(false);
      await unstage(it);
    }
  });

  for (const [kind, capability] of [
    ["filesystem", EXT4],
    ["block", BLOCK],
  ] as const) {
    test(`${kind}: the caller goes away at any program (a restart of kubelet); the repeated call leaves one mount`, async () => {
      const it = await staged(capability);
      const at = target();
      const request = {
        volumeId: it.volume.volumeId,
        publishContext: it.volume.context(node),
        stagingTargetPath: it.path,
        targetPath: at,
        capability,
        readonly: false,
      };
      let programs = 0;
      for (let cutAt = 1; ; cutAt += 1) {
        for (const moment of ["before", "after"] as const) {
          const caller = new AbortController();
          let ran = 0;
          const cut = lab.node("node-a", {
            exec: async (command) => {
              ran += 1;
              const now = ran === cutAt;
              if (now && moment === "before") caller.abort(failure("cancelled", { what: "publish" }));
              const result = await node.system.exec(command);
              if (now && moment === "after") caller.abort(failure("cancelled", { what: "publish" }));
              return result;
            },
          });
          const end = await cut.service.publish({ ...request, signal: caller.signal }).then(
            () => "done",
            (error: { id?: string }) => error.id,
          );
          expect(["done", "cancelled"]).toContain(end ?? "");
          // Given up means nothing of it is left.
          if (end === "cancelled") expect(existsSync(at)).toBe(false);
          programs = Math.max(programs, ran);
          await node.service.publish(request);
          await node.service.publish(request);
          expect(lab.mountsAt(at)).toHaveLength(1);
          await unpublish(it, at);
          expect(existsSync(at)).toBe(false);
        }
        if (cutAt >= programs) break;
      }
      expect(programs).toBeGreaterThan(0);
      await unstage(it);
    });
  }
});
