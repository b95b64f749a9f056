import { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { BLOCK, MIB, type Stack, type StackOptions, startStack } from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { grpcCodeName } from "../domain/errors/grpc-code.ts";
import type { PublishContext } from "../domain/publish-context.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { silentLogger } from "../observability/log.ts";
import { kubernetesEvidence } from "./kubernetes-evidence.ts";
import { Reconciler } from "./reconciler.ts";

export const ID = volumeIdFromName("vm-disk");
export const RWX: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
/** Seconds since the epoch at which a stage begins. */
export const START = 1_700_000_000;

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
    this.#reconciler = new Reconciler({
      rds: on.rds,
      attachments: on.attachments,
      reporter: on.reporter,
      metrics: on.metrics,
      clock,
      logger: silentLogger,
      cluster: undefined,
      events: undefined,
    });
  }

  static async start(
    options: StackOptions & { readonly parameters?: Record<string, string> } = {},
  ): Promise<Stage> {
    const { parameters = {}, ...stackOptions } = options;
    const time = { seconds: 0 };
    const clock: Clock = { ...systemClock, now: () => (START + time.seconds) * 1_000 };
    const cluster = new TestCluster();
    for (const node of ["node-a", "node-b", "node-c"]) cluster.nodeNames.add(node);
    cluster.addVolume(ID);
    cluster.addLauncher("launcher-source", "vm1", "node-a");
    cluster.addLauncher("launcher-target", "vm1", "node-b");
    cluster.addMachine("vm1", undefined);
    cluster.addMigration("vm1");
    const on = await startStack({ evidence: kubernetesEvidence(cluster), clock, ...stackOptions });
    await on.volumes.create({
      name: "vm-disk",
      range: { requiredBytes: MIB, limitBytes: 0n },
      capabilities: [RWX],
      parameters,
      mutableParameters: {},
      contentSource: undefined,
      signal: on.signal,
    });
    return new Stage(cluster, on, clock, time);
  }

  /** Seconds since the start. */
  at(seconds: number): void {
    this.#time.seconds = seconds;
  }

  publish(nodeId: string, capability = RWX): Promise<PublishContext> {
    const signal = AbortSignal.timeout(20_000);
    return this.on.attachments.publish({ volumeId: ID, nodeId, capability, readonly: false, signal });
  }

  /** What publishing answers: `OK`, or code and message. */
  async answer(nodeId: string, capability = RWX): Promise<string> {
    try {
      await this.publish(nodeId, capability);
      return "OK";
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      return `${grpcCodeName(error.code)}: ${error.summary}`;
    }
  }

  async unpublish(nodeId: string): Promise<void> {
    await this.on.attachments.unpublish(ID, nodeId, AbortSignal.timeout(20_000));
    await this.on.attachments.settled();
  }

  /** One look of the reconcile loop, at deadlines and exports. @returns milliseconds until the next */
  reconcile(): Promise<number> {
    return this.#reconciler.tick(AbortSignal.timeout(20_000));
  }

  async nodes(): Promise<readonly string[]> {
    return (await this.on.volumes.getVolume(ID, AbortSignal.timeout(20_000))).nodes;
  }

  /** The running migration as the record has it: when it began and how long it may take, in seconds. */
  migration(): string | undefined {
    return /;m=(\d+,\d+),/.exec(this.on.simulator.device.disks[0]?.comment ?? "")?.[1];
  }

  reasons(): string[] {
    return this.on.posted.map(({ reason }) => reason);
  }

  /** Deletes a pod. */
  deletePod(name: string): void {
    this.cluster.pods.splice(
      this.cluster.pods.findIndex((pod) => pod.name === name),
      1,
    );
  }
}
