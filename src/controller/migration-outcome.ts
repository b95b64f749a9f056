import type { ClusterReader, MigrationView } from "../kubernetes/port.ts";
import { machineOf } from "./kubernetes-evidence.ts";
import type { OutcomeSource } from "./reporter.ts";

/** KubeVirt has this long to answer before the nodes decide. Milliseconds. */
const LIMIT_MS = 5_000;
/** The migration object is older than the second attachment by what scheduling takes. Seconds. */
const SCHEDULING_SECONDS = 1_200;

/** How a migration ended, from its VirtualMachineInstanceMigration. */
export function kubevirtOutcome(cluster: ClusterReader): OutcomeSource {
  return async (volume, { since }) => {
    const signal = AbortSignal.timeout(LIMIT_MS);
    const machine = await machineOf(cluster, volume, signal);
    if (machine === undefined) return undefined;
    return outcomeOf(await cluster.migrationsOf(machine.namespace, machine.name, signal), since);
  };
}

/**
 * The result of the newest migration that can be the one that began at `since`.
 * @param since seconds since the Unix epoch
 */
export function outcomeOf(
  migrations: readonly MigrationView[],
  since: number,
): "success" | "failed" | undefined {
  const candidates = migrations.filter(
    ({ created, completed }) =>
      created / 1_000 >= since - SCHEDULING_SECONDS &&
      (completed === undefined || completed / 1_000 >= since),
  );
  const newest = candidates.toSorted((a, b) => a.created - b.created).at(-1);
  if (newest?.phase === "Succeeded") return "success";
  return newest?.phase === "Failed" ? "failed" : undefined;
}
