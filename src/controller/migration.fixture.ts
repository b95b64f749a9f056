import { afterEach } from "bun:test";
import { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { createVolume, outcome, reconcilerOf } from "../../test/support/own-stack.ts";
import {
  BLOCK,
  type ControllerStack,
  type Stack,
  type StackOptions,
  startStack,
} from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import type { PublishContext } from "../domain/publish-context.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { kubernetesEvidence } from "./kubernetes-evidence.ts";
import type { Reconciler } from "./reconciler.ts";

export const ID = volumeIdFromName("vm-disk");
export const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
/** Seconds since the epoch at which a stage begins. */
export const START = 1_700_000_000;

type MigrationOptions = StackOptions & { readonly parameters?: Record<string, string> };

/** A cluster with one VirtualMachineInstance on node-a that starts to migrate to node-b, and the driver in front of it. */
export async function startMigration(
  clock: Clock,
  { parameters = {}, ...options }: MigrationOptions = {},
): Promise<{ on: Stack; cluster: TestCluster }> {
  const cluster = new TestCluster();
  for (const node of ["node-a", "node-b", "node-c"]) cluster.nodeNames.add(node);
  cluster.addVolume(ID);
  cluster.addLauncher("launcher-source", "vm1", "node-a");
  cluster.addLauncher("launcher-target", "vm1", "node-b");
  cluster.addMachine("vm1", undefined);
  cluster.addMigration("vm1");
  const on = await startStack({ evidence: kubernetesEvidence(cluster), clock, ...options });
  await createVolume(on, { name: "vm-disk", capabilities: [RWX], parameters });
  return { on, cluster };
}

export const publish = (on: Pick<ControllerStack, "attachments">, nodeId: string, capability = RWX) =>
  on.attachments.publish({
    volumeId: ID,
    nodeId,
    capability,
    readonly: false,
    signal: AbortSignal.timeout(20_000),
  });

export async function unpublish(on: Pick<ControllerStack, "attachments">, nodeId: string): Promise<void> {
  await on.attachments.unpublish(ID, nodeId, AbortSignal.timeout(20_000));
  await on.attachments.settled();
}

export const nodesOf = async (on: ControllerStack, id: VolumeId = ID): Promise<readonly string[]> =>
  (await on.volumes.getVolume(id, AbortSignal.timeout(20_000))).nodes;

/** The reasons of the events that a controller posted. */
export const reasons = (on: ControllerStack) => on.posted.map((event) => event.reason);

/** A sample of a controller, 0 if there is none. */
export async function value(
  on: ControllerStack,
  name: string,
  labels: Record<string, string> = {},
): Promise<number> {
  await on.refreshCounts();
  const metric = await on.registry.getSingleMetric(name)?.get();
  const found = metric?.values.find((each) =>
    Object.entries(labels).every(([key, label]) => each.labels[key] === label),
  );
  return found?.value ?? 0;
}
/** How many migrations have ended, by result. */
export const results = async (on: ControllerStack) =>
  Object.fromEntries(
    await Promise.all(
      ["success", "failed", "timeout"].map(async (result) => [
        result,
        await value(on, "rds_csi_migration_migrations_total", { result }),
      ]),
    ),
  );

/** Seconds since START on the clock of `useMigrations`; a test's own. */
export const time = { seconds: 0 };
export const clock: Clock = { ...systemClock, now: () => (START + time.seconds) * 1_000 };

/** One look of the reconcile loop. @returns milliseconds until the next */
export const reconcile = (on: ControllerStack, cluster?: TestCluster): Promise<number> =>
  reconcilerOf(on, { clock, cluster }).tick(AbortSignal.timeout(20_000));

/** Gives the tests of a file a way to start a migration on `clock`; it ends after its test. */
export function useMigrations(): (options?: MigrationOptions) => ReturnType<typeof startMigration> {
  let stack: Stack | undefined;
  afterEach(async () => {
    await stack?.close();
    stack = undefined;
    time.seconds = 0;
  });
  return async (options) => {
    const started = await startMigration(clock, options);
    stack = started.on;
    return started;
  };
}

/** The machine vm1 on node-a, about to migrate to node-b, a simulated RDS, and the driver between them. */
export class Stage {
  readonly cluster: TestCluster;
  readonly on: Stack;
  readonly #time: { seconds: number };
  readonly #reconciler: Reconciler;

  private constructor(cluster: TestCluster, on: Stack, clock: Clock, time: { seconds: number }) {
    this.cluster = cluster;
    this.on = on;
    this.#time = time;
    this.#reconciler = reconcilerOf(on, { clock, events: undefined });
  }

  static async start(options: MigrationOptions = {}): Promise<Stage> {
    const time = { seconds: 0 };
    const clock: Clock = { ...systemClock, now: () => (START + time.seconds) * 1_000 };
    const { on, cluster } = await startMigration(clock, options);
    return new Stage(cluster, on, clock, time);
  }

  /** Seconds since the start. */
  at(seconds: number): void {
    this.#time.seconds = seconds;
  }

  publish(nodeId: string, capability = RWX): Promise<PublishContext> {
    return publish(this.on, nodeId, capability);
  }

  /** What publishing answers: `OK`, or code and message. */
  answer(nodeId: string, capability = RWX): Promise<string> {
    return outcome(this.publish(nodeId, capability));
  }

  unpublish(nodeId: string): Promise<void> {
    return unpublish(this.on, nodeId);
  }

  /** One look of the reconcile loop, at deadlines and exports. @returns milliseconds until the next */
  reconcile(): Promise<number> {
    return this.#reconciler.tick(AbortSignal.timeout(20_000));
  }

  nodes(): Promise<readonly string[]> {
    return nodesOf(this.on);
  }

  /** The running migration as the record has it: when it began and how long it may take, in seconds. */
  migration(): string | undefined {
    return /;m=(\d+,\d+),/.exec(this.on.simulator.device.disks[0]?.comment ?? "")?.[1];
  }

  reasons(): string[] {
    return reasons(this.on);
  }

  /** Deletes a pod. */
  deletePod(name: string): void {
    this.cluster.pods.splice(
      this.cluster.pods.findIndex((pod) => pod.name === name),
      1,
    );
  }
}
