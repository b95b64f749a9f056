import type { TestCluster } from "../support/kubernetes/cluster.ts";
import { BLOCK, BRISK_CLOCK, GIB } from "../support/rds-stack.ts";
import { answer, CLAIM, RWX, UNLIMITED, VOLUME, World } from "./scenarios.fixture.ts";

/** What the driver says in every situation that the pages show. */
export interface Produced {
  /** `Type Reason: message` */
  readonly events: ReadonlySet<string>;
  /** `id CODE: message` */
  readonly errors: ReadonlySet<string>;
}

let everything: Promise<Produced> | undefined;

/** Every event and every refusal; brought about once for all tests of a process. */
export function produced(): Promise<Produced> {
  everything ??= produceEverything();
  return everything;
}

/** Brings about every event and every refusal, each in a world of its own. */
async function produceEverything(): Promise<Produced> {
  const events = new Set<string>();
  const errors = new Set<string>();
  const note = (text: string) => {
    if (text !== "OK") errors.add(text);
  };
  const run = async (
    story: (world: World) => Promise<void>,
    options: Parameters<typeof World.start>[0] = {},
  ): Promise<void> => {
    const world = await World.start(options);
    try {
      await story(world);
      for (const event of world.events()) events.add(event);
    } finally {
      await world.stack.close();
    }
  };
  // A migration that succeeds, a third node while it runs.
  await run(async (world) => {
    await world.publish("node-a");
    await world.publish("node-b");
    note(await answer(world.publish("node-c")));
    note(await answer(world.publish("node-b", RWX, true)));
    world.at(42);
    await world.unpublish("node-a");
  });
  // The target leaves.
  await run(async (world) => {
    await world.publish("node-a");
    await world.publish("node-b");
    world.at(75);
    await world.unpublish("node-b");
  });
  // The deadline passes; it ends well later.
  await run(async (world) => {
    await world.publish("node-a");
    await world.publish("node-b");
    // A third node is refused all the time, for more than a minute before the deadline and after it.
    for (const second of [200, 260]) {
      world.at(second);
      note(await answer(world.publish("node-c")));
    }
    world.at(301);
    await world.reconcile();
    note(await answer(world.publish("node-c")));
    world.at(480);
    await world.unpublish("node-a");
  });
  await run(
    async (world) => {
      world.cluster.config = UNLIMITED;
      await world.publish("node-a");
      await world.publish("node-b");
    },
    { parameters: { migrationTimeoutSeconds: "auto" } },
  );
  // Everything that the guard says.
  for (const change of [
    (cluster: TestCluster) => cluster.addPod("backup", "node-b", CLAIM),
    (cluster: TestCluster) => cluster.addLauncher("virt-launcher-vm2-8hd4s", "vm2", "node-b", CLAIM),
    (cluster: TestCluster) => cluster.pods.splice(0),
    // The pod on the holder is gone, that on the second node is there.
    (cluster: TestCluster) => cluster.pods.splice(0, 1),
    // The other way round.
    (cluster: TestCluster) => cluster.pods.splice(1, 1),
    // The holder's pod is deleted, and never ends if the node is dead; the machine starts anew elsewhere.
    (cluster: TestCluster) => {
      const [source] = cluster.pods.splice(0);
      if (source !== undefined) cluster.pods.push({ ...source, terminating: true });
      cluster.addLauncher("virt-launcher-vm1-7m2xc", "vm1-anew", "node-b", CLAIM);
    },
    (cluster: TestCluster) => cluster.migrations.splice(0),
    (cluster: TestCluster) => cluster.moveMachine("vm1", "node-c"),
    (cluster: TestCluster) => cluster.pvs.splice(0),
    (cluster: TestCluster) => {
      cluster.up = false;
    },
  ]) {
    await run(async (world) => {
      await world.publish("node-a");
      change(world.cluster);
      note(await answer(world.publish("node-b")));
    });
  }
  await run(
    async (world) => {
      world.cluster.addPod("backup", "node-b", CLAIM);
      await world.publish("node-a");
      await world.publish("node-b");
    },
    { parameters: { migrationGuard: "warn" } },
  );
  // Two plain pods.
  await run(async (world) => {
    world.cluster.pods.splice(0);
    world.cluster.addPod("writer-a", "node-a", CLAIM);
    world.cluster.addPod("writer-b", "node-b", CLAIM);
    await world.publish("node-a");
    note(await answer(world.publish("node-b")));
  });
  // A single-node volume, and its holder that disappears.
  for (const fencing of ["epoch", "off"] as const) {
    await run(
      async (world) => {
        await world.publish("node-a", BLOCK);
        note(await answer(world.publish("node-b", BLOCK)));
        world.cluster.nodeNames.delete("node-a");
        await world.publish("node-b", BLOCK);
      },
      { capability: BLOCK, fencing },
    );
  }
  // A filesystem for many.
  await run(async (world) => {
    note(await answer(world.publish("node-a", { ...RWX, accessType: "mount" })));
    note(await answer(world.publish("node-x")));
  });
  // Drift, then a node that is gone.
  await run(async (world) => {
    await world.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": true });
    await world.reconcile(true);
    await world.publish("node-a");
    world.at(61);
    world.cluster.addAttachment(VOLUME, "node-b");
    await world.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": false });
    await world.reconcile(true);
    world.cluster.attachments.splice(0);
    world.cluster.nodeNames.delete("node-a");
    await world.reconcile(true);
  });
  // What reconcile cannot judge, cannot read, and cannot do.
  await run(async (world) => {
    await world.publish("node-a");
    world.at(61);
    world.cluster.pvs.splice(0);
    await world.reconcile(true);
    world.cluster.addVolume(VOLUME, CLAIM);
    const { device } = world.stack.simulator;
    const comment = device.disks.find(({ slot }) => slot === VOLUME)?.comment ?? "";
    await device.setDisk(VOLUME, { comment: "rds1;c=default;t=1" });
    await world.reconcile(true);
    await device.setDisk(VOLUME, { comment });
    world.cluster.nodeExists = async () => {
      throw new Error("no answer");
    };
    await world.reconcile(true);
  });
  // An expansion that nodes see by a re-export; the next one is interrupted while the export is off.
  await run(
    async (world) => {
      const grow = (gib: bigint) =>
        answer(
          world.stack.expansions.expand({
            volumeId: VOLUME,
            range: { requiredBytes: gib * GIB, limitBytes: 0n },
            capability: RWX,
            signal: AbortSignal.timeout(20_000),
          }),
        );
      await world.publish("node-a");
      await grow(2n);
      world.stack.simulator.faults.cutMidway(3, { line: /file-size=/ });
      await grow(3n);
      world.at(60);
      await world.reconcile(true);
    },
    { online: "re-export", simulatorClock: BRISK_CLOCK },
  );
  return { events, errors };
}
