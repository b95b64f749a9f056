import { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import type { LogLine } from "../../test/support/kubernetes/world.ts";
import { recordingLogger } from "../../test/support/kubernetes/world.ts";
import { createVolume, reconcilerOf } from "../../test/support/own-stack.ts";
import {
  BLOCK,
  type ControllerStack,
  type Stack,
  type StackOptions,
  startStack,
} from "../../test/support/rds-stack.ts";
import type { Clock } from "../domain/clock.ts";
import { systemClock } from "../domain/clock.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { kubernetesEvidence } from "./kubernetes-evidence.ts";
import type { Reconciler, ReconcilerOptions } from "./reconciler.ts";
import { VolumeHealthService } from "./volume-health.ts";

/** A controller on a simulator, with a cluster in memory and a clock that tests move. */
export interface ReconcileLab {
  readonly on: Stack;
  readonly cluster: TestCluster;
  readonly health: VolumeHealthService;
  /** Lets time pass on the controller's clocks. */
  pass(seconds: number): void;
  /** Makes a volume, and by default the PersistentVolume that names it. */
  volume(name: string, over?: { readonly pv?: boolean }): Promise<VolumeId>;
  publish(id: VolumeId, node: string): Promise<unknown>;
  /** A reconcile loop that remembers what it saw, and its log. */
  reconciler(over?: Partial<ReconcilerOptions>): { readonly loop: Reconciler; readonly log: LogLine[] };
  drift(kind: string, on?: ControllerStack): Promise<number | undefined>;
}

/** @param options of the stack */
export async function startReconcileLab(options: StackOptions = {}): Promise<ReconcileLab> {
  let seconds = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => 1_700_000_000_000 + seconds * 1_000,
    monotonic: () => systemClock.monotonic() + seconds * 1_000,
  };
  const cluster = new TestCluster();
  for (const node of ["node-a", "node-b"]) cluster.nodeNames.add(node);
  const on = await startStack({ evidence: kubernetesEvidence(cluster), clock, ...options });
  return {
    on,
    cluster,
    health: new VolumeHealthService({ rds: on.rds, clock, cluster }),
    pass: (more) => {
      seconds += more;
    },
    volume: async (name, { pv = true } = {}) => {
      const { id } = await createVolume(on, {
        name,
        parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": "disk" },
      });
      if (pv) cluster.addVolume(id);
      return id;
    },
    publish: (volumeId, nodeId) =>
      on.attachments.publish({ volumeId, nodeId, capability: BLOCK, readonly: false, signal: on.signal }),
    reconciler: (over = {}) => {
      const log: LogLine[] = [];
      const loop = reconcilerOf(on, {
        clock,
        logger: recordingLogger(log),
        cluster,
        unasked: {
          remove: (volume, signal) => on.volumes.removeUnasked(volume, signal),
          clusterUid: async () => options.clusterId ?? "test",
          names: { volumes: async () => [] },
        },
        ...over,
      });
      return { loop, log };
    },
    drift: async (kind, controller = on) => {
      const metric = await controller.registry.getSingleMetric("rds_csi_attachment_drift")?.get();
      return metric?.values.find(({ labels }) => labels.kind === kind)?.value;
    },
  };
}
