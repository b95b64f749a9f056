import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { RdsVolume } from "../rds/volume.ts";

/** A refusal that lasts longer, in seconds, is no usual hand-over: kubelet gives a pod 30 s to end, and detaching takes some more. */
export const LASTS_AFTER_SECONDS = 60;
/** Refusals further apart, in seconds, are different ones: external-attacher repeats a call at least every 5 minutes. */
const SAME_WITHIN_SECONDS = 600;
/** Pairs of volume and node that are remembered. */
const CAPACITY = 10_000;

interface Refusal {
  /** Seconds since the Unix epoch. */
  readonly first: number;
  readonly latest: number;
  /** The nodes that had the volume, and since when. */
  readonly holders: string;
}

/**
 * Measures how long this process has refused a node a volume. A refusal begins anew when other nodes hold the volume, when the node had the
 * volume in between, after a long pause, and when the clock goes back.
 */
export class LastingRefusals {
  readonly #refusals = new RecentMap<string, Refusal>(CAPACITY);

  /**
   * Notes a refusal.
   * @param now seconds since the Unix epoch
   * @returns whether it has lasted for LASTS_AFTER_SECONDS
   */
  lasts({ id, record }: RdsVolume, node: string, now: number): boolean {
    const key = keyOf(id, node);
    const holders = record.attachments.map((each) => `${each.node}@${each.since}`).join(" ");
    const before = this.#refusals.get(key);
    const isSame =
      before !== undefined &&
      before.holders === holders &&
      now >= before.latest &&
      now - before.latest <= SAME_WITHIN_SECONDS;
    const first = isSame ? before.first : now;
    this.#refusals.set(key, { first, latest: now, holders });
    return now - first >= LASTS_AFTER_SECONDS;
  }

  /** The node has the volume. */
  ended(id: VolumeId, node: string): void {
    this.#refusals.delete(keyOf(id, node));
  }
}

function keyOf(id: VolumeId, node: string): string {
  return `${id} ${node}`;
}
