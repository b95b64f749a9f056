import { expect } from "bun:test";
import { block, GIB, MIB, mount } from "../support/rpc.ts";
import { kind } from "./kind.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import { RDS_DIRECTORY } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

/** An emulated processor takes ten times as long: there the kernel's own way is enough. */
const WAYS = kind.slowness > 1 ? [true] : [true, false];

for (const multipath of WAYS) {
  const how = multipath ? "native multipath" : "nvme_core.multipath=N";
  lab(`a volume's whole life over NVMe/TCP, ${how}`, { multipath }, (scenario) => {
    for (const filesystem of ["ext4", "xfs"] as const) {
      scenario(
        `${filesystem}: written on one node, read on the other, nothing left behind`,
        async (world) => {
          const volume = await LabVolume.create(
            world,
            `spine-${filesystem}`,
            mount(undefined, filesystem),
            {},
            GIB,
          );
          await volume.up("node-a");
          // The same calls again change nothing.
          await volume.stage("node-a");
          await volume.publish("node-a");
          const a = world.machine("node-a");
          const at = volume.target();
          const sum = await a.sh(`head -c 8M /dev/urandom >${at}/data; sync; sha256sum <${at}/data`);
          expect(await a.sh(`findmnt -n -o FSTYPE ${at}`)).toBe(filesystem);
          await volume.down("node-a");
          await volume.up("node-b");
          expect(await world.machine("node-b").sh(`sha256sum <${at}/data`)).toBe(sum);
          await volume.down("node-b");
          await volume.unstage("node-b");
          await volume.delete();
          for (const name of world.nodeNames) {
            expect(
              await world.machine(name).sh("ls /sys/class/nvme; grep kubelet /proc/mounts || true"),
            ).toBe("");
            expect(await world.machine(name).sh(`ls ${at} 2>&1 || true`)).toContain("No such file");
          }
          expect(await world.rds.sh("ls /sys/kernel/config/nvmet/subsystems")).toBe("");
          expect(await world.rds.sh(`ls ${RDS_DIRECTORY}/files/storage-pool/csi`)).toBe("");
        },
      );
    }

    scenario(
      "block: the device of the RDS's size, written directly, refused on a second node",
      async (world) => {
        const volume = await LabVolume.create(world, "spine-block", block(), {}, 64n * MIB);
        await volume.up("node-a");
        const a = world.machine("node-a");
        expect(BigInt(await a.sh(`blockdev --getsize64 ${volume.target()}`))).toBe(volume.sizeBytes);
        const writer = await Writer.start(a, volume.target(), 1, 1);
        await world.until("600 records", async () => (await writer.acknowledged()) > 600);
        await expect(volume.attach("node-b")).rejects.toMatchObject({ code: 9 });
        const last = await writer.stop();
        await verifyRecords(a, volume.target(), last, 1);
        await volume.down("node-a");
        await volume.up("node-b");
        await verifyRecords(world.machine("node-b"), volume.target(), last, 1);
        await volume.down("node-b");
        await volume.delete();
      },
    );
  });
}
