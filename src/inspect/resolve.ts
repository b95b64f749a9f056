import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import type { PersistentVolumeView } from "../kubernetes/port.ts";
import { type Fact, ifKnown, isUnanswered, type Known, known, type Unknown } from "./fact.ts";
import { type Listing, movedVolumes } from "./world.ts";

/** The name of a volume, as a person gives it. */
export interface VolumeName {
  /** With it, the name is that of a claim. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** Where names are looked for. */
export interface NameSources {
  /** Address of the RDS. */
  readonly address: string;
  readonly survey: Fact<Listing>;
  readonly pvs: Fact<readonly PersistentVolumeView[]>;
}

/** One volume under all its names. */
interface NamedVolume {
  readonly handle: VolumeId;
  readonly claims: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
}

/**
 * Reads `namespace/name` or a bare name.
 * @param namespace of `--namespace`, for a bare name
 * @returns undefined when it is neither, or names two namespaces
 */
export function parseVolumeName(text: string, namespace: string | undefined): VolumeName | undefined {
  const parts = text.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2 || parts.includes("") || namespace === "") return undefined;
  if (second === undefined) return { namespace, name: first };
  return namespace === undefined || namespace === first ? { namespace: first, name: second } : undefined;
}

/** `namespace/name`, or the bare name. */
export function shownName({ namespace, name }: VolumeName): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/**
 * The volume of a name: a handle, the CSI volume name in the record, a PersistentVolume, or a claim. Without a whole name that
 * fits, a beginning of exactly one volume's names is enough; so is a name that the list has cut with `…`. A whole handle is always
 * itself: the file of a volume may exist without disk item and PersistentVolume. Unknown when no volume is found and a side that
 * was asked did not answer.
 * @param hint why there is no volume of exactly this name; then no beginning is tried
 * @param whole only whole names fit: for commands that write
 * @throws volumeNameUnknown saying where was looked, volumeNameAmbiguous listing the candidates
 */
export function resolveName(
  wanted: VolumeName,
  sources: NameSources,
  hint?: string,
  whole = false,
): Known<VolumeId> | Unknown {
  const { namespace } = wanted;
  const shown = shownName(wanted);
  const volumes = knownVolumes(sources);
  const unanswered = [sources.survey, sources.pvs].find(isUnanswered);
  const fitting = (fits: (each: string) => boolean) => fittingAmong(volumes, wanted, fits);
  const exact = fitting((each) => each === shown);
  const handle = namespace === undefined ? parseVolumeId(shown) : undefined;
  if (exact.length === 0 && handle !== undefined) return known(handle);
  const certain = unanswered === undefined || isPartOfHandle(shown);
  const partly = exact.length === 0 && hint === undefined && certain && !whole;
  const found = partly ? fitting((each) => shortens(shown, each)) : exact;
  const [first, second] = found;
  if (first === undefined) {
    if (unanswered !== undefined) return unanswered;
    throw nameUnknown(wanted, sources, hint);
  }
  if (second !== undefined) {
    const candidates = found.map(({ handle, claims, names }) => {
      const called = [...[...claims].map((claim) => `claim ${claim}`), ...names];
      return called.length === 0 ? handle : `${handle} (${called.join(", ")})`;
    });
    throw failure("volumeNameAmbiguous", { name: shown, partly, candidates });
  }
  return known(first.handle);
}

/** The failure that no volume is called so. @param hint why not, beside where was looked */
export function nameUnknown(wanted: VolumeName, sources: NameSources, hint?: string): DriverError {
  const looked = [...Object.values(lookedAt(sources, wanted)), ...(hint === undefined ? [] : [hint])];
  return failure("volumeNameUnknown", { name: shownName(wanted), looked });
}

/** A side that did not answer may have a volume of exactly a name, unless the name is a part of a handle. */
const isPartOfHandle = (name: string): boolean => /^csi-[0-9a-f]{4}/.test(name);

function fittingAmong(
  volumes: readonly NamedVolume[],
  { namespace }: VolumeName,
  fits: (name: string) => boolean,
): NamedVolume[] {
  return volumes.filter((volume) => namesOf(volume, namespace === undefined).some(fits));
}

/** The names of a volume; with a namespace only claims count. */
function namesOf({ handle, claims, names }: NamedVolume, all: boolean): string[] {
  return all
    ? [handle, ...names, ...claims, ...[...claims].map((claim) => claim.replace(/^.*\//, ""))]
    : [...claims];
}

/** Whether a text is the beginning of a name, or the name with parts replaced by `…`. */
export function shortens(text: string, name: string): boolean {
  const parts = text.split("…");
  const last = parts.at(-1) ?? "";
  if (!name.startsWith(parts[0] ?? "")) return false;
  if (parts.length > 1 && !name.endsWith(last)) return false;
  let at = 0;
  for (const part of parts) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

function knownVolumes({ survey, pvs }: NameSources): NamedVolume[] {
  const all = new Map<string, { claims: Set<string>; names: Set<string> }>();
  const of = (handle: string) => {
    const entry = all.get(handle) ?? { claims: new Set<string>(), names: new Set<string>() };
    all.set(handle, entry);
    return entry;
  };
  const claimName = (claim: { namespace: string; name: string }) => `${claim.namespace}/${claim.name}`;
  const { volumes = [], conversions = [] } = ifKnown(survey) ?? {};
  for (const { id, record } of [...volumes, ...movedVolumes(conversions)]) {
    const { claims, names } = of(id);
    if (record.claim !== undefined) claims.add(claimName(record.claim));
    names.add(record.name);
  }
  for (const { id } of ifKnown(survey)?.foreign ?? []) of(id);
  for (const { handle, name, claim } of ifKnown(pvs) ?? []) {
    const { claims, names } = of(handle);
    if (claim !== undefined) claims.add(claimName(claim));
    names.add(name);
  }
  return [...all]
    .map(([handle, names]) => ({ handle: handle as VolumeId, ...names }))
    .toSorted((a, b) => (a.handle < b.handle ? -1 : 1));
}

/** What each side says about a name that neither has. */
export function lookedAt(
  sources: NameSources,
  wanted: VolumeName,
): { readonly rds: string; readonly cluster: string } {
  const { address, survey, pvs } = sources;
  const disks = ifKnown(survey);
  const volumes = ifKnown(pvs);
  const begun = untried(sources, wanted);
  const unread = unreadable(disks?.foreign ?? []);
  return {
    rds:
      disks === undefined
        ? `the RDS could not be asked (${reasonOf(survey)})`
        : `the RDS ${address} has ${counted(disks.volumes.length + disks.foreign.length, "volume")}, none of that name${unread}${begun}`,
    cluster:
      volumes === undefined
        ? `the cluster was not asked (${reasonOf(pvs)})`
        : `the cluster has ${counted(volumes.length, "PersistentVolume")} of this driver, none of that name, handle or claim${begun}`,
  };
}

/** The volumes of which the name is a beginning, where no beginning is tried as a side does not answer. */
function untried(sources: NameSources, wanted: VolumeName): string {
  const shown = shownName(wanted);
  const silent = isUnanswered(sources.survey)
    ? "the RDS"
    : isUnanswered(sources.pvs)
      ? "Kubernetes"
      : undefined;
  if (silent === undefined || isPartOfHandle(shown)) return "";
  const begun = fittingAmong(knownVolumes(sources), wanted, (each) => shortens(shown, each));
  if (begun.length === 0) return "";
  const begin = begun.length === 1 ? "1 begins" : `${begun.length} begin`;
  const handles = firstOf(begun.map(({ handle }) => handle));
  return `; ${begin} with it: ${handles}; beginnings are not tried while ${silent} does not answer`;
}

/** The disk items that may be the volume, as their names are not known; of another cluster's the name is no concern. */
function unreadable(foreign: Listing["foreign"]): string {
  const unread = foreign.filter(({ cause }) => cause !== "other-cluster");
  if (unread.length === 0) return "";
  const whose = unread.length === 1 ? "its" : "their";
  const handles = firstOf(unread.map(({ id }) => id));
  return `; of ${unread.length} the name is not known, as ${whose} record cannot be read (${handles})`;
}

const firstOf = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

const reasonOf = (fact: Fact<unknown>): string => (fact.state === "unknown" ? fact.reason : "");
