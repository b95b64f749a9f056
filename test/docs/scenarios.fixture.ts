import { kubernetesEvidence } from "../../src/controller/kubernetes-evidence.ts";
import type { Reconciler } from "../../src/controller/reconciler.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { type Clock, systemClock } from "../../src/domain/clock.ts";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { grpcCodeName } from "../../src/domain/errors/grpc-code.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import type { MigrationConfigView } from "../../src/kubernetes/port.ts";
import { TestCluster } from "../support/kubernetes/cluster.ts";
import { createVolume, reconcilerOf } from "../support/own-stack.ts";
import {
  BLOCK,
  BRISK_CLOCK,
  type ControllerStack,
  GIB,
  type Stack,
  type StackOptions,
  startStack,
} from "../support/rds-stack.ts";

/** The volume of the pages' examples: what external-provisioner names it by the claim's UID. */
export const CSI_NAME = "pvc-5b0f2c1e-6f0e-4a53-9d2e-0c4c8e1d7a11";
export const VOLUME = volumeIdFromName(CSI_NAME);
export const CLAIM = "vm1-root";
export const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
/** KubeVirt sets no time limit. */
export const UNLIMITED: MigrationConfigView = {
  completionTimeoutPerGiB: 0,
  allowPostCopy: false,
  allowWorkloadDisruption: false,
};
const START_MS = 1_700_000_000_000;

/** The machine vm1 on node-a with a target launcher on node-b, a simulated RDS, and the driver between them. */
export class World {
  readonly cluster = new TestCluster();
  readonly stack: Stack;
  readonly #time: { seconds: number };
  readonly #reconcilers = new Map<ControllerStack, Reconciler>();
  readonly #clock: Clock;

  private constructor(cluster: TestCluster, stack: Stack, clock: Clock, time: { seconds: number }) {
    this.cluster = cluster;
    this.stack = stack;
    this.#clock = clock;
    this.#time = time;
  }

  static async start(
    options: StackOptions & { parameters?: Record<string, string>; capability?: Capability } = {},
  ): Promise<World> {
    const { parameters = {}, capability = RWX, ...stackOptions } = options;
    const time = { seconds: 0 };
    const clock: Clock = { ...systemClock, now: () => START_MS + time.seconds * 1_000 };
    const cluster = new TestCluster();
    for (const node of ["node-a", "node-b", "node-c"]) cluster.nodeNames.add(node);
    cluster.addVolume(VOLUME, CLAIM);
    cluster.addLauncher("virt-launcher-vm1-kx7wd", "vm1", "node-a", CLAIM);
    cluster.addLauncher("virt-launcher-vm1-q9v2c", "vm1", "node-b", CLAIM);
    cluster.addMachine("vm1", undefined);
    cluster.addMigration("vm1");
    const stack = await startStack({ evidence: kubernetesEvidence(cluster), clock, ...stackOptions });
    const world = new World(cluster, stack, clock, time);
    await createVolume(stack, {
      name: CSI_NAME,
      required: GIB,
      capabilities: [capability],
      parameters,
    });
    return world;
  }

  /** Sets the time, in seconds since the volume was made. */
  at(seconds: number): void {
    this.#time.seconds = seconds;
  }

  publish(nodeId: string, capability = RWX, readonly = false) {
    const signal = AbortSignal.timeout(20_000);
    return this.stack.attachments.publish({ volumeId: VOLUME, nodeId, capability, readonly, signal });
  }

  async unpublish(nodeId: string): Promise<void> {
    await this.stack.attachments.unpublish(VOLUME, nodeId, AbortSignal.timeout(20_000));
    await this.stack.attachments.settled();
  }

  /** One look of the reconcile loop; with the cluster's VolumeAttachments if wanted. */
  async reconcile(withCluster = false): Promise<void> {
    await this.reconciler(withCluster).tick(AbortSignal.timeout(20_000));
    await this.stack.attachments.settled();
  }

  /** The reconcile loop of the controller; made at the first call. */
  reconciler(withCluster: boolean): Reconciler {
    const on = this.stack;
    const reconciler =
      this.#reconcilers.get(on) ??
      reconcilerOf(on, { clock: this.#clock, cluster: withCluster ? this.cluster : undefined });
    this.#reconcilers.set(on, reconciler);
    return reconciler;
  }

  /** Nodes by the record on the RDS. */
  async nodes(): Promise<readonly string[]> {
    return (await this.stack.volumes.require(VOLUME, AbortSignal.timeout(20_000))).nodes;
  }

  /** Events so far, as `Type Reason: message`. */
  events(): string[] {
    return this.stack.posted.map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
  }
}

/** Reasons of the events so far. */
export function reasonsOf(world: World): (string | undefined)[] {
  return world.events().map((event) => event.split(/[ :]/)[1]);
}

/** What a call answers: `OK`, or code, id and message of the error. */
export async function answer(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${error.id} ${grpcCodeName(error.code)}: ${error.summary}`;
  }
}

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
