import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  BLOCK,
  EXT4,
  hasTool,
  Lab,
  type LabNode,
  noDevices,
  type Volume,
} from "../../../test/support/loop-node.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { type Command, exec } from "../../host/exec.ts";
import { kubeletStaging, kubeletTarget, sysfsWithout } from "./lost.fixture.ts";

describe.skipIf(noDevices !== "")(`health of volumes ${noDevices}`, () => {
  let lab: Lab;
  let node: LabNode;
  let pods = 0;
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a");
  });
  afterAll(() => lab.cleanUp());

  interface Used {
    readonly volume: Volume;
    readonly staging: string;
    readonly target: string;
    readonly number: string;
  }
  const use = async (capability = EXT4, on = node): Promise<Used> => {
    pods += 1;
    const volume = lab.volume(32).export();
    const staging = kubeletStaging(lab, volume.volumeId);
    const target = kubeletTarget(lab, `pod-${pods}`, volume.volumeId);
    const common = {
      volumeId: volume.volumeId,
      publishContext: volume.context(on),
      stagingTargetPath: staging,
      capability,
    };
    await on.service.stage({ ...common, volumeContext: {} });
    await on.service.publish({ ...common, targetPath: target, readonly: false });
    const number = (await on.dataPath.find(volume.nqn))?.number ?? "";
    return { volume, staging, target, number };
  };
  const release = async ({ volume, staging, target }: Used) => {
    await node.service.unpublish({ volumeId: volume.volumeId, targetPath: target });
    await node.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: staging });
  };
  /** NodeGetVolumeStats, with which NodeGetVolumeHealth has to agree. */
  const stats = async ({ volume, target, staging }: Used, on = node, path = target) => {
    const at = { volumeId: volume.volumeId, stagingTargetPath: staging };
    const answer = await on.service.stats({ ...at, volumePath: path });
    const health = await on.service.volumeHealth({ ...at, volumePublishPath: path });
    expect(health.length > 0).toBe(answer.condition.abnormal);
    // Behind the colon stands why a filesystem does not answer: the second look leaves it alone.
    for (const { message } of health)
      expect(answer.condition.message).toContain(message.split(": ")[0] ?? "");
    return answer;
  };
  const surveyed = async ({ volume }: Used, on = node) => {
    const id = parseVolumeId(volume.volumeId);
    return id && (await on.service.survey()).get(id)?.map(({ cause }) => cause);
  };
  /** A node whose connections look otherwise. */
  const seeing = (change: (connection: Connection) => Connection) => {
    const wrap = (real: DataPath): DataPath => ({
      ...real,
      list: async (signal) => (await real.list(signal)).map(change),
    });
    return lab.node("node-a", {}, wrap);
  };
  const abnormal = (text: string) => ({ abnormal: true, message: expect.stringContaining(text) });

  test.each([EXT4, BLOCK])("a volume that is well: %j", async (capability) => {
    const it = await use(capability);
    const answer = await stats(it);
    expect(answer.condition).toEqual({ abnormal: false, message: "the volume is connected and answers" });
    expect(answer.usage).toHaveLength(capability === BLOCK ? 1 : 2);
    expect(await surveyed(it)).toEqual([]);
    await release(it);
    expect(await surveyed(it)).toBeUndefined();
  });

  test.each(["connecting", "resetting", "deleting (no IO)", "dead"])(
    "a controller that is %s: abnormal with the state; its filesystem is not asked",
    async (state) => {
      const it = await use();
      const programs: string[] = [];
      const wrap = (real: DataPath): DataPath => ({
        ...real,
        list: async () => (await real.list()).map((each) => ({ ...each, state })),
      });
      const spying = (command: Command) => {
        programs.push(command.program);
        return exec(command);
      };
      const on = lab.node("node-a", { exec: spying }, wrap);
      expect(await stats(it, on)).toEqual({ usage: [], condition: abnormal(`not live (${state})`) });
      expect(await surveyed(it, on)).toEqual(["not-live"]);
      expect(programs).toEqual([]);
      await release(it);
    },
  );

  test("one of several paths is enough", async () => {
    const it = await use();
    const on = seeing((each) => ({ ...each, state: "connecting, live" }));
    expect((await stats(it, on)).condition.abnormal).toBe(false);
    await release(it);
  });

  test("a block volume that is not live: abnormal, its size is known all the same", async () => {
    const it = await use(BLOCK);
    const on = seeing((each) => ({ ...each, state: "resetting" }));
    const { usage, condition } = await stats(it, on);
    expect(usage).toMatchObject([{ unit: "bytes", total: BigInt(it.volume.size) }]);
    expect(condition).toEqual(abnormal("not live (resetting)"));
    await release(it);
  });

  test.each([EXT4, BLOCK])("a device that has vanished under its mounts: %j", async (capability) => {
    const it = await use(capability);
    // The connection is gone as well, as it is when the kernel has given up.
    const on = lab.node("node-a", { sysRoot: sysfsWithout(lab, it.number) }, (real) => ({
      ...real,
      list: async () => [],
    }));
    const { usage, condition } = await stats(it, on);
    expect(usage).toEqual([]);
    expect(condition).toEqual(abnormal("has vanished"));
    expect(condition.message).toContain(it.target);
    expect(await surveyed(it, on)).toEqual(["device-vanished"]);
    await release(it);
  });

  test("reconnected under another name: the old mounts are told as dead, not the new device as well", async () => {
    const it = await use();
    const on = lab.node("node-a", { sysRoot: sysfsWithout(lab, it.number) }, (real) => ({
      ...real,
      list: async () =>
        (await real.list()).map((each) => ({
          ...each,
          device: each.device && { ...each.device, name: "nvme0n2", path: "/dev/nvme0n2", number: "259:7" },
        })),
    }));
    expect((await stats(it, on)).condition).toEqual(abnormal("has vanished"));
    expect(await surveyed(it, on)).toEqual(["device-vanished"]);
    await release(it);
  });

  test("a live controller without a namespace", async () => {
    const it = await use();
    const on = seeing((each) => ({ ...each, device: undefined }));
    expect(await surveyed(it, on)).toEqual(["no-namespace"]);
    expect((await stats(it, on)).condition).toEqual(abnormal("has no namespace"));
    await release(it);
  });

  test("mounted from another device than the connected one", async () => {
    const it = await use();
    const other = await use();
    execFileSync("umount", [it.target]);
    execFileSync("mount", ["--bind", other.staging, it.target]);
    expect((await stats(it)).condition).toEqual(abnormal("is mounted from"));
    execFileSync("umount", [it.target]);
    // The staging path of the request counts, too.
    execFileSync("mount", ["--bind", it.staging, it.target]);
    const wrong = await node.service.stats({
      volumeId: it.volume.volumeId,
      volumePath: it.target,
      stagingTargetPath: other.staging,
    });
    expect(wrong.condition).toEqual(abnormal("is mounted from"));
    await release(other);
    await release(it);
  });

  test("not mounted at all where kubelet keeps it; not staged although published", async () => {
    const it = await use();
    execFileSync("umount", [it.staging]);
    expect((await stats(it)).condition).toEqual(abnormal("not staged"));
    expect((await stats(it)).usage).toHaveLength(2);
    execFileSync("umount", [it.target]);
    expect(await stats(it)).toEqual({ usage: [], condition: abnormal("nothing is mounted") });
    expect(await stats(it, node, it.staging)).toEqual({
      usage: [],
      condition: abnormal("nothing is mounted"),
    });
    await release(it);
    await expect(stats(it)).rejects.toMatchObject({ code: 5 });
  });

  test("the path of another volume is NOT_FOUND, whether that is well, dead or not mounted", async () => {
    const [it, other] = [await use(), await use()];
    await expect(stats(it, node, other.target)).rejects.toMatchObject({ code: 5 });
    const on = lab.node("node-a", { sysRoot: sysfsWithout(lab, other.number) });
    await expect(stats(it, on, other.target)).rejects.toMatchObject({ code: 5 });
    execFileSync("umount", [other.target]);
    await expect(stats(it, node, other.target)).rejects.toMatchObject({ code: 5 });
    // Neither is a directory that nobody keeps for it.
    mkdirSync(lab.path("plain"), { recursive: true });
    await expect(stats(it, node, lab.path("plain"))).rejects.toMatchObject({ code: 5 });
    await release(it);
    await release(other);
  });

  const trigger = ({ number }: Used): string =>
    `/sys/fs/ext4/loop${number.replace("7:", "")}/trigger_fs_error`;

  /** An error of the kernel's own making; it counts it a moment later, in the background. */
  const fail = async (it: Used): Promise<void> => {
    writeFileSync(trigger(it), "test");
    const counter = trigger(it).replace("trigger_fs_error", "errors_count");
    while (readFileSync(counter, "utf8").trim() === "0")
      await new Promise((resolve) => setImmediate(resolve));
  };

  test.skipIf(!hasTool("e2fsck"))(
    "errors that ext4 has counted: abnormal with usage; the next stage checks it, the data is there (e2fsck)",
    async () => {
      const it = await use({ ...EXT4, mountFlags: ["errors=continue"] });
      if (!existsSync(trigger(it))) return await release(it);
      writeFileSync(`${it.target}/precious`, "1");
      await fail(it);
      const { usage, condition } = await stats(it);
      expect(condition).toEqual(abnormal("has counted 1 errors"));
      expect(usage).toHaveLength(2);
      expect(await surveyed(it)).toEqual(["filesystem-errors"]);
      await release(it);
      await node.service.stage({
        volumeId: it.volume.volumeId,
        publishContext: it.volume.context(node, { filesystemState: "used" }),
        stagingTargetPath: kubeletStaging(lab, it.volume.volumeId),
        capability: EXT4,
        volumeContext: {},
      });
      expect(await surveyed(it)).toEqual([]);
      expect(readFileSync(`${it.staging}/precious`, "utf8")).toBe("1");
      await release(it);
    },
  );

  test("a filesystem that went read-only after an error; one that is read-only as asked for is well", async () => {
    const it = await use();
    if (existsSync(trigger(it))) {
      await fail(it);
      expect(await surveyed(it)).toEqual(["read-only", "filesystem-errors"]);
      expect((await stats(it)).condition).toEqual(abnormal("went read-only after an error"));
    }
    await release(it);
    const volume = it.volume;
    const request = {
      volumeId: volume.volumeId,
      publishContext: volume.context(node, { filesystemState: "keep" }),
      stagingTargetPath: kubeletStaging(lab, volume.volumeId),
      capability: { ...EXT4, accessMode: "SINGLE_NODE_READER_ONLY" as const },
      volumeContext: {},
    };
    await node.service.stage(request);
    expect(await surveyed(it)).not.toContain("read-only");
    await release(it);
  });

  test("a filesystem that hangs: abnormal within the deadline, then left alone for a while", async () => {
    const it = await use();
    let asked = 0;
    let offset = 0;
    const on = lab.node("node-a", {
      clock: {
        now: () => Date.now(),
        monotonic: () => performance.now() + offset,
        sleep: () => Promise.resolve(),
      },
      exec: (command) => {
        if (command.program !== "stat") return exec(command);
        asked += 1;
        return exec({ ...command, program: "sleep", args: ["60"], deadlineMs: 100 });
      },
    });
    expect(await stats(it, on)).toEqual({ usage: [], condition: abnormal("does not answer") });
    for (let round = 0; round < 5; round += 1) {
      expect((await stats(it, on)).condition).toEqual(abnormal("left alone"));
    }
    expect(asked).toBe(1);
    offset = 301_000;
    expect((await stats(it, on)).condition).toEqual(abnormal("does not answer"));
    expect(asked).toBe(2);
    await release(it);
  });

  test("XFS that has shut down does not answer", async () => {
    const it = await use();
    const on = lab.node("node-a", {
      exec: (command) =>
        command.program === "stat"
          ? Promise.resolve({ code: 1, stdout: "", stderr: "stat: Input/output error", truncated: false })
          : exec(command),
    });
    expect((await stats(it, on)).condition).toEqual(abnormal("Input/output error"));
    expect(await surveyed(it, on)).toEqual(["not-answering"]);
    await release(it);
  });
});
