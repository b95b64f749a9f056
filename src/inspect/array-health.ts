import type { Disk } from "../rds/disk.ts";

/** How md calls an array that works, by the first word of its state. Source: Linux, Documentation/admin-guide/md.rst, array_state. */
const WORKING = new Set(["clean", "active", "active-idle", "write-pending", "read-auto"]);
/** Words that say that an array does without a member. A check or repair of its redundancy is none: all members are there. */
const LACKING = /degraded|fail|faulty|missing|recover|rebuil/i;

/** Whether the state of an array says that it lacks redundancy, or does not work. "" says nothing. */
export function isTroubled(state: string): boolean {
  const [first = ""] = state.trim().split(/[\s,]+/);
  return first !== "" && (!WORKING.has(first.toLowerCase()) || LACKING.test(state));
}

/**
 * What is wrong with the arrays that a mounted item is on, itself first: an array may be a member of another one, whose state does not
 * show it.
 * @param arrays arrays and failed members, as `Survey.arrays`
 */
export function arrayTroubles(holder: Disk, arrays: readonly Disk[]): readonly string[] {
  const known = new Map(arrays.map((each) => [each.slot, each]));
  const below = arrays.filter((each) => each.slot !== holder.slot && isOn(each, holder.slot, known));
  return [holder, ...below].flatMap(({ slot, type, state, memberFailed }) => [
    ...(memberFailed ? [`member ${slot} has failed`] : []),
    ...(type === "raid" && isTroubled(state) ? [`array ${slot} is ${JSON.stringify(state)}`] : []),
  ]);
}

/** Whether an item is a member of an array, or of a member of it. */
function isOn(item: Disk, slot: string, known: ReadonlyMap<string, Disk>): boolean {
  const seen = new Set<string>();
  for (let master = item.raidMaster; master !== "" && !seen.has(master); ) {
    if (master === slot) return true;
    seen.add(master);
    master = known.get(master)?.raidMaster ?? "";
  }
  return false;
}
