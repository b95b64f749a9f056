import { entry, type List, REPEATED } from "./entry.ts";

interface SizeNotSeen {
  readonly volume: string;
  readonly device: string;
  /** Bytes. */
  readonly required: bigint;
  readonly found: bigint;
  readonly seconds: number;
}
const sizeNotSeen = (p: SizeNotSeen): string =>
  `volume ${p.volume} (${p.device}) still shows ${p.found} bytes after ${p.seconds} s of rescanning, ${p.required} bytes are expected`;
const SHOWN_ANEW =
  "This RDS shows hosts a new size only after its export was off: stop the workload until its VolumeAttachment is gone, then start it, so that the volume is attached anew.";

/** Failures of growing volumes and the filesystems on them. */
export const expansionErrors = {
  expansionNeedsDetach: entry.FAILED_PRECONDITION<{ volume: string; nodes: List; reason: string }>(
    (p) =>
      `volume ${p.volume} is attached to ${p.nodes.join(" and ")} and cannot be expanded there: ${p.reason}`,
    "Stop the workload that uses it; once it is detached the call, which is repeated by itself, expands it.",
  ),
  expansionNotSeen: entry.FAILED_PRECONDITION<SizeNotSeen>(
    sizeNotSeen,
    `${SHOWN_ANEW} kubelet calls again only then. For later expansions set --online-expansion re-export (or refuse) on the controller.`,
  ),
  expansionNotSeenYet: entry.UNAVAILABLE<SizeNotSeen>(
    sizeNotSeen,
    `The call is repeated by itself for ten minutes. If it lasts: ${SHOWN_ANEW} For later expansions set --online-expansion re-export (or refuse) on the controller.`,
  ),
  filesystemReadOnly: entry.FAILED_PRECONDITION<{ volume: string; path: string }>(
    (p) => `the filesystem of volume ${p.volume} at ${p.path} is mounted read-only and cannot grow`,
    "It grows when it is next staged writable. If an error made it read-only, look at the kernel log of the node first.",
  ),
  filesystemNotGrown: entry.INTERNAL<{ volume: string; device: string; detail: string }>(
    (p) => `the filesystem of volume ${p.volume} (${p.device}) did not grow: ${p.detail}`,
    "Its data is unharmed; look at the kernel log of the node.",
    REPEATED,
  ),
} as const;
