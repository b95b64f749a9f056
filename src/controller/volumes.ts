import type { Capability } from "../domain/access-mode.ts";
import { capabilityProblem } from "../domain/capability-problem.ts";
import { type CapacityRange, checkRange } from "../domain/capacity-range.ts";
import type { Clock } from "../domain/clock.ts";
import { failure, isFailure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import type { Premises } from "../domain/premises.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { HealthEntry } from "../inspect/health.ts";
import { type CopyTarget, isCopyTarget, requireFinished } from "../rds/copy.ts";
import type { Layout } from "../rds/layout.ts";
import type { PageRead, PoolItems, VolumePage } from "../rds/page.ts";
import { pollUntil } from "../rds/poll.ts";
import type { Rds } from "../rds/rds.ts";
import { type Classified, ownVolume, type RdsVolume } from "../rds/volume.ts";
import { requireSupported } from "./capabilities.ts";
import type { ContentSource } from "./content-source.ts";
import type { CopyService } from "./copies.ts";
import { deletable, requireOwn, requireSame } from "./existing-volume.ts";
import { fileLayoutIn, finishClone, makeVolume, type WantedVolume } from "./new-volume.ts";
import { type Parameters, readParameters } from "./parameters.ts";
import { Revisions } from "./revisions.ts";
import { chooseSize } from "./sizes.ts";
import { listedHealth } from "./volume-health.ts";

export interface VolumeServiceOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  /** Default pool and folder. */
  readonly layout: Layout;
  /** Bytes that stay free in each pool. */
  readonly reserveBytes: bigint;
  readonly clusterId: string;
  readonly copies: CopyService;
  readonly premises?: Premises;
}

/** CreateVolume, in domain terms. */
export interface CreateRequest {
  readonly name: string;
  readonly range: CapacityRange;
  readonly capabilities: readonly Capability[];
  readonly parameters: Readonly<Record<string, string>>;
  readonly mutableParameters: Readonly<Record<string, string>>;
  /** undefined: a blank volume. */
  readonly source: ContentSource | undefined;
  readonly signal: AbortSignal;
}

/** A volume as the CSI caller sees it. */
export interface VolumeInfo {
  readonly id: VolumeId;
  /** Bytes, as measured on the RDS; 0 while unknown. */
  readonly sizeBytes: bigint;
  /** Ids of the nodes that have it. */
  readonly nodes: readonly string[];
  /** Handle of the snapshot or volume that it was made from. */
  readonly source: string | undefined;
}

/** A volume in a list, with its health as far as the list shows it. */
export interface ListedInfo extends VolumeInfo {
  readonly health: readonly HealthEntry[];
}

/** Space of a pool in bytes. */
export interface Capacity {
  readonly availableBytes: bigint;
  readonly maximumVolumeBytes: bigint;
  readonly minimumVolumeBytes: bigint;
}

const REMOVE_ATTEMPTS = 4;
/** How often one call begins a copy anew. */
const COPY_ATTEMPTS = 2;
/** Errors that end a copy: the answer says that nothing of the volume is left. */
const ENDS = ["copyNotConfirmed", "poolRefused", "commandRejected"] as const;

/** Creates, deletes and lists volumes. Every method may be repeated at any time with the same result. */
export class VolumeService {
  readonly #options: VolumeServiceOptions;
  readonly #revisions: Revisions;

  constructor(options: VolumeServiceOptions) {
    this.#options = options;
    this.#revisions = new Revisions(options);
  }

  /** CSI CreateVolume: two RouterOS commands, three with a source; one for a volume that was asked for in the same way within the last minute. */
  async create(request: CreateRequest): Promise<VolumeInfo> {
    const { name, range, capabilities, source, signal } = request;
    requireSupported(capabilities);
    const parameters = readParameters(request.parameters, request.mutableParameters);
    checkRange(range);
    if (source === undefined) chooseSize(range, capabilities);
    const id = volumeIdFromName(name);
    const { rds, reserveBytes } = this.#options;
    const layout = this.#layout(parameters);
    const { pool, existing } = await rds.readPool(layout.pool, reserveBytes, signal, id);
    const wanted = { name, id, range, capabilities, parameters, source, layout, pool, signal };
    const place = { directory: layout.directory, mountPoint: pool.mountPoint };
    const check = (volume: RdsVolume): void =>
      requireSame(volume, { name, range, source: source?.id }, parameters, place);
    const make = async (): Promise<RdsVolume> =>
      this.#ready(requireOwn(id, name, await this.#made(wanted)), signal);
    const found =
      existing === undefined ? await make() : await this.#ready(requireOwn(id, name, existing), signal);
    if (isCopyTarget(found)) {
      check(found);
      return infoOf(await this.#copied(found, make, signal));
    }
    requireFinished(found);
    const volume = await finishClone(this.#options, found, signal);
    check(volume);
    // An earlier removal, whose line still waits on the RDS, must not remove the volume after this answer.
    if (existing !== undefined) await this.#revisions.renew(volume, signal);
    return infoOf(volume);
  }

  /** As `makeVolume`. A conversion of the volume, which takes room for a second file, counts more than want of room. */
  async #made(wanted: WantedVolume): Promise<Classified> {
    try {
      return await makeVolume(this.#options, wanted);
    } catch (error) {
      const { code } = toDriverError(error);
      if (code === GrpcCode.RESOURCE_EXHAUSTED || code === GrpcCode.OUT_OF_RANGE)
        await this.#options.rds.conversions.requireNone(wanted.id, wanted.signal);
      throw error;
    }
  }

  /**
   * Fills a volume from its source. One whose source is not as it was when the copy began is removed and made anew, if the source can be copied
   * now.
   * @throws copyRunning (ABORTED) while it goes on; copyNotConfirmed, poolRefused, commandRejected and the errors of `make`: then nothing of the
   *   volume is left
   */
  async #copied(first: CopyTarget, make: () => Promise<RdsVolume>, signal: AbortSignal): Promise<RdsVolume> {
    const { copies } = this.#options;
    let target = first;
    for (let attempt = 1; attempt <= COPY_ATTEMPTS; attempt++) {
      const source = target.record.source as VolumeId;
      let stale: CopyTarget;
      try {
        const outcome = await copies.advance(target, source, signal);
        if (outcome.kind === "done") return outcome.volume;
        if (outcome.kind !== "stale") break;
        stale = outcome.target;
      } catch (error) {
        // The next call goes on with what is left, and tells the error then.
        if (ENDS.some((id) => isFailure(error, id))) {
          await this.#discard(target.id, signal).catch((cause) => {
            copies.remember(target.id, error);
            throw cause;
          });
        }
        throw error;
      }
      await this.#discard(stale.id, signal);
      const made = await make();
      if (!isCopyTarget(made)) return made;
      target = made;
    }
    const detail = "it was removed, or its source was attached, meanwhile";
    throw failure("notVerified", { what: `creating volume ${first.id}`, detail });
  }

  /** Removes an unfinished volume, or the file that it left when its item could not be made anew. One that is finished, or of another kind, stays. */
  async #discard(id: VolumeId, signal: AbortSignal): Promise<void> {
    const { rds, layout } = this.#options;
    for (let attempt = 1; attempt <= REMOVE_ATTEMPTS; attempt++) {
      const { found, mounted } = await rds.forRemoval(id, signal);
      const volume = ownVolume(found);
      if (found !== undefined && (volume === undefined || !isCopyTarget(volume))) return;
      const result =
        volume === undefined
          ? await rds.removeFileOnly(id, layout, mounted, signal)
          : await rds.remove(volume, layout, mounted, signal);
      if (result === "removed") return;
    }
    throw failure("recordConflict", { volume: id, attempts: REMOVE_ATTEMPTS });
  }

  /**
   * CSI DeleteVolume: two RouterOS commands, three to finish a removal that another process began. A volume that does not exist is deleted already.
   * @throws filePoolNotMounted (UNAVAILABLE), fileNotProven (FAILED_PRECONDITION) when the file is not proven to be gone, volumeConverting (FAILED_PRECONDITION)
   */
  async delete(id: VolumeId, signal: AbortSignal): Promise<void> {
    const { rds, layout } = this.#options;
    this.#revisions.forget(id);
    await this.#options.copies.stop(id);
    for (let attempt = 1; attempt <= REMOVE_ATTEMPTS; attempt++) {
      const { found, mounted } = await rds.forRemoval(id, signal);
      const result =
        found === undefined
          ? await rds.removeFileOnly(id, layout, mounted, signal)
          : await rds.remove(deletable(found), layout, mounted, signal);
      if (result === "removed") return;
    }
    throw failure("recordConflict", { volume: id, attempts: REMOVE_ATTEMPTS });
  }

  /**
   * Removes a volume whose CreateVolume was never answered.
   * @param volume as read; one that has changed since stays
   * @returns whether it was removed
   */
  async removeUnasked(volume: RdsVolume, signal: AbortSignal): Promise<boolean> {
    const { rds, layout } = this.#options;
    const { found, mounted } = await rds.forRemoval(volume.id, signal);
    if (found?.kind !== "volume" || found.volume.disk.comment !== volume.disk.comment) return false;
    return (await rds.remove(deletable(found), layout, mounted, signal)) === "removed";
  }

  /** One volume, for calls that need it to exist. @throws volumeNotFound (NOT_FOUND), recordUnusable, volumeConverting (FAILED_PRECONDITION) */
  async getVolume(id: VolumeId, signal: AbortSignal): Promise<VolumeInfo> {
    const { rds } = this.#options;
    const volume = await rds.conversions.required(id, await rds.find(id, signal), signal);
    if (isCopyTarget(volume)) throw failure("volumeNotFound", { volume: id });
    return infoOf(volume);
  }

  /**
   * CSI ValidateVolumeCapabilities.
   * @returns why a capability is unsupported; undefined when all are supported
   */
  async validate(
    id: VolumeId,
    {
      capabilities,
      parameters = {},
      mutableParameters = {},
    }: Pick<CreateRequest, "capabilities"> & Partial<Pick<CreateRequest, "parameters" | "mutableParameters">>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    await this.getVolume(id, signal);
    readParameters(parameters, mutableParameters);
    return capabilities.map(capabilityProblem).find((problem) => problem !== undefined)?.message;
  }

  /** Volumes of this installation in handle order; size 0 while a device is not ready. RouterOS commands as `Rds.page` says. */
  async list(
    signal: AbortSignal,
    { after, most }: Pick<PageRead, "after" | "most"> = { after: "", most: 0 },
  ): Promise<VolumePage<ListedInfo>> {
    const { rds, clock } = this.#options;
    const entry = (volume: RdsVolume, pools: PoolItems): ListedInfo => ({
      ...infoOf(volume),
      health: listedHealth(volume, pools, { rds, clock }),
    });
    return rds.page({ after, most, signal }, entry);
  }

  /** CSI GetCapacity. One RouterOS command. The capacity for unsupported capabilities is 0. */
  async capacity(
    capabilities: readonly Capability[],
    parameters: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Capacity> {
    const { rds, reserveBytes } = this.#options;
    const read = readParameters(parameters);
    const layout = this.#layout(read);
    const minimumVolumeBytes = chooseSize({ requiredBytes: 1n, limitBytes: 0n }, capabilities);
    const { pool, available } = await rds.readPool(layout.pool, reserveBytes, signal);
    const isUsable =
      fileLayoutIn(pool, read.layout) !== undefined &&
      capabilities.every((capability) => capabilityProblem(capability) === undefined);
    const usable = isUsable ? available : 0n;
    return { availableBytes: usable, maximumVolumeBytes: usable, minimumVolumeBytes };
  }

  #layout({ pool }: Parameters): Layout {
    const { layout } = this.#options;
    return pool === undefined ? layout : { ...layout, pool };
  }

  /** Waits for a volume that an earlier call has begun. @throws volumeNotReady (UNAVAILABLE) */
  async #ready(volume: RdsVolume, signal: AbortSignal): Promise<RdsVolume> {
    const { rds, clock } = this.#options;
    const { id } = volume;
    const read = async (): Promise<RdsVolume> => {
      const found = ownVolume(await rds.find(id, signal));
      if (found === undefined)
        throw failure("notVerified", { what: `creating volume ${id}`, detail: "it is gone" });
      return found;
    };
    const ready = await pollUntil(clock, signal, volume, read, (current) => current.disk.size !== undefined);
    if (ready.disk.size !== undefined) return ready;
    // A power loss soon after a copy was begun takes its file away, or empties it, and leaves its item: the next call makes both anew.
    const isLost = isCopyTarget(ready) && (await rds.copies.isLost(ready, signal));
    if (isLost) await this.#discard(id, signal);
    throw failure("volumeNotReady", { volume: id });
  }
}

/** A volume as the CSI caller sees it. */
export function infoOf({ id, disk, record }: RdsVolume): VolumeInfo {
  const nodes = record.attachments.map((attachment) => attachment.node);
  return { id, sizeBytes: disk.size ?? 0n, nodes, source: record.source };
}
