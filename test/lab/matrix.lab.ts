import { expect } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import { block, MIB, Mode, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume, QUICK } from "./volume.ts";
import { RDS_DIRECTORY, type World } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

// Lines of the fault matrix (docs/testing.md) that no other file of the lab covers.

const RWX = block(Mode.MULTI_NODE_MULTI_WRITER);
/** As QUICK, and the kernel gives up after a few seconds. */
const GIVES_UP = { ...QUICK, ctrlLossTmo: "4" };

/** What the kernel of a node says about its connections to a volume, e.g. `hostnqn`. */
async function attribute(world: World, node: string, volume: LabVolume, name: string): Promise<string> {
  const script = `for c in /sys/class/nvme/nvme*; do grep -q ':${volume.id}' $c/subsysnqn && cat $c/${name}; done`;
  return world.machine(node).sh(script);
}

async function stopNode(world: World, name: string): Promise<void> {
  const service = world.services.get(name);
  await world.machine(name).sh(`kill -9 ${service?.pid}`);
  await service?.ended;
}

/** As kubelet and the sidecars do: the same call until it succeeds, or fails for good. @returns its failures on the way */
async function repeated(world: World, what: string, call: () => Promise<unknown>, limitMs = 60_000) {
  const codes: number[] = [];
  let last: unknown;
  await world
    .until(
      what,
      async () => {
        try {
          await call();
          return true;
        } catch (error) {
          last = error;
          codes.push((error as { code?: number }).code ?? -1);
          return false;
        }
      },
      limitMs,
    )
    .catch((error: unknown) => {
      throw new Error(`${error}: ${last}`);
    });
  return codes;
}

lab("two nodes that could be taken for one", {}, (scenario) => {
  scenario("clones of one machine, with the same /etc/nvme: each connects as itself", async (world) => {
    const uuid = "01234567-89ab-4def-8123-456789abcdef";
    for (const name of world.nodeNames) {
      await world
        .machine(name)
        .sh(
          `echo nqn.2014-08.org.nvmexpress:uuid:${uuid} >/etc/nvme/hostnqn; echo ${uuid} >/etc/nvme/hostid`,
        );
    }
    const volume = await LabVolume.create(world, "clones", RWX, {}, 64n * MIB);
    const seen: string[] = [];
    for (const name of world.nodeNames) {
      await volume.up(name);
      const hostNqn = await attribute(world, name, volume, "hostnqn");
      expect(hostNqn).toBe(volume.context(name).hostNqn ?? "");
      seen.push(hostNqn, await attribute(world, name, volume, "hostid"));
    }
    expect(new Set(seen).size).toBe(4);
    expect(seen.join()).not.toContain(uuid);
    for (const name of world.nodeNames) await volume.down(name);
    await volume.delete();
  });

  for (const [mistake, [flags, nodeId]] of [
    ["another node's --node-id", [[], "node-a"]],
    ["another --cluster-id", [["--cluster-id", "elsewhere"], "node-b"]],
  ] as const) {
    scenario(`a node with ${mistake} is refused the volume of the node that it is`, async (world) => {
      const volume = await LabVolume.create(world, `mistaken ${mistake}`, RWX, {}, 64n * MIB);
      await volume.up("node-a");
      await volume.attach("node-b");
      await stopNode(world, "node-b");
      await world.startNode("node-b", flags, nodeId);
      for (const call of [() => volume.stage("node-b"), () => volume.publish("node-b")]) {
        await expect(call()).rejects.toMatchObject({
          code: 9,
          details: expect.stringContaining("host NQN"),
        });
      }
      expect(await volume.states("node-b")).toEqual([]);
      expect(await volume.states("node-a")).toEqual(["live"]);
      await stopNode(world, "node-b");
      await world.startNode("node-b");
      await volume.stage("node-b");
      await volume.publish("node-b");
      for (const name of world.nodeNames) await volume.down(name);
      await volume.delete();
    });
  }
});

/** Not in a container: the slow mount is a script, and the image has no shell. */
const SLOW_MOUNT = { nodes: ["node-a"], containers: false };
lab("kubelet restarts in the middle of NodePublishVolume", SLOW_MOUNT, (scenario) => {
  for (const [kind, capability] of [
    ["ext4", mount()],
    ["block", block()],
  ] as const) {
    for (const when of ["before", "after"] as const) {
      scenario(
        `${kind}: the call ends ${when} its mount; the repeated one leaves one mount`,
        async (world) => {
          const a = world.machine("node-a");
          const volume = await LabVolume.create(world, `restart-${kind}-${when}`, capability, {}, 64n * MIB);
          await volume.attach("node-a");
          await volume.stage("node-a");
          // The node looks for programs here first.
          const pause = "touch /run/mounting; sleep 3";
          await a.sh(`mount -t tmpfs tools /usr/local/sbin && cat >/usr/local/sbin/mount <<'END'
#!/bin/dash
${when === "before" ? `${pause}\nexec /bin/mount "$@"` : `/bin/mount "$@"; code=$?\n${pause}\nexit $code`}
END
chmod +x /usr/local/sbin/mount`);
          const cut = volume.publish("node-a", "pod", 1_500);
          cut.catch(() => {});
          await world.until("the mount", async () => (await a.run("test -e /run/mounting")).code === 0);
          await expect(cut).rejects.toMatchObject({ code: 4 });
          await a.sh("rm -f /run/mounting; umount /usr/local/sbin");
          await repeated(world, "the repeated publish", () => volume.publish("node-a"));
          await volume.publish("node-a");
          expect(await a.sh(`grep -c ' ${volume.target()} ' /proc/self/mountinfo`)).toBe("1");
          await volume.unpublish("node-a");
          expect((await a.run(`grep ' ${volume.target()} ' /proc/self/mountinfo`)).stdout).toBe("");
          await volume.unstage("node-a");
          await volume.detach("node-a");
          await volume.delete();
        },
      );
    }
  }
});

lab("a node is out of service: force-detached without unstage, and it returns", {}, (scenario) => {
  scenario(
    "it was powered off: it cleans up, is refused while another has the volume, then has both's data",
    async (world) => {
      const volume = await LabVolume.create(world, "dead", mount(), {}, 256n * MIB);
      await volume.up("node-a");
      await world.machine("node-a").sh(`echo a >${volume.target()}/a; sync`);
      await world.machine("node-a").powerOff();
      await volume.detach("node-a");
      await volume.up("node-b");
      await world.machine("node-b").sh(`cat ${volume.target()}/a && echo b >${volume.target()}/b; sync`);
      await world.boot("node-a");
      await world.machine("node-a").sh(`mkdir -p ${volume.staging} ${volume.target()}`);
      await world.startNode("node-a");
      // kubelet finds the directories of pods that are no more.
      await volume.unpublish("node-a");
      await volume.unstage("node-a");
      await expect(volume.attach("node-a")).rejects.toMatchObject({ code: 9 });
      // What it was told before is worth nothing.
      await expect(volume.stage("node-a", 20_000)).rejects.toMatchObject({ code: expect.any(Number) });
      expect(await volume.states("node-a")).toEqual([]);
      await volume.down("node-b");
      await volume.up("node-a");
      expect(await world.machine("node-a").sh(`cat ${volume.target()}/a ${volume.target()}/b`)).toBe("a\nb");
      await volume.down("node-a");
      await volume.delete();
    },
  );

  for (const kind of ["ext4", "block"] as const) {
    scenario(
      `${kind}: it was only cut off, with writes under way: they never reach the disk, it lets go, and takes the volume again`,
      async (world) => {
        const a = world.machine("node-a");
        const b = world.machine("node-b");
        const volume = await LabVolume.create(
          world,
          `cut-off-${kind}`,
          kind === "ext4" ? mount() : block(),
          GIVES_UP,
          256n * MIB,
        );
        const file = `${volume.target()}/f`;
        await volume.up("node-a");
        let writer: Writer | undefined;
        if (kind === "block") {
          writer = await Writer.start(a, volume.target(), 1, 1);
          await world.until("600 records", async () => ((await writer?.acknowledged()) ?? 0) > 600);
        } else {
          await a.sh(`echo old >${file}; sync`);
        }
        world.cable("node-a").up = false;
        if (kind === "ext4") await a.sh(`echo late >${file}`);
        await volume.detach("node-a");
        await volume.up("node-b");
        if (kind === "ext4") await b.sh(`cat ${file} && echo new >${file}; sync`);
        const fresh = kind === "block" ? await Writer.start(b, volume.target(), 1_000_000, 2) : undefined;
        if (fresh !== undefined) {
          await world.until("600 records of node-b", async () => (await fresh.acknowledged()) > 1_000_600);
        }
        world.cable("node-a").up = true;
        // The pod is gone; kubelet unpublishes and unstages until it is done.
        await writer?.ended;
        await repeated(world, "unpublish", () => volume.unpublish("node-a"));
        await repeated(world, "unstage", () => volume.unstage("node-a"));
        expect(await volume.states("node-a")).toEqual([]);
        expect((await a.run(`grep ${volume.id} /proc/mounts`)).stdout).toBe("");
        await expect(volume.attach("node-a")).rejects.toMatchObject({ code: 9 });
        expect(await volume.states("node-b")).toEqual(["live"]);
        if (fresh !== undefined) await verifyRecords(b, volume.target(), await fresh.stop(), 2);
        await volume.down("node-b");
        await volume.up("node-a");
        if (kind === "ext4") expect(await a.sh(`cat ${file}`)).toBe("new");
        await volume.down("node-a");
        await volume.delete();
      },
    );
  }

  scenario(
    "without ctrl-loss-tmo it holds on to unwritten data until a person disconnects it, and harms nobody",
    async (world) => {
      const [a, b] = [world.machine("node-a"), world.machine("node-b")];
      const volume = await LabVolume.create(world, "holds-on", mount(), QUICK, 256n * MIB);
      const file = `${volume.target()}/f`;
      await volume.up("node-a");
      await a.sh(`echo old >${file}; sync`);
      world.cable("node-a").up = false;
      await a.sh(`echo late >${file}`);
      await volume.detach("node-a");
      await volume.up("node-b");
      await b.sh(`echo new >${file}; sync`);
      await world.until(
        "the link is seen lost",
        async () => (await volume.states("node-a")).join() === "connecting",
      );
      world.cable("node-a").up = true;
      await volume.unpublish("node-a");
      await expect(volume.unstage("node-a", 10_000)).rejects.toMatchObject({ code: 4 });
      const well = await LabVolume.create(world, "beside", mount(), {}, 256n * MIB);
      await well.up("node-a");
      await well.down("node-a");
      await well.delete();
      // What is left besides a reboot.
      await a.sh(`nvme disconnect -n ${volume.context("node-a").nqn}`);
      await repeated(world, "unstage", () => volume.unstage("node-a"));
      expect((await a.run(`grep ${volume.id} /proc/mounts`)).stdout).toBe("");
      expect(await b.sh(`cat ${file}`)).toBe("new");
      await volume.down("node-b");
      await volume.delete();
    },
  );
});

lab("the wall clock jumps", {}, (scenario) => {
  for (const jump of ["+2 days", "-2 days"] as const) {
    scenario(
      `${jump} on controller and node: I/O, a running stage, a migration and its end go on`,
      async (world) => {
        const [a, control] = [world.machine("node-a"), world.machine("control")];
        const name = jump.replaceAll(" ", "");
        const moving = await LabVolume.create(world, `moving ${name}`, RWX, QUICK, 64n * MIB);
        await moving.up("node-a");
        const writer = await Writer.start(a, moving.target(), 1, 1);
        await world.until("600 records", async () => (await writer.acknowledged()) > 600);
        await moving.up("node-b");
        const files = await LabVolume.create(world, `files ${name}`, mount(), QUICK, 256n * MIB);
        await files.up("node-a");
        world.cable("node-a").up = false;
        await world.until(
          "the link is seen lost",
          async () => (await files.states("node-a")).join() === "connecting",
        );
        const before = await writer.acknowledged();
        // Waits for the connection, with a limit.
        const staging = files.stage("node-a");
        staging.catch(() => {});
        await delay(1_000);
        for (const machine of [a, control]) await machine.sh(`date -s "$(date -d '${jump}' -R)" >/dev/null`);
        await delay(1_000);
        world.cable("node-a").up = true;
        await staging;
        await files.publish("node-a");
        await world.until("the writer goes on", async () => (await writer.acknowledged()) > before + 600);
        expect(await moving.states("node-a")).toEqual(["live"]);
        expect(await moving.states("node-b")).toEqual(["live"]);
        // The same answers for both, so nobody was detached.
        for (const node of world.nodeNames) {
          const told = moving.context(node);
          expect(await moving.attach(node)).toEqual(told);
        }
        const last = await writer.stop();
        await verifyRecords(world.machine("node-b"), moving.target(), last, 1);
        await moving.down("node-a");
        await moving.down("node-b");
        await files.down("node-a");
        for (const volume of [moving, files]) await volume.delete();
      },
    );
  }
});

lab("a control link that is slower than the sidecar waits", { nodes: ["node-a"] }, (scenario) => {
  scenario(
    "CreateVolume, ControllerPublishVolume and ControllerUnpublishVolume outlive their callers: one volume, one epoch",
    async (world) => {
      const { controller } = world;
      world.cable("control").delayMs = 150;
      // One command fits into what the sidecar waits, two do not.
      await controller.listVolumes({});
      let fastest = Number.POSITIVE_INFINITY;
      // A busy host may have been slow once.
      for (let turn = 0; turn < 5; turn++) {
        const begun = performance.now();
        await controller.listVolumes({});
        fastest = Math.min(fastest, performance.now() - begun);
      }
      const slow = Math.round(1.8 * fastest);
      const request = {
        name: "slow",
        capacityRange: { requiredBytes: 64n * MIB },
        volumeCapabilities: [block()],
      };
      let volumeId = "";
      const created = await repeated(world, "CreateVolume", async () => {
        const { volume } = await controller.createVolume(request, { deadlineMs: slow });
        volumeId = volume?.volumeId ?? "";
      });
      let nqn = "";
      const publish = async () => {
        const call = { volumeId, nodeId: "node-a", volumeCapability: block() };
        nqn = (await controller.controllerPublishVolume(call, { deadlineMs: slow })).publishContext.nqn ?? "";
      };
      await repeated(world, "ControllerPublishVolume", publish);
      expect(nqn).toMatch(new RegExp(`:${volumeId}\\.1-[0-9a-f]{8}$`));
      expect(await world.rds.sh("ls /sys/kernel/config/nvmet/subsystems")).toBe(nqn);
      await repeated(world, "ControllerUnpublishVolume", () =>
        controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" }, { deadlineMs: slow }),
      );
      await controller.deleteVolume({ volumeId });
      expect(await world.rds.sh("ls /sys/kernel/config/nvmet/subsystems")).toBe("");
      expect(await world.rds.sh(`ls ${RDS_DIRECTORY}/files/storage-pool/csi`)).toBe("");
      // It was slow indeed: DEADLINE_EXCEEDED, and a place that is still taken.
      expect(created).toContain(4);
    },
  );
});
