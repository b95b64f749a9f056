import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { SharedWork } from "../domain/shared-work.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import { compareVolume, stateOf, type VolumeState } from "../inspect/compare.ts";
import { type Fact, found, ifKnown, unknown } from "../inspect/fact.ts";
import type { VolumeFacts } from "../inspect/facts.ts";
import { isRecent } from "../inspect/grace.ts";
import { type HealthEntry, healthOfFindings } from "../inspect/health.ts";
import type { VolumeFinding } from "../inspect/volume-finding.ts";
import { fileFact, type Listing, volumeFacts } from "../inspect/world.ts";
import type { ClusterReader } from "../kubernetes/port.ts";
import type { PageRead, PoolItems, VolumePage } from "../rds/page.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsFile } from "../rds/survey.ts";
import type { Classified, RdsVolume } from "../rds/volume.ts";
import { type ClusterView, readClusterView, viewsByVolume, worldOf } from "./drift.ts";

export interface VolumeHealthOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  /** undefined without an orchestrator: only the RDS is looked at. */
  readonly cluster: Pick<ClusterReader, "volumeAttachments" | "persistentVolumes"> | undefined;
}

/** What is known to be wrong with a volume. */
export interface VolumeHealth {
  readonly id: VolumeId;
  /** Empty: nothing adverse is known. */
  readonly health: readonly HealthEntry[];
}

/** How a volume is. */
export interface SurveyedVolume {
  readonly state: VolumeState;
  readonly findings: readonly VolumeFinding[];
}

interface FoundVolume extends Pick<SurveyedVolume, "findings"> {
  readonly id: VolumeId;
  readonly facts: VolumeFacts;
}

/** A volume with its health. */
export interface InspectedVolume extends VolumeHealth {
  readonly volume: RdsVolume;
}

/** The health of volumes, by the findings of `inspect`. It changes nothing. */
export class VolumeHealthService {
  readonly #options: VolumeHealthOptions;
  /** One list at a time, which those who wait for the same page share: each takes the memory of all volumes. */
  readonly #lists = new SharedWork(1);

  constructor(options: VolumeHealthOptions) {
    this.#options = options;
  }

  /**
   * One volume that exists. Two RouterOS commands.
   * @throws volumeNotFound (NOT_FOUND), recordUnusable, foreignDisk, volumeConverting (FAILED_PRECONDITION)
   */
  async volume(id: VolumeId, signal: AbortSignal): Promise<InspectedVolume> {
    const { listing, health } = await this.#look(id, signal);
    const { conversions } = this.#options.rds;
    return { id, volume: await conversions.required(id, classifiedIn(listing), signal), health };
  }

  /**
   * The health of one volume, also of one whose disk item is gone or whose record cannot be used, if a PersistentVolume names it. Two
   * RouterOS commands.
   * @throws volumeNotFound (NOT_FOUND), recordUnusable, foreignDisk, volumeConverting (FAILED_PRECONDITION)
   */
  async health(id: VolumeId, signal: AbortSignal): Promise<VolumeHealth> {
    const { listing, findings, health } = await this.#look(id, signal);
    const isNamed = findings.some((each) => each.id === "volume-missing" || each.id === "record-unusable");
    const { conversions } = this.#options.rds;
    const volume = isNamed ? undefined : await conversions.required(id, classifiedIn(listing), signal);
    if (volume?.record.copy !== undefined) throw failure("volumeNotFound", { volume: id });
    return { id, health };
  }

  /**
   * The volumes in trouble, in handle order: all are looked at for each page, as few are in trouble. RouterOS commands as of `Rds.inspect`.
   * @param after handle behind which the page begins
   * @param most entries; 0: no limit
   */
  list(signal: AbortSignal, page: Pick<PageRead, "after" | "most">): Promise<VolumePage<VolumeHealth>> {
    return this.#lists.run(`${page.after} ${page.most}`, signal, (shared) => this.#list(shared, page));
  }

  /** Every volume, and every one that a PersistentVolume names, in handle order. RouterOS commands as of `Rds.inspect`. */
  async survey(signal: AbortSignal): Promise<readonly SurveyedVolume[]> {
    const { ids, find } = await this.#all(signal);
    return ids.map((id) => {
      const { facts, findings } = find(id);
      return { state: stateOf(facts, findings), findings };
    });
  }

  async #list(
    signal: AbortSignal,
    { after, most }: Pick<PageRead, "after" | "most">,
  ): Promise<VolumePage<VolumeHealth>> {
    const entries: VolumeHealth[] = [];
    const { ids, find } = await this.#all(signal, after);
    for (const id of ids) {
      const { facts, findings } = find(id);
      // One that is being copied is no volume yet.
      if (ifKnown(facts.rds.record)?.copy !== undefined) continue;
      const health = healthOfFindings(findings);
      if (health.length === 0) continue;
      if (most > 0 && entries.length === most) return { entries, isCut: true };
      entries.push({ id, health });
    }
    return { entries, isCut: false };
  }

  /** The handles of all volumes, and how to find out about each. @param after handle behind which they begin */
  async #all(
    signal: AbortSignal,
    after = "",
  ): Promise<{ readonly ids: readonly VolumeId[]; find(id: VolumeId): FoundVolume }> {
    const { rds } = this.#options;
    const view = await this.#view(signal);
    const { survey, files } = await rds.inspect(undefined, signal);
    const { volumes, foreign, mounted, arrays, conversions } = survey;
    const filesOf = Map.groupBy(files, ({ path }) => slotIn(path));
    const views = view && viewsByVolume(view);
    const disks = new Map<VolumeId, Listing>([
      ...volumes.map((each) => [each.id, { volumes: [each], foreign: [], mounted, arrays }] as const),
      ...foreign.map((each) => [each.id, { volumes: [], foreign: [each], mounted, arrays }] as const),
    ]);
    const nothing: Listing = { volumes: [], foreign: [], mounted, arrays, conversions };
    const named = [...(views?.handles ?? [])].flatMap((handle) => parseVolumeId(handle) ?? []);
    const ids = [...new Set([...disks.keys(), ...named])].filter((id) => id > after).sort();
    const find = (id: VolumeId): FoundVolume =>
      this.#found(id, disks.get(id) ?? nothing, filesOf.get(id) ?? [], views?.of(id));
    return { ids, find };
  }

  async #look(id: VolumeId, signal: AbortSignal) {
    // The cluster first, as in reconcile: what is attached in between is young.
    const view = await this.#view(signal);
    const { survey, files } = await this.#options.rds.inspect(id, signal);
    const { findings } = this.#found(id, survey, files, view);
    return { listing: survey, findings, health: healthOfFindings(findings) };
  }

  #view(signal: AbortSignal): Promise<ClusterView> | undefined {
    const { cluster } = this.#options;
    return cluster && readClusterView(cluster, signal);
  }

  #found(
    id: VolumeId,
    listing: Listing,
    files: readonly RdsFile[],
    view: ClusterView | undefined,
  ): FoundVolume {
    const { rds, clock } = this.#options;
    const listed = volumeFacts(worldOf(listing, view, rds.installation, clock.now()), id);
    const facts = { ...listed, rds: { ...listed.rds, file: fileOf(listed, files) } };
    return { id, facts, findings: compareVolume(facts) };
  }
}

/** The health of a volume as far as a list of disk items shows it: neither its file nor the cluster is looked at. One for each entry of a page. */
export function listedHealth(
  volume: RdsVolume,
  pools: PoolItems,
  { rds, clock }: Pick<VolumeHealthOptions, "rds" | "clock">,
): readonly HealthEntry[] {
  const listing = { volumes: [volume], foreign: [], mounted: pools.mounted, arrays: pools.arrays };
  const world = worldOf(listing, undefined, rds.installation, clock.now());
  return healthOfFindings(compareVolume(volumeFacts(world, volume.id)));
}

/**
 * The file of a volume among those that bear its slot. Absent only if none does: one at another path may be the volume's, on its way there.
 * The files are read before the disk item, so that the file of a volume which was just made may be missing.
 */
function fileOf({ rds, now }: VolumeFacts, files: readonly RdsFile[]): Fact<RdsFile> {
  const path = ifKnown(rds.disk)?.filePath ?? "";
  if (path === "") return rds.file;
  const file = files.find((each) => each.path === path);
  if (file !== undefined) return found(file);
  const [other] = files;
  if (other !== undefined) return unknown(`there is a file ${other.path}`);
  const record = ifKnown(rds.record);
  if (record === undefined || isRecent(record.createdAt, now)) return unknown("the volume was made just now");
  return rds.pool.state === "unknown" ? unknown("its pool is not known") : fileFact(undefined, rds.pool);
}

function slotIn(path: string): string {
  return /\/((?:csi|pvc)-[^/.]+)(?:\/disk)?\.img$/.exec(path)?.[1] ?? "";
}

function classifiedIn({ volumes: [volume], foreign: [foreign] }: Listing): Classified | undefined {
  if (volume !== undefined) return { kind: "volume", volume };
  return foreign && { kind: "foreign", foreign };
}
