import { SimulatorError } from "./errors.ts";

/** The parts of `7.24.5 (stable)` or `7.26beta4 (development)`; a pre-release counts as its release. */
export function versionParts(text: string): readonly [number, number, number] {
  const found = /^(\d+)\.(\d+)(?:\.(\d+))?(?:(?:beta|rc)\d+)?(?: \([a-z-]+\))?$/.exec(text);
  if (found === null) throw new SimulatorError(`${JSON.stringify(text)} is not a RouterOS version`);
  return [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
}

/** Whether version `text` has the features of version `since`. */
export function hasVersion(text: string, since: string): boolean {
  const have = versionParts(text);
  const need = versionParts(since);
  for (const [index, part] of have.entries()) {
    const other = need[index] ?? 0;
    if (part !== other) return part > other;
  }
  return true;
}
