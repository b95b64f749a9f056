import { expect } from "bun:test";
import { block, GIB, MIB, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume, QUICK } from "./volume.ts";

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
