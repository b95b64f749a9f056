import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  BLOCK,
  CLUSTER,
  EXT4,
  Lab,
  type LabNode,
  noDevices,
  PREFIX,
  Volume,
} from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { hostIdentity } from "../../domain/host-identity.ts";

const MIB = 1024 * 1024;

/** What the earlier Go driver leaves on a node: its connection, and its mounts or device nodes. */
describe.skipIf(noDevices !== "")(`a volume in use by the earlier driver ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let count = 0;
  const children: ChildProcess[] = [];
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
    lab.cleanUp();
  });

  interface Used {
    readonly volume: Volume;
    readonly staging: string;
    readonly target: string;
    readonly device: string;
    readonly capability: Capability;
  }

  const connected = async (): Promise<Omit<Used, "capability">> => {
    count += 1;
    const id = `pvc-0b2c6a3e-6f0e-4a5b-9a43-${String(count).padStart(12, "0")}`;
    const volume = new Volume(lab, id, 32 * MIB);
    volume.epoch = 0;
    volume.export();
    const target = { address: "127.0.0.1", port: 4420, nqn: volume.nqn };
    const host = { hostNqn: "nqn.2014-08.org.nvmexpress:uuid:found-by-nvme-cli", hostId: "x" };
    const settings = { ctrlLossTmo: -1, reconnectDelay: 5, keepAliveTmo: 5 };
    const rest = { fastIoFailTmo: -1, nrIoQueues: 0, queueSize: 0 };
    const { path } = await node.dataPath.connect({ ...target, ...host, ...settings, ...rest });
    const [staging, at] = [lab.path(`staging-${count}`), lab.path(`target-${count}`)];
    mkdirSync(staging);
    return { volume, staging, target: at, device: path };
  };
  /** Its filesystem: made with force, mounted at the staging path, and bind-mounted with its three options. */
  const filesystem = async (): Promise<Used> => {
    const used = await connected();
    execFileSync("mkfs.ext4", ["-q", "-F", used.device]);
    execFileSync("mount", ["-t", "ext4", used.device, used.staging]);
    mkdirSync(used.target);
    execFileSync("mount", ["-o", "bind,nosuid,nodev,noexec", used.staging, used.target]);
    return { ...used, capability: { ...EXT4, accessMode: "SINGLE_NODE_MULTI_WRITER" } };
  };
  /** Its block volume: nothing at the staging path, a device node at the target. */
  const block = async (): Promise<Used> => {
    const used = await connected();
    const { rdev } = statSync(used.device);
    execFileSync("mknod", ["-m", "0660", used.target, "b", String(rdev >> 8), String(rdev & 0xff)]);
    return { ...used, capability: BLOCK };
  };
  /** The publish context that the VolumeAttachment keeps. */
  const theirs = ({ volume }: Used) => ({
    nvme_address: "127.0.0.1",
    nvme_port: "4420",
    nvme_nqn: volume.nqn,
    fs_type: "ext4",
  });
  const request = (used: Used, publishContext: Record<string, string> = theirs(used)) => ({
    volumeId: used.volume.volumeId,
    publishContext,
    stagingTargetPath: used.staging,
    capability: used.capability,
  });
  const stage = (used: Used, context?: Record<string, string>) =>
    node.service.stage({ ...request(used, context), volumeContext: {} });
  const publish = (used: Used, targetPath = used.target, context?: Record<string, string>) =>
    node.service.publish({ ...request(used, context), targetPath, readonly: false });
  const unpublish = ({ volume, target }: Used, targetPath = target) =>
    node.service.unpublish({ volumeId: volume.volumeId, targetPath });
  const unstage = ({ volume, staging }: Used) =>
    node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
  const isConnected = async ({ volume }: Used) => (await node.dataPath.find(volume.nqn)) !== undefined;
  const holding = async (path: string): Promise<ChildProcess> => {
    const child = spawn("sh", ["-c", 'exec 9<"$0"; echo; exec sleep 600', path], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    return child;
  };
  const ended = async (child: ChildProcess) => {
    child.kill("SIGKILL");
    while (child.exitCode === null && child.signalCode === null) await delay(5);
  };

  test("a filesystem is unpublished and unstaged: mounts and connection are gone, and paths that the driver owns", async () => {
    const used = await filesystem();
    await unpublish(used);
    expect([lab.mountsAt(used.target).length, existsSync(used.target)]).toEqual([0, false]);
    expect(await isConnected(used)).toBe(true);
    await unstage(used);
    expect([lab.mountsAt(used.staging).length, await isConnected(used)]).toEqual([0, false]);
    await unstage(used);
  });

  test("a block volume, whose target is a plain device node, is unpublished and unstaged", async () => {
    const used = await block();
    await unpublish(used);
    expect(existsSync(used.target)).toBe(false);
    await unstage(used);
    expect(await isConnected(used)).toBe(false);
  });

  test("a filesystem that a pod still has is not disconnected", async () => {
    const used = await filesystem();
    await expect(unstage(used)).rejects.toMatchObject({
      id: "deviceInUse",
      summary: expect.stringContaining(used.target),
    });
    expect([lab.mountsAt(used.staging).length, await isConnected(used)]).toEqual([1, true]);
    const child = await holding(used.staging);
    await unpublish(used);
    await expect(unstage(used)).rejects.toMatchObject({ id: "unmountFailed" });
    expect(await isConnected(used)).toBe(true);
    await ended(child);
    await unstage(used);
    expect(await isConnected(used)).toBe(false);
  });

  test("a block volume that a process or kubelet's loop device has open is not disconnected", async () => {
    const used = await block();
    const child = await holding(used.target);
    await unpublish(used);
    await expect(unstage(used)).rejects.toMatchObject({ id: "deviceInUse" });
    await ended(child);
    const loop = execFileSync("losetup", ["--find", "--show", used.device], { encoding: "utf8" }).trim();
    await expect(unstage(used)).rejects.toMatchObject({ id: "deviceInUse" });
    expect(await isConnected(used)).toBe(true);
    execFileSync("losetup", ["--detach", loop]);
    await unstage(used);
    expect(await isConnected(used)).toBe(false);
  });

  for (const [kind, make] of [
    ["filesystem", filesystem],
    ["block volume", block],
  ] as const) {
    test(`kubelet's repeated calls change nothing of a ${kind}, with the context of either driver`, async () => {
      const used = await make();
      const before = [lab.mountsAt(used.staging), lab.mountsAt(used.target), statSync(used.target).rdev];
      const ours = used.volume.context(node, { filesystemState: "used" });
      for (const context of [theirs(used), ours]) {
        await stage(used, context);
        await publish(used, used.target, context);
        const now = [lab.mountsAt(used.staging), lab.mountsAt(used.target), statSync(used.target).rdev];
        expect(now).toEqual(before);
      }
      // A second pod on the node.
      const second = `${used.target}-second`;
      await publish(used, second);
      await unpublish(used, second);
      await unpublish(used);
      await unstage(used);
      expect(await isConnected(used)).toBe(false);
    });
  }

  test("after a reboot of the node the context of the earlier driver stages what is there, and makes no filesystem", async () => {
    const used = await filesystem();
    await unpublish(used);
    await unstage(used);
    await stage(used);
    expect(lab.mountsAt(used.staging)).toHaveLength(1);
    await unstage(used);
    const blank: Used = { ...(await connected()), capability: EXT4 };
    await expect(stage(blank)).rejects.toMatchObject({ id: "filesystemMissing" });
    await unstage(blank);
  });

  test("the next attachment ends the old connection only while nothing uses it", async () => {
    const used = await filesystem();
    const { volume } = used;
    const old = volume.nqn;
    volume.epoch = 7;
    volume.export();
    const context = volume.context(node, { filesystemState: "used" });
    await expect(stage(used, context)).rejects.toMatchObject({ id: "deviceInUse" });
    expect(await node.dataPath.find(old)).toBeDefined();
    await unpublish(used);
    await stage(used, context);
    expect((await node.dataPath.list()).filter(({ slot }) => slot === volume.volumeId)).toMatchObject([
      { nqn: volume.nqn },
    ]);
    await unstage(used);
  });

  test("a context of the earlier driver is taken for its own volumes alone, and only under their NQN", async () => {
    const used = await block();
    const ofOurs = { ...used, volume: lab.volume(16).export() };
    await expect(stage(ofOurs)).rejects.toMatchObject({ id: "fieldMissing" });
    const other = { ...theirs(used), nvme_nqn: `${PREFIX}:pvc-ffffffff-6f0e-4a5b-9a43-000000000000` };
    await expect(stage(used, other)).rejects.toMatchObject({ id: "nqnForeign" });
    const { nvme_port: _port, ...short } = theirs(used);
    await expect(stage(used, short)).rejects.toMatchObject({
      id: "fieldMissing",
      summary: expect.stringContaining("publish_context.port"),
    });
    expect(hostIdentity(CLUSTER, "node-a").hostNqn).toStartWith("nqn.2014-08.org.nvmexpress:uuid:");
    await unpublish(used);
    await unstage(used);
  });

  test("a device node of another device at the target is not taken for the volume's", async () => {
    const used = await block();
    const other = await block();
    execFileSync("rm", [used.target]);
    execFileSync("cp", ["-a", other.target, used.target]);
    await expect(publish(used)).rejects.toMatchObject({ id: "pathOccupied" });
    for (const each of [used, other]) {
      await unpublish(each);
      await unstage(each);
    }
  });
});
