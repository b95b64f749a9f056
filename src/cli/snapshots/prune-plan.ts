import type { VolumeSnapshotView } from "../../kubernetes/volume-snapshots.ts";

/** Which VolumeSnapshots are kept. */
export interface PruneRules {
  /** So many of each claim, the newest ready ones; at least 1. */
  readonly keep: number;
  /** Younger ones are kept as well, seconds; undefined: no age. */
  readonly olderThanSeconds: number | undefined;
  /** Names of claims; empty: every claim. */
  readonly sources: readonly string[];
}

/** A VolumeSnapshot, and its fate. */
export interface Pruned {
  readonly snapshot: VolumeSnapshotView;
  readonly action: "delete" | "keep";
  readonly why: string;
  /** It is kept although its age and number would have it go. */
  readonly isOdd: boolean;
}

/**
 * The fate of each VolumeSnapshot of the chosen claims, by claim, the newest first. Only ready ones are counted and deleted: one that is not is no
 * backup yet, or shows an error that a person has to see. Those of no claim were made by hand and stay out of it.
 * @param now milliseconds since the Unix epoch
 */
export function prunePlan(
  snapshots: readonly VolumeSnapshotView[],
  { keep, olderThanSeconds, sources }: PruneRules,
  now: number,
): Pruned[] {
  const chosen = snapshots.filter(
    ({ claim, deleting }) =>
      claim !== undefined && !deleting && (sources.length === 0 || sources.includes(claim)),
  );
  const claims = [...Map.groupBy(chosen, ({ claim = "" }) => claim)].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return claims.flatMap(([, ofClaim]) => {
    const newestFirst = ofClaim.toSorted(
      (a, b) => b.createdAt - a.createdAt || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
    );
    let counted = 0;
    return newestFirst.map((snapshot): Pruned => {
      if (!snapshot.ready) return { snapshot, action: "keep", why: "it is not ready", isOdd: true };
      counted += 1;
      if (counted <= keep)
        return { snapshot, action: "keep", why: `one of the newest ${keep}`, isOdd: false };
      const age = (now - snapshot.createdAt) / 1_000;
      if (olderThanSeconds !== undefined && !(age > olderThanSeconds))
        return { snapshot, action: "keep", why: "not old enough", isOdd: false };
      return { snapshot, action: "delete", why: `${keep} newer ones are kept`, isOdd: false };
    });
  });
}
