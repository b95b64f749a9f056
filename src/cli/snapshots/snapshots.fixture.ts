import { join } from "node:path";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { persistentVolume, startWorld, type World } from "../../../test/support/kubernetes/world.ts";
import { createVolume } from "../../../test/support/own-stack.ts";
import { type Stack, startStack } from "../../../test/support/rds-stack.ts";
import type { SnapshotHandle } from "../../domain/snapshot-id.ts";
import type { VolumeId } from "../../domain/volume-id.ts";

/** An RDS and a cluster with the volume of the claim `vms/disk`. */
export interface SnapshotStand {
  readonly stack: Stack;
  readonly world: World;
  readonly volume: VolumeId;
  /** Options of the RDS. */
  readonly flags: Record<string, string[]>;
  /** Options of the cluster. */
  readonly cluster: Record<string, string[]>;
  /** Cuts a snapshot of the volume. */
  cut(name: string): Promise<SnapshotHandle>;
  close(): Promise<void>;
}

export async function startSnapshotStand(): Promise<SnapshotStand> {
  const stack = await startStack({ clusterId: CLUSTER_UID });
  const world = await startWorld();
  const { id: volume } = await createVolume(stack, {
    parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": "disk" },
  });
  world.api.apply(
    persistentVolume("pvc-1", volume, { claim: { namespace: "vms", name: "disk", uid: "uid-disk" } }),
  );
  const { host, port, hostKeyFingerprints } = stack.simulator;
  return {
    stack,
    world,
    volume,
    flags: {
      "rds-address": [`${host}:${port}`],
      "rds-key-file": [stack.keyFile],
      "rds-host-key": [...hostKeyFingerprints],
      "cluster-id": [CLUSTER_UID],
    },
    cluster: {
      orchestrator: ["kubernetes"],
      kubeconfig: [await world.api.writeKubeconfig(join(world.dir, "admin"))],
    },
    cut: async (name) => {
      const { id } = await stack.snapshots.create({
        ...{ name, source: volume, parameters: {}, signal: stack.signal },
      });
      return id;
    },
    close: async () => {
      await world.stop();
      await stack.close();
    },
  };
}
