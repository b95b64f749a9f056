import { expect } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import { block, GIB, MIB, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import { verifyRecords, Writer } from "./writer.ts";

/** Fast timers, so that a lost link is noticed within seconds. */
const QUICK = { reconnectDelay: "1", keepAliveTmo: "1" };
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

const NEW_IDENTITY = {
  simulate: ["--switch", "device-identity=random"],
} as const;

lab("an RDS that gives its volumes another identity after a restart", NEW_IDENTITY, (scenario) => {
  scenario(
    "the kernel drops the device; stats say so, and the next stage brings it back with its data",
    async (world) => {
      const volume = await LabVolume.create(world, "identity", mount(), QUICK, 256n * MIB);
      await volume.up("node-a");
      const a = world.machine("node-a");
      await a.sh(`echo precious >${volume.target()}/f && sync ${volume.target()}/f`);
      await world.rds.powerOff();
      await world.boot("rds");
      await world.startRds();
      await world.until("the device is dropped", async () => (await volume.device("node-a")) === "", 60_000);
      const { volumeCondition } = await volume.stats("node-a");
      expect(volumeCondition).toMatchObject({ abnormal: true, message: expect.stringContaining("vanished") });
      await volume.unpublish("node-a");
      await volume.stage("node-a");
      await volume.publish("node-a");
      expect(await a.sh(`cat ${volume.target()}/f`)).toBe("precious");
      await volume.down("node-a");
      await volume.delete();
    },
  );
});

lab("what is not ours, and who holds a device (SAFETY-04)", {}, (scenario) => {
  scenario("NVMe subsystems that are not ours stay, look-alikes too", async (world) => {
    const volume = await LabVolume.create(world, "ours", block(), {}, 64n * MIB);
    await volume.up("node-a");
    const prefix = "nqn.2000-02.com.mikrotik";
    const foreign = [
      `${prefix}:raid1-data`,
      `${prefix}:${volume.id}.1.2`,
      `${prefix}x:${volume.id}.1`,
      `${prefix}:${volume.id.toUpperCase()}`,
    ];
    const c = "/sys/kernel/config/nvmet";
    await world.rds.sh("truncate -s 16M /run/foreign.img");
    for (const nqn of foreign) {
      const s = `${c}/subsystems/${nqn}`;
      await world.rds.sh(`mkdir ${s} && echo 1 >${s}/attr_allow_any_host && mkdir ${s}/namespaces/1 && echo 1 >${s}/namespaces/1/buffered_io &&
        printf /run/foreign.img >${s}/namespaces/1/device_path && echo 1 >${s}/namespaces/1/enable && for p in ${c}/ports/*; do ln -s ${s} $p/subsystems/; done`);
      await world.machine("node-a").sh(`nvme connect -t tcp -a 192.0.2.1 -s 4420 -n ${nqn}`);
    }
    const count = "cat /sys/class/nvme/nvme*/subsysnqn | sort";
    const all = await world.machine("node-a").sh(count);
    // A restart prunes; unstage disconnects ours.
    world.machine("node-a").run(`kill -9 ${world.services.get("node-a")?.pid}`);
    await world.services.get("node-a")?.ended;
    await world.startNode("node-a");
    expect(await world.machine("node-a").sh(count)).toBe(all);
    await volume.down("node-a");
    const left = (await world.machine("node-a").sh(count)).split("\n");
    expect(left.toSorted()).toEqual(foreign.toSorted());
    for (const nqn of foreign) await world.machine("node-a").sh(`nvme disconnect -n ${nqn}`);
    await volume.delete();
    await world.rds.sh(`for p in ${c}/ports/*; do for n in ${foreign.join(" ")}; do rm $p/subsystems/$n; done; done;
      for n in ${foreign.join(" ")}; do echo 0 >${c}/subsystems/$n/namespaces/1/enable; rmdir ${c}/subsystems/$n/namespaces/1 ${c}/subsystems/$n; done`);
  });

  const numbers = (device: string) => `$(cat /sys/block/${device.slice(5)}/dev | tr : " ")`;
  /** Runs something in a mount namespace of its own, which has the device as /mnt/vm-disk. */
  const elsewhere = (device: string, then: string) =>
    `unshare -m /bin/dash -c "mount -t tmpfs t /mnt && mknod /mnt/vm-disk b ${numbers(device)} && ${then}" >/dev/null 2>&1`;

  const holders: Record<
    string,
    { hold: (device: string) => string; free: string; told: RegExp; code?: number; kind: "block" | "mount" }
  > = {
    "a process": {
      hold: (device) => `sleep 1000 3<${device} >/dev/null 2>&1 & echo $! >/run/holder`,
      free: "kill $(cat /run/holder)",
      told: /process \d+ \(sleep, fd 3\)/,
      kind: "block",
    },
    "a process in another mount namespace, through a node of its own": {
      hold: (device) =>
        `unshare -m /bin/dash -c 'mount -t tmpfs t /mnt && mknod /mnt/vm-disk b $(cat /sys/block/${device.slice(5)}/dev | tr : " ") && exec sleep 1000 3</mnt/vm-disk' >/dev/null 2>&1 & echo $! >/run/holder; sleep 1`,
      free: "kill $(cat /run/holder)",
      told: /process \d+ \(sleep, fd 3\)/,
      kind: "block",
    },
    "a loop device over it": {
      hold: (device) => `losetup /dev/loop5 ${device}`,
      free: "losetup -d /dev/loop5",
      told: /loop5/,
      kind: "block",
    },
    "a loop device over it, made through a node of its own in another mount namespace": {
      hold: (device) =>
        `${elsewhere(device, "losetup /dev/loop6 /mnt/vm-disk && exec sleep 1000")} & echo $! >/run/holder; until [ -e /sys/block/loop6/loop ]; do sleep 0.1; done`,
      free: "losetup -d /dev/loop6; kill $(cat /run/holder)",
      told: /loop device loop6/,
      kind: "block",
    },
    "a loop device over it, whose mount namespace has gone": {
      hold: (device) => elsewhere(device, "losetup /dev/loop6 /mnt/vm-disk"),
      free: "losetup -d /dev/loop6",
      told: /loop6 may be over it/,
      code: 14,
      kind: "block",
    },
    "a process that maps it through a node of its own, and has closed it": {
      hold: (device) =>
        `mknod /run/vm-disk b ${numbers(device)} && { { echo "mmap -r 0 4096"; echo close; exec sleep 1000; } 2>/dev/null | xfs_io /run/vm-disk >/dev/null 2>&1 & echo $! >/run/holder; }
         p=/proc/$(cat /run/holder); until grep -q vm-disk $p/maps && ! ls -l $p/fd | grep -q vm-disk; do sleep 0.1; done; rm /run/vm-disk`,
      free: "kill $(cat /run/holder)",
      told: /process \d+ \(xfs_io, mapped device\)/,
      kind: "block",
    },
    "swap on it": {
      hold: (device) => `mkswap ${device} && swapon ${device}`,
      free: "swapoff -a",
      told: /swap of this node/,
      kind: "block",
    },
    "a mount in another mount namespace": {
      hold: (device) =>
        `unshare -m --propagation private /bin/dash -c 'mount ${device} /mnt && exec sleep 1000' >/dev/null 2>&1 & echo $! >/run/holder; sleep 1`,
      free: "kill $(cat /run/holder)",
      told: /kernel|process \d+/,
      kind: "mount",
    },
  };
  for (const [who, { hold, free, told, code = 9, kind }] of Object.entries(holders)) {
    scenario(`${who} keeps NodeUnstageVolume from disconnecting, and is named`, async (world) => {
      const a = world.machine("node-a");
      const volume = await LabVolume.create(
        world,
        `held by ${who}`,
        kind === "block" ? block() : mount(),
        {},
        GIB / 4n,
      );
      await volume.up("node-a");
      const device = await volume.device("node-a");
      await a.sh(hold(device));
      await volume.unpublish("node-a");
      await expect(volume.unstage("node-a")).rejects.toMatchObject({
        code,
        details: expect.stringMatching(told),
      });
      expect(await volume.states("node-a")).toEqual(["live"]);
      await a.sh(free);
      await world.until("it is let go", async () => (await a.run(`! fuser -s ${device}`)).code === 0);
      await volume.unstage("node-a");
      expect(await volume.states("node-a")).toEqual([]);
      await volume.detach("node-a");
      await volume.delete();
    });
  }
});
