import type { EndedMigration } from "../domain/record/volume-record.ts";
import { ifAllowed } from "../kubernetes/api-error.ts";
import type { ClusterReader, MigrationView } from "../kubernetes/port.ts";
import { readVmi, vmiUsing } from "./claim-users.ts";
import type { OutcomeSource } from "./migration-reporter.ts";

/** KubeVirt has this long to answer before the nodes decide. Milliseconds. */
const LIMIT_MS = 5_000;

type Outcome = "success" | "failed" | undefined;

/** How a migration ended: by the node that runs the guest now, else by the VirtualMachineInstanceMigration. */
export function kubevirtOutcome(cluster: ClusterReader): OutcomeSource {
  return async (volume, ended) => {
    const signal = AbortSignal.timeout(LIMIT_MS);
    const named = await vmiUsing(cluster, volume, ended.stayed, signal);
    if (named === undefined) return undefined;
    const vmi = await readVmi(cluster, named, signal);
    const byNode = vmi === "absent" ? undefined : outcomeByNode(ended, vmi?.node);
    if (byNode !== undefined) return byNode;
    const migrations = await ifAllowed(() => cluster.migrationsOf(named.namespace, named.name, signal));
    return outcomeOf(ended, migrations ?? []);
  };
}

/**
 * At the end of a successful migration KubeVirt names the target as the node of the VirtualMachineInstance. undefined if the guest runs on
 * neither side: it has migrated again since.
 * @param guest where the guest runs
 */
export function outcomeByNode({ moved, stayed }: EndedMigration, guest: string | undefined): Outcome {
  if (guest === undefined || guest !== stayed) return undefined;
  return moved ? "success" : "failed";
}

/**
 * The result of the VirtualMachineInstanceMigrations that were this migration: their target pod got ready on the second node, while that
 * node had the volume. A migration that queued has no target and does not count. Several tries on one node are one migration to the
 * driver: one success is enough. If both nodes left, any target was the second node, as a third one gets no volume.
 */
export function outcomeOf(
  { since, at, moved, stayed }: EndedMigration,
  migrations: readonly MigrationView[],
): Outcome {
  const isTarget = (node: string) => stayed === undefined || (node === stayed) === moved;
  const these = migrations.filter(
    ({ targetNode, started, created, completed }) =>
      targetNode !== undefined &&
      isTarget(targetNode) &&
      (started ?? created) / 1_000 <= at &&
      (completed === undefined || completed / 1_000 >= since),
  );
  if (these.some(({ phase }) => phase === "Succeeded")) return "success";
  return these.length > 0 && these.every(({ phase }) => phase === "Failed") ? "failed" : undefined;
}
