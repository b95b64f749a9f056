import { failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import type { PersistentVolumeView } from "../kubernetes/port.ts";
import { type Fact, ifKnown, isUnanswered, type Known, known, type Unknown } from "./fact.ts";
import type { Listing } from "./world.ts";

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
 * The volume of a name: a handle, the CSI volume name in the record, a PersistentVolume, or a claim. Unknown when no volume is
 * found and a side that was asked did not answer; a handle is itself then.
 * @throws volumeNameUnknown saying where was looked, volumeNameAmbiguous listing the candidates
 */
export function resolveName(
  wanted: VolumeName,
  sources: NameSources,
  hint?: string,
): Known<VolumeId> | Unknown {
  const { namespace, name } = wanted;
  const shown = shownName(wanted);
  const fits = ({ handle, claims, names }: NamedVolume): boolean =>
    namespace !== undefined
      ? claims.has(shown)
      : handle === name || names.has(name) || [...claims].some((claim) => claim.endsWith(`/${name}`));
  const found = knownVolumes(sources).filter(fits);
  const [first, second] = found;
  if (first === undefined) {
    const unanswered = [sources.survey, sources.pvs].find(isUnanswered);
    const handle = namespace === undefined ? parseVolumeId(name) : undefined;
    if (unanswered !== undefined) return handle === undefined ? unanswered : known(handle);
    const looked = [...Object.values(lookedAt(sources)), ...(hint === undefined ? [] : [hint])];
    throw failure("volumeNameUnknown", { name: shown, looked });
  }
  if (second !== undefined) {
    const candidates = found.map(({ handle, claims, names }) => {
      const called = [...[...claims].map((claim) => `claim ${claim}`), ...names];
      return called.length === 0 ? handle : `${handle} (${called.join(", ")})`;
    });
    throw failure("volumeNameAmbiguous", { name: shown, candidates });
  }
  return known(first.handle);
}

function knownVolumes({ survey, pvs }: NameSources): NamedVolume[] {
  const all = new Map<string, { claims: Set<string>; names: Set<string> }>();
  const of = (handle: string) => {
    const entry = all.get(handle) ?? { claims: new Set<string>(), names: new Set<string>() };
    all.set(handle, entry);
    return entry;
  };
  const claimName = (claim: { namespace: string; name: string }) => `${claim.namespace}/${claim.name}`;
  for (const { id, record } of ifKnown(survey)?.volumes ?? []) {
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
export function lookedAt({ address, survey, pvs }: NameSources): {
  readonly rds: string;
  readonly cluster: string;
} {
  const disks = ifKnown(survey);
  const volumes = ifKnown(pvs);
  return {
    rds:
      disks === undefined
        ? `the RDS could not be asked (${reasonOf(survey)})`
        : `the RDS ${address} has ${disks.volumes.length + disks.foreign.length} volumes, none of that name`,
    cluster:
      volumes === undefined
        ? `the cluster was not asked (${reasonOf(pvs)})`
        : `the cluster has ${volumes.length} PersistentVolumes of this driver, none of that name, handle or claim`,
  };
}

const reasonOf = (fact: Fact<unknown>): string => (fact.state === "unknown" ? fact.reason : "");
