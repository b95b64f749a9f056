import type { ClusterReader, MigrationConfigView, VmiView } from "../kubernetes/port.ts";
import { migrationLimit } from "../migration/time-limit.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { readVmi, vmiUsing } from "./claim-users.ts";
import type { AllowedTime, MigrationWindow } from "./evidence.ts";

const UNSET: MigrationConfigView = {
  completionTimeoutPerGiB: undefined,
  allowPostCopy: false,
  allowWorkloadDisruption: false,
};

/**
 * The time that KubeVirt allows for a migration of the VirtualMachineInstance that uses a volume: by the configuration of this migration,
 * else by that of the cluster. Errors as ClusterReader's.
 */
export async function allowedTime(
  cluster: ClusterReader,
  volume: RdsVolume,
  window: MigrationWindow,
  signal: AbortSignal,
): Promise<AllowedTime> {
  const unknown = (reason: string): AllowedTime => ({ kind: "unknown", reason, passing: false });
  const named = await vmiUsing(cluster, volume, window.target, signal);
  if (named === undefined) return unknown("no pod of a virtual machine uses the claim");
  const name = `virtual machine ${named.namespace}/${named.name}`;
  const vmi = await readVmi(cluster, named, signal);
  if (vmi === undefined) return unknown(`${name} may not be read`);
  if (vmi === "absent") return unknown(`${name} does not exist`);
  const config = appliedConfig(vmi, window) ?? (await cluster.migrationConfig(signal)) ?? UNSET;
  const { memoryBytes, migratedVolumes } = vmi;
  const volumeBytes = migratedVolumes.reduce((sum, { bytes = 0n }) => sum + bytes, 0n);
  const seconds = migrationLimit({ memoryBytes: memoryBytes ?? 0n, volumeBytes }, config);
  return memoryBytes === undefined && seconds !== 0
    ? unknown(`the memory of ${name} is not known`)
    : { kind: "known", seconds };
}

/**
 * The configuration that KubeVirt applies to this migration. KubeVirt writes it when the target pod is ready, after the second
 * attachment. Until then the state is absent or that of a previous migration, which went to another node or has ended.
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
