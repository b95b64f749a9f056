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

/** A VolumeSnapshot, with what is known about its content. */
export interface Candidate extends VolumeSnapshotView {
  /** Why it is no backup of this driver; undefined: it is one. */
  readonly problem?: string | undefined;
}

/** A VolumeSnapshot, and its fate. */
export interface Pruned {
  readonly snapshot: VolumeSnapshotView;
  readonly action: "delete" | "keep";
  readonly why: string;
  /** It is kept although its age and number would have it go. */
  readonly isOdd: boolean;
  /** It is kept because the clocks disagree: one of them alone would have it deleted. */
  readonly inDoubt: boolean;
}

/** A cut follows its VolumeSnapshot within seconds. Beyond this a clock was wrong, or the cut came late: milliseconds. */
const CLOCKS_APART_MS = 5 * 60_000;

/** A VolumeSnapshot whose two times are known. */
interface Timed {
  readonly createdAt: number;
  readonly cutAt: number;
}

/**
 * The fate of each VolumeSnapshot that is chosen, by claim, the newest first. Only ready ones with a content of this driver are counted and
 * deleted: another one is no backup yet, or none that is left, or shows an error that a person has to see.
 *
 * Either clock may have been wrong at a cut: that of the RDS after a power loss, for want of a battery. So one is deleted only if
 * both clocks have it older than `keep` others, and old enough.
 * @param now milliseconds since the Unix epoch
 */
export function prunePlan(snapshots: readonly Candidate[], rules: PruneRules, now: number): Pruned[] {
  const chosen = snapshots.filter((each) => isChosen(each, rules));
  const claims = [...Map.groupBy(chosen, ({ claim = "" }) => claim)].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return claims.flatMap(([, ofClaim]) => {
    const counted = ofClaim
      .filter(({ ready, problem }) => ready && problem === undefined)
      .flatMap((each) => timesOf(each) ?? []);
    return ofClaim.toSorted(newestFirst).map((snapshot) => {
      const fate = fateOf(snapshot, counted, rules, now);
      return { snapshot, isOdd: false, inDoubt: false, ...fate };
    });
  });
}

/** Whether the rules are about a VolumeSnapshot. Those of no claim were made by hand and stay out of it. */
export function isChosen(
  { claim, deleting }: VolumeSnapshotView,
  { sources }: Pick<PruneRules, "sources">,
): boolean {
  return claim !== undefined && !deleting && (sources.length === 0 || sources.includes(claim));
}

/**
 * Those whose clocks are to blame for what is in doubt, the worst first: their times are further apart than a cut takes. Empty when
 * nothing is in doubt.
 */
export function clocksApart(plan: readonly Pruned[]): (VolumeSnapshotView & Timed)[] {
  const inDoubt = new Set(plan.flatMap((each) => (each.inDoubt ? [each.snapshot.claim] : [])));
  const apart = ({ createdAt, cutAt }: Timed): number => Math.abs(createdAt - cutAt);
  return plan
    .flatMap(({ snapshot }) => {
      const times = snapshot.ready && inDoubt.has(snapshot.claim) ? timesOf(snapshot) : undefined;
      return times !== undefined && apart(times) > CLOCKS_APART_MS ? [{ ...snapshot, ...times }] : [];
    })
    .toSorted((a, b) => apart(b) - apart(a));
}

type Fate = Pick<Pruned, "action" | "why"> & Partial<Pick<Pruned, "isOdd" | "inDoubt">>;

/** @param counted the ready ones of its claim, itself among them */
function fateOf(
  snapshot: Candidate,
  counted: readonly Timed[],
  { keep, olderThanSeconds = Number.NEGATIVE_INFINITY }: PruneRules,
  now: number,
): Fate {
  if (!snapshot.ready) return { action: "keep", why: "it is not ready", isOdd: true };
  if (snapshot.problem !== undefined) return { action: "keep", why: snapshot.problem, isOdd: true };
  const own = timesOf(snapshot);
  if (own === undefined)
    return { action: "keep", why: "the time of its creation or of its cut is not known", isOdd: true };
  const isOld = (time: number): boolean => (now - time) / 1_000 > olderThanSeconds;
  const hasNewer = (isNewer: (other: Timed) => boolean): boolean => counted.filter(isNewer).length >= keep;

  const isNumbered = hasNewer((other) => isNewer(other, own));
  if (isNumbered && isOld(Math.max(own.createdAt, own.cutAt)))
    return { action: "delete", why: `${keep} newer ones are kept` };
  const wouldGo = (["createdAt", "cutAt"] as const).some(
    (clock) => isOld(own[clock]) && hasNewer((other) => other[clock] > own[clock]),
  );
  if (wouldGo)
    return {
      action: "keep",
      why: "the clocks of Kubernetes and the RDS disagree on its age",
      ...{ isOdd: true, inDoubt: true },
    };
  return { action: "keep", why: isNumbered ? "not old enough" : `one of the newest ${keep}` };
}

/** Whether a clock says so, and the other does not deny it. Neither shows less than a second. */
function isNewer(a: Timed, b: Timed): boolean {
  return a.createdAt >= b.createdAt && a.cutAt >= b.cutAt && (a.createdAt > b.createdAt || a.cutAt > b.cutAt);
}

function timesOf({ createdAt, cutAt }: VolumeSnapshotView): Timed | undefined {
  return createdAt === undefined || cutAt === undefined ? undefined : { createdAt, cutAt };
}

function newestFirst(a: VolumeSnapshotView, b: VolumeSnapshotView): number {
  const byTime = (b.createdAt ?? 0) - (a.createdAt ?? 0) || (b.cutAt ?? 0) - (a.cutAt ?? 0);
  return byTime || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}
