import type { ClusterReader, MigrationConfigView, VmiView } from "../kubernetes/port.ts";
import { migrationLimit } from "../migration/time-limit.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { machineUsing, readMachine } from "./claim-users.ts";
import type { AllowedTime, MigrationWindow } from "./evidence.ts";

const UNSET: MigrationConfigView = {
  completionTimeoutPerGiB: undefined,
  allowPostCopy: false,
  allowWorkloadDisruption: false,
};

/**
 * How long KubeVirt lets the machine that uses a volume migrate: by what it applies to this very migration, else by its settings for the
 * whole cluster. Errors as ClusterReader's.
 */
export async function allowedTime(
  cluster: ClusterReader,
  volume: RdsVolume,
  window: MigrationWindow,
  signal: AbortSignal,
): Promise<AllowedTime> {
  const unknown = (reason: string): AllowedTime => ({ kind: "unknown", reason, passing: false });
  const named = await machineUsing(cluster, volume, window.target, signal);
  if (named === undefined) return unknown("no pod of a virtual machine uses the claim");
  const name = `virtual machine ${named.namespace}/${named.name}`;
  const machine = await readMachine(cluster, named, signal);
  if (machine === undefined) return unknown(`${name} may not be read`);
  if (machine === "absent") return unknown(`${name} does not exist`);
  const config = appliedConfig(machine, window) ?? (await cluster.migrationConfig(signal)) ?? UNSET;
  const { memoryBytes, migratedVolumes } = machine;
  const volumeBytes = migratedVolumes.reduce((sum, { bytes = 0n }) => sum + bytes, 0n);
  const seconds = migrationLimit({ memoryBytes: memoryBytes ?? 0n, volumeBytes }, config);
  return memoryBytes === undefined && seconds !== 0
    ? unknown(`the memory of ${name} is not known`)
    : { kind: "known", seconds };
}

/**
 * What KubeVirt applies to this migration. It writes that when the target pod is ready, which is after the second attachment; until then
 * there is nothing, or what the previous migration left: one to another node, or one that had ended before.
 */
function appliedConfig(
  { migrationState }: VmiView,
  { target, since }: MigrationWindow,
): MigrationConfigView | undefined {
  if (migrationState?.targetNode !== target) return undefined;
  const { ended, configuration, mode } = migrationState;
  if (configuration === undefined || (ended !== undefined && ended / 1_000 < since)) return undefined;
  return {
    ...configuration,
    allowPostCopy: configuration.allowPostCopy || mode === "PostCopy",
    // Paused: the time has passed once, and KubeVirt lets it pass once more.
    allowWorkloadDisruption: configuration.allowWorkloadDisruption || mode === "Paused",
  };
}
