import { entry, REPEATED } from "./entry.ts";

/** Failures of full copies (StorageClass parameter cloneMode: copy). */
export const copyErrors = {
  copyRunning: entry.ABORTED<{ volume: string; source: string; progress: string }>(
    (p) => `volume ${p.volume} is being copied from volume ${p.source}: ${p.progress}`,
    "Nothing to do.",
    "The copy goes on, and the repeated call tells how far it is.",
  ),
  copySourceAttached: entry.FAILED_PRECONDITION<{ source: string; by: string }>(
    (p) => `volume ${p.source} cannot be copied while it is in use: ${p.by}`,
    "Stop the workloads that use the source, and keep it detached until the copy is done. A source that is attached in between is copied anew from the beginning. A snapshot of a volume with the layout subvolume can be cloned at any time.",
    REPEATED,
  ),
  copyNotConfirmed: entry.FAILED_PRECONDITION<{ volume: string; detail: string }>(
    (p) => `the copy into volume ${p.volume} is not proven, and not used: ${p.detail}`,
    "This RouterOS version does not say when a copy has ended. Copy the data by a pod that mounts both volumes.",
    REPEATED,
  ),
  volumeConverting: entry.FAILED_PRECONDITION<{ volume: string }>(
    (p) => `volume ${p.volume} is being moved into a subvolume`,
    "Wait until `rds-csi volumes convert` is done. If it was interrupted, run it again: `rds-csi volumes convert NAME --yes` goes on where it ended.",
    REPEATED,
  ),
  conversionRefused: entry.FAILED_PRECONDITION<{ volume: string; reason: string }>(
    (p) => `volume ${p.volume} cannot be moved into a subvolume: ${p.reason}`,
    "Detach the volume if it is attached: stop the workloads that use it. Only Btrfs pools have subvolumes.",
  ),
  conversionRoom: entry.RESOURCE_EXHAUSTED<{ volume: string; reason: string }>(
    (p) => `volume ${p.volume} is not moved into a subvolume yet: ${p.reason}`,
    "The volume is as it was, with all of its data. Free space in the pool, or extend it; then run the same command again, and it goes on. Or give the conversion up by `rds-csi volumes convert NAME --abort --yes`: the copy goes, and the volume can be used.",
  ),
  volumeUnfinished: entry.FAILED_PRECONDITION<{ volume: string; progress: string }>(
    (p) => `volume ${p.volume} is unfinished: it is being copied, ${p.progress}`,
    "Wait until the copy is done; `rds-csi volumes show` tells how far it is.",
    REPEATED,
  ),
} as const;
