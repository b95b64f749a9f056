import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Survey } from "../rds/survey.ts";
import { type Fact, ifKnown } from "./fact.ts";
import type { PvFacts } from "./facts.ts";

/** What a person calls a volume. */
export interface VolumeName {
  /** With it, the name is that of a claim. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** Where names are looked for. */
export interface NameSources {
  /** Address of the RDS. */
  readonly address: string;
  readonly survey: Fact<Survey>;
  readonly pvs: Fact<readonly PvFacts[]>;
}

/** One volume under all its names. */
interface Known {
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

/**
 * The volume of a name: a handle, the CSI volume name in the record, a PersistentVolume, or a claim.
 * @throws volumeNameUnknown saying where was looked, volumeNameAmbiguous listing the candidates
 */
export function resolveName(wanted: VolumeName, sources: NameSources, hint?: string): VolumeId {
  const { namespace, name } = wanted;
  const shown = namespace === undefined ? name : `${namespace}/${name}`;
  const fits = ({ handle, claims, names }: Known): boolean =>
    namespace !== undefined
      ? claims.has(shown)
      : handle === name || names.has(name) || [...claims].some((claim) => claim.endsWith(`/${name}`));
  const found = knownVolumes(sources).filter(fits);
  const [first, second] = found;
  if (first === undefined) {
    const looked = [...lookedAt(sources), ...(hint === undefined ? [] : [hint])];
    throw failure("volumeNameUnknown", { name: shown, looked });
  }
  if (second !== undefined) {
    const candidates = found.map(({ handle, claims, names }) => {
      const called = [...[...claims].map((claim) => `claim ${claim}`), ...names];
      return called.length === 0 ? handle : `${handle} (${called.join(", ")})`;
    });
    throw failure("volumeNameAmbiguous", { name: shown, candidates });
  }
  return first.handle;
}

function knownVolumes({ survey, pvs }: NameSources): Known[] {
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

/** Where was looked, and where was not. */
function lookedAt({ address, survey, pvs }: NameSources): string[] {
  const disks = ifKnown(survey);
  const volumes = ifKnown(pvs);
  return [
    disks === undefined
      ? `the RDS could not be asked (${reasonOf(survey)})`
      : `the RDS ${address} has ${disks.volumes.length + disks.foreign.length} volumes, none of that name`,
    volumes === undefined
      ? `the cluster was not asked (${reasonOf(pvs)})`
      : `the cluster has ${volumes.length} PersistentVolumes of this driver, none of that name, handle or claim`,
  ];
}

const reasonOf = (fact: Fact<unknown>): string => (fact.state === "unknown" ? fact.reason : "");
