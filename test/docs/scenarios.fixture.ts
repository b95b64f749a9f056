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
    return (await this.stack.volumes.getVolume(VOLUME, AbortSignal.timeout(20_000))).nodes;
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
