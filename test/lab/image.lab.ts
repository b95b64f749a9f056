import { expect } from "bun:test";
import { block, GIB, MIB, Mode, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import { verifyRecords, Writer } from "./writer.ts";

lab(
  "the image's root filesystem, run as a container runtime runs it",
  { containers: true, controller: ["--online-expansion", "re-export"] },
  (scenario) => {
    scenario("is the root of both, read-only; the controller has no rights, the node all", async (world) => {
      const status = async (machine: string, name: string) => {
        const pid = await world.machine(machine).sh(`pidof -s rds-csi`);
        const found = await world.machine(machine).sh(`grep -E '^${name}:' /proc/${pid}/status`);
        return found.split(/\s+/).slice(1);
      };
      const look = async (machine: string, path: string) => {
        const pid = await world.machine(machine).sh(`pidof -s rds-csi`);
        return await world.machine(machine).sh(`ls /proc/${pid}/root${path}`);
      };
      for (const machine of ["control", "node-a"]) {
        expect((await look(machine, "/usr/bin")).split("\n")).toEqual([
          ...["fuser", "kmod", "mount", "rds-csi", "stat", "umount"],
        ]);
        expect(await look(machine, "/bin/sh 2>&1 || true")).toContain("No such file");
        const pid = await world.machine(machine).sh("pidof -s rds-csi");
        // The options of what is mounted at /.
        expect(await world.machine(machine).sh(`cat /proc/${pid}/mountinfo`)).toMatch(
          /^\S+ \S+ \S+ \S+ \/ ro[, ]/m,
        );
      }
      expect(await status("control", "Uid")).toEqual(["65532", "65532", "65532", "65532"]);
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
        expect(await status("control", set)).toEqual(["0000000000000000"]);
      }
      expect(await status("control", "NoNewPrivs")).toEqual(["1"]);
      expect(await status("node-a", "Uid")).toEqual(["0", "0", "0", "0"]);
    });

    scenario("the node has loaded nvme-tcp itself, from the host's /lib/modules", async (world) => {
      for (const name of world.nodeNames) {
        expect(await world.machine(name).sh("cat /proc/modules")).toMatch(/^nvme_tcp /m);
        expect(await world.machine(name).sh("cat /run/node.log")).toContain("kernel module loaded");
      }
    });

    for (const filesystem of ["ext4", "xfs"] as const) {
      scenario(
        `${filesystem}: the mounts that the node makes are the machine's, and leave nothing behind`,
        async (world) => {
          const volume = await LabVolume.create(
            world,
            `image-${filesystem}`,
            mount(undefined, filesystem),
            {},
            GIB,
          );
          await volume.up("node-a");
          const a = world.machine("node-a");
          const at = volume.target();
          expect(await a.sh(`findmnt -n -o FSTYPE ${at}`)).toBe(filesystem);
          const sum = await a.sh(`head -c 8M /dev/urandom >${at}/data; sync; sha256sum <${at}/data`);
          await volume.expandOnRds(GIB + 256n * MIB);
          expect(await volume.expandOnNode("node-a", GIB + 256n * MIB)).toBeGreaterThanOrEqual(
            GIB + 256n * MIB,
          );
          await volume.down("node-a");
          await volume.up("node-b");
          expect(await world.machine("node-b").sh(`sha256sum <${at}/data`)).toBe(sum);
          await volume.down("node-b");
          await volume.delete();
          for (const name of world.nodeNames) {
            expect(
              await world.machine(name).sh("ls /sys/class/nvme; grep kubelet/ /proc/mounts || true"),
            ).toBe("");
          }
        },
      );
    }

    scenario("block: a live migration with a direct-I/O writer", async (world) => {
      const volume = await LabVolume.create(
        world,
        "image-moving",
        block(Mode.MULTI_NODE_MULTI_WRITER),
        {},
        64n * MIB,
      );
      await volume.up("node-a");
      const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
      await world.until("records", async () => (await writer.acknowledged()) > 200);
      await volume.up("node-b");
      const last = await writer.stop();
      await verifyRecords(world.machine("node-b"), volume.target(), last);
      const moved = await Writer.start(world.machine("node-b"), volume.target(), last + 1, 2);
      await world.until("records of the new node", async () => (await moved.acknowledged()) > last + 200);
      await volume.down("node-a");
      await world.until("more of them", async () => (await moved.acknowledged()) > last + 400);
      await verifyRecords(world.machine("node-b"), volume.target(), await moved.stop());
      await volume.down("node-b");
      await volume.delete();
    });

    scenario(
      "the node's container ends while a volume is mounted, and another goes on with it",
      async (world) => {
        const volume = await LabVolume.create(world, "image-restart", mount(undefined, "ext4"), {}, GIB);
        await volume.up("node-a");
        const a = world.machine("node-a");
        await a.sh(`echo kept >${volume.target()}/file`);
        await a.sh(`kill -9 ${world.services.get("node-a")?.pid}`);
        await world.services.get("node-a")?.ended;
        await world.startNode("node-a");
        expect(await a.sh(`cat ${volume.target()}/file`)).toBe("kept");
        await volume.down("node-a");
        expect(await a.sh("grep kubelet/ /proc/mounts || true")).toBe("");
        await volume.delete();
      },
    );

    scenario(
      "kubelet's directory without Bidirectional propagation: nothing is staged that would land on the node's own disk",
      async (world) => {
        const volume = await LabVolume.create(world, "image-private", mount(undefined, "ext4"), {}, GIB);
        const b = world.machine("node-b");
        await volume.attach("node-b");
        await b.sh(`nsenter -t $(pidof -s rds-csi) -m /usr/bin/mount --make-private /var/lib/kubelet`);
        await expect(volume.stage("node-b")).rejects.toThrow("mountPropagation: Bidirectional");
        expect(await b.sh("ls /sys/class/nvme; grep kubelet/ /proc/mounts || true")).toBe("");
        await b.sh(`kill -9 ${world.services.get("node-b")?.pid}`);
        await world.services.get("node-b")?.ended;
        await world.startNode("node-b");
        await volume.stage("node-b");
        expect(await b.sh("grep -c kubelet/ /proc/mounts")).toBe("1");
        await volume.down("node-b");
        await volume.delete();
      },
    );
  },
);
