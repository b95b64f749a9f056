import { expect } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import { block, MIB, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume, QUICK } from "./volume.ts";
import { verifyRecords, Writer } from "./writer.ts";

/** As QUICK, and the kernel gives up after a few seconds. */
const GIVES_UP = { ...QUICK, ctrlLossTmo: "4" };

/** Longer than any verb may need on a node that is well. */
const PROMPT_MS = 20_000;

lab("a node whose link or target fails", {}, (scenario) => {
  scenario(
    "a link lost for less than ctrl-loss-tmo: mounted and raw volumes go on, data intact",
    async (world) => {
      const [files, raw] = [
        await LabVolume.create(world, "blink-fs", mount(), { ...QUICK, ctrlLossTmo: "600" }),
        await LabVolume.create(world, "blink-raw", block(), { ...QUICK, ctrlLossTmo: "600" }, 64n * MIB),
      ];
      await files.up("node-a");
      await raw.up("node-a");
      const a = world.machine("node-a");
      const writer = await Writer.start(a, raw.target(), 1, 1);
      await world.until("600 records", async () => (await writer.acknowledged()) > 600);
      world.cable("node-a").up = false;
      await world.until(
        "the link is seen lost",
        async () => (await raw.states("node-a")).join() === "connecting",
      );
      const stuck = await writer.acknowledged();
      const written = a.sh(
        `head -c 4M /dev/urandom >${files.target()}/f && sync ${files.target()}/f && sha256sum <${files.target()}/f`,
        60_000,
      );
      await delay(2_000);
      world.cable("node-a").up = true;
      await world.until("the writer goes on", async () => (await writer.acknowledged()) > stuck + 600);
      const sum = await written;
      expect(await files.states("node-a")).toEqual(["live"]);
      await verifyRecords(a, raw.target(), await writer.stop(), 1);
      await files.down("node-a");
      await files.up("node-b");
      expect(await world.machine("node-b").sh(`sha256sum <${files.target()}/f`)).toBe(sum);
      await files.down("node-b");
      await raw.down("node-a");
      await files.delete();
      await raw.delete();
    },
  );

  scenario("a slow and lossy link: everything works, only later", async (world) => {
    const cable = world.cable("node-a");
    cable.delayMs = 5;
    cable.loseEvery = 200;
    const volume = await LabVolume.create(world, "lossy", mount(), {}, 256n * MIB);
    await volume.attach("node-a");
    // kubelet waits two minutes.
    await volume.stage("node-a", 120_000);
    await volume.publish("node-a");
    await world
      .machine("node-a")
      .sh(`head -c 2M /dev/urandom >${volume.target()}/f && sync ${volume.target()}/f`, 120_000);
    await volume.down("node-a");
    await volume.delete();
    expect(cable.dropped).toBeGreaterThan(10);
  });

  scenario(
    "the target gone and I/O blocked: every RPC answers, other volumes and the process are well",
    async (world) => {
      const a = world.machine("node-a");
      const hung = await LabVolume.create(
        world,
        "hung",
        mount(),
        { ...QUICK, ctrlLossTmo: "600" },
        256n * MIB,
      );
      const hungRaw = await LabVolume.create(
        world,
        "hung-raw",
        block(),
        { ...QUICK, ctrlLossTmo: "600" },
        64n * MIB,
      );
      for (const volume of [hung, hungRaw]) await volume.up("node-a");
      const writer = await Writer.start(a, hungRaw.target(), 1, 1);
      await a.sh(`echo precious >${hung.target()}/f && sync ${hung.target()}/f`);
      // Only these two lose their target, as when their export is switched off by hand.
      const anchor = await LabVolume.create(world, "anchor", block(), {}, 64n * MIB);
      // Keeps the port open.
      await anchor.attach("node-b");
      const unlink = (volume: LabVolume) => `rm /sys/kernel/config/nvmet/ports/*/subsystems/*:${volume.id}*`;
      const link = (volume: LabVolume) =>
        `for p in /sys/kernel/config/nvmet/ports/*; do for s in /sys/kernel/config/nvmet/subsystems/*:${volume.id}*; do ln -s $s $p/subsystems/; done; done`;
      await world.rds.sh(`${unlink(hung)}; ${unlink(hungRaw)}`);
      await world.until("connecting", async () => (await hung.states("node-a")).join() === "connecting");
      await a.start("dirty", "/bin/dash", [
        "-c",
        `echo more >${hung.target()}/g; exec sync -f ${hung.target()}`,
      ]);
      const calls: Record<string, () => Promise<unknown>> = {
        stats: () => hung.stats("node-a", PROMPT_MS),
        "stats of the raw device": () => hungRaw.stats("node-a", PROMPT_MS),
        stage: () => hung.stage("node-a", PROMPT_MS),
        publish: () => hung.publish("node-a", "pod", PROMPT_MS),
        unpublish: () => hung.unpublish("node-a", "pod", PROMPT_MS),
        unstage: () => hung.unstage("node-a", PROMPT_MS),
        "unstage of the raw device": () => hungRaw.unstage("node-a", PROMPT_MS),
      };
      for (const [name, call] of Object.entries(calls)) {
        // Refused, or done where nothing blocks; never silence.
        await call().catch((error: { code?: number }) => {
          if (error.code === undefined) throw new Error(`${name}: ${error}`);
        });
        await world.node("node-a").nodeGetInfo({}, { deadlineMs: 2_000 });
      }
      const well = await LabVolume.create(world, "well", mount(), {}, 256n * MIB);
      await well.up("node-a");
      await well.down("node-a");
      await well.delete();
      await world.rds.sh(`${link(hung)}; ${link(hungRaw)}`);
      await world.until("live again", async () => (await hung.states("node-a")).join() === "live");
      await anchor.detach("node-b");
      await anchor.delete();
      // Nothing was disconnected under the blocked data.
      await hung.up("node-a");
      expect(await a.sh(`cat ${hung.target()}/f ${hung.target()}/g`)).toBe("precious\nmore");
      await verifyRecords(a, hungRaw.target(), await writer.stop(), 1);
      for (const volume of [hung, hungRaw]) {
        await volume.down("node-a");
        await volume.delete();
      }
    },
  );

  scenario(
    "a link lost for longer than ctrl-loss-tmo: stats say so, the next stage heals instead of stacking",
    async (world) => {
      const a = world.machine("node-a");
      const volume = await LabVolume.create(world, "lost", mount(), GIVES_UP, 256n * MIB);
      await volume.up("node-a");
      await a.sh(`echo precious >${volume.target()}/f && sync ${volume.target()}/f`);
      const before = await volume.device("node-a");
      world.cable("node-a").up = false;
      await world.until("the kernel gives up", async () => (await volume.states("node-a")).length === 0);
      const { volumeCondition } = await volume.stats("node-a");
      expect(volumeCondition?.abnormal).toBe(true);
      expect(volumeCondition?.message).toContain("vanished");
      world.cable("node-a").up = true;
      // kubelet stages and publishes again for the replacement of the pod.
      await volume.unpublish("node-a");
      await volume.stage("node-a");
      await volume.publish("node-a");
      expect(await a.sh(`cat ${volume.target()}/f`)).toBe("precious");
      expect(await a.sh(`grep -c ' ${volume.staging} ' /proc/mounts`)).toBe("1");
      expect((await volume.stats("node-a")).volumeCondition?.abnormal).toBe(false);
      expect(before).not.toBe("");
      await volume.down("node-a");
      await volume.delete();
    },
  );

  scenario(
    "controllers renumbered, and the device renamed beside a mount of the lost one: no foreign device is touched",
    async (world) => {
      const a = world.machine("node-a");
      const [first, second] = [
        await LabVolume.create(world, "number-1", mount(), GIVES_UP, 256n * MIB),
        await LabVolume.create(world, "number-2", mount(), GIVES_UP, 256n * MIB),
      ];
      for (const volume of [first, second]) {
        await volume.up("node-a");
        await a.sh(`echo ${volume.id} >${volume.target()}/f && sync ${volume.target()}/f`);
      }
      const devices = [await first.device("node-a"), await second.device("node-a")];
      const controllers = await first.controllers("node-a");
      // Somebody's mount of the lost device stays, so that its name is taken.
      await a.sh(`mkdir -p /mnt/held && mount --bind ${first.target()} /mnt/held`);
      world.cable("node-a").up = false;
      for (const volume of [first, second]) {
        await world.until("the kernel gives up", async () => (await volume.states("node-a")).length === 0);
      }
      world.cable("node-a").up = true;
      // In the other order.
      for (const volume of [second, first]) {
        await volume.unpublish("node-a");
        await volume.stage("node-a");
        await volume.publish("node-a");
      }
      expect(await first.device("node-a")).not.toBe(devices[0] ?? "");
      expect(await first.controllers("node-a")).not.toEqual(controllers);
      for (const volume of [first, second]) {
        expect(await a.sh(`cat ${volume.target()}/f`)).toBe(volume.id);
        await volume.down("node-a");
        await volume.delete();
      }
      await a.sh("umount /mnt/held");
    },
  );

  scenario(
    "a device number that the kernel gives to the next volume: that one waits until the pod of the lost one is gone, whose node never leads to it",
    async (world) => {
      const a = world.machine("node-a");
      const [lost, next] = [
        await LabVolume.create(world, "lost-number", block(), {}, 64n * MIB),
        await LabVolume.create(world, "next-number", block(), {}, 64n * MIB),
      ];
      const devices = "/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices";
      // As kubelet lays it out: a record of the volume, the pod's directory, the target.
      const record = JSON.stringify({ driverName: "rds.csi.srvlab.io", volumeHandle: lost.id });
      await a.put(`${devices}/pv-lost/data/vol_data.json`, record);
      const target = (pod: string) => `${devices}/publish/pv-lost/${pod}`;
      const publish = async (pod: string): Promise<void> => {
        await a.sh(`mkdir -p ${devices}/publish/pv-lost /var/lib/kubelet/pods/${pod}`);
        await world.node("node-a").nodePublishVolume({
          volumeId: lost.id,
          publishContext: lost.context("node-a"),
          stagingTargetPath: `${devices}/staging/pv-lost`,
          targetPath: target(pod),
          volumeCapability: lost.capability,
        });
      };
      const open = async (path: string) => (await a.run(`dd if=${path} of=/dev/null bs=4k count=1`)).code;
      await a.sh(`mkdir -p ${devices}/staging`);
      await next.attach("node-a");
      for (const pod of ["pod-1", "pod-2"]) {
        await lost.attach("node-a");
        await lost.stage("node-a");
        await publish(pod);
        const number = await a.sh(`stat -L -c %t:%T ${await lost.device("node-a")}`);
        await a.sh(`nvme disconnect -n ${lost.context("node-a").nqn}`);
        // The next connection has its number, and a node of the lost volume leads there.
        await a.sh(`nvme connect -t tcp -a 192.0.2.1 -s 4420 -n ${next.context("node-a").nqn}`);
        expect(await a.sh(`stat -L -c %t:%T ${await next.device("node-a")}`)).toBe(number);
        expect(await open(target(pod))).toBe(0);
        await a.sh(`nvme disconnect -n ${next.context("node-a").nqn}`);
        if (pod === "pod-1") {
          await expect(next.stage("node-a")).rejects.toMatchObject({
            code: 9,
            details: expect.stringContaining(`${target(pod)} (volume ${lost.id})`),
          });
          expect(await next.states("node-a")).toEqual([]);
          expect(await open(target(pod))).not.toBe(0);
          await world.node("node-a").nodeUnpublishVolume({ volumeId: lost.id, targetPath: target(pod) });
        } else await a.sh(`rmdir /var/lib/kubelet/pods/${pod}`);
        await next.stage("node-a");
        expect(await a.sh(`ls ${devices}/publish/pv-lost`)).toBe("");
        await next.unstage("node-a");
        await lost.unstage("node-a");
        await lost.detach("node-a");
      }
      await next.detach("node-a");
      await a.sh("rm -r /var/lib/kubelet/plugins/kubernetes.io");
      await lost.delete();
      await next.delete();
    },
  );

  scenario(
    "a node that loses power with volumes staged: it comes back, prunes, and stages again",
    async (world) => {
      const volume = await LabVolume.create(world, "reboot", mount(), {}, 256n * MIB);
      await volume.up("node-a");
      await world.machine("node-a").sh(`echo precious >${volume.target()}/f && sync ${volume.target()}/f`);
      await world.machine("node-a").powerOff();
      await world.boot("node-a");
      // What kubelet's directory on a real disk still holds.
      await world.machine("node-a").sh(`mkdir -p ${volume.staging} ${volume.target()}`);
      await world.startNode("node-a");
      await volume.up("node-a");
      expect(await world.machine("node-a").sh(`cat ${volume.target()}/f`)).toBe("precious");
      await volume.down("node-a");
      await volume.delete();
    },
  );
});
