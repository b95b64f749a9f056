/** What an orphan is: a disk item with a record of ours, a file or a subvolume without disk item, or a snapshot. */
export const ORPHAN_KINDS = ["disk", "file", "subvolume", "snapshot"] as const;
export type OrphanKind = (typeof ORPHAN_KINDS)[number];

/**
 * Whether the driver deletes an orphan on a person's word. `named`: only one that the person names, as the proof that it is this
 * cluster's has a gap which only the person can close. `no`: something speaks against it.
 */
export type Deletable = "yes" | "named" | "no";

/** Something of this installation on the RDS that no PersistentVolume and no VolumeSnapshotContent of the cluster names. */
export interface Orphan {
  readonly kind: OrphanKind;
  /** Slot of the volume, or handle of the snapshot. */
  readonly name: string;
  /** Slot of its pool; undefined while the pool is not mounted. */
  readonly pool: string | undefined;
  /** Of the file; of a subvolume and a snapshot that of its directory. Without a leading slash. */
  readonly path: string;
  /** Bytes; undefined: the RDS reports none. Of a snapshot what it may hold at most. */
  readonly sizeBytes: bigint | undefined;
  /** When it was made, or a file was last written; seconds since the Unix epoch. undefined: not known. */
  readonly since: number | undefined;
  /** Why it counts as one. */
  readonly reason: string;
  readonly deletable: Deletable;
  /** Why it is deletable, or is not. */
  readonly why: string;
  /** Of a disk: the comment as read, for compare-and-set. */
  readonly comment: string | undefined;
}

/** Younger ones may belong to a call that is under way. As long as reconcile waits before it removes an unasked volume. Seconds. */
export const ORPHAN_GRACE_SECONDS = 3_600;

/** The same for files: their times are local times, which a change of the clocks moves by an hour. Seconds. */
export const FILE_GRACE_SECONDS = 2 * ORPHAN_GRACE_SECONDS;

/** Tells an orphan from every other one. */
export function orphanKey({ kind, name, path }: Pick<Orphan, "kind" | "name" | "path">): string {
  return `${kind} ${name} ${path}`;
}

/**
 * The verdict about an orphan against which nothing speaks, or these things.
 * @param against in the order of weight
 * @param gaps why only a person can say that it is this cluster's
 * @param proof why it is this cluster's
 */
export function verdict(
  against: readonly string[],
  gaps: readonly string[],
  proof: string,
): Pick<Orphan, "deletable" | "why"> {
  if (against.length > 0) return { deletable: "no", why: against.join("; ") };
  if (gaps.length > 0) return { deletable: "named", why: gaps.join("; ") };
  return { deletable: "yes", why: proof };
}

/** Why the age of something speaks against its deletion: it is young, or nobody knows. @param seconds undefined: not known */
export function tooYoung(seconds: number | undefined, grace: number): string[] {
  if (seconds === undefined) return ["its age is not known"];
  if (seconds < -grace) return ["its time is in the future, so its age is not known"];
  return seconds < grace ? [`it is young: less than ${grace / 3_600} h old`] : [];
}
