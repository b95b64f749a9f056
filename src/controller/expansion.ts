import type { Capability } from "../domain/access-mode.ts";
import { type CapacityRange, checkRange, outOfRange } from "../domain/capacity-range.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { Premises } from "../domain/premises.ts";
import {
  type ConnectionSettings,
  givenConnections,
  type VolumeRecord,
} from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Logger } from "../observability/log.ts";
import { requireFinished } from "../rds/copy.ts";
import type { Pool } from "../rds/pool.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { requireSupported } from "./capabilities.ts";
import type { MigrationReporter } from "./migration-reporter.ts";
import { changeRecord } from "./record-change.ts";
import { grownSize } from "./sizes.ts";

/**
 * How an attached volume is expanded:
 * `announce` – grow it; the target announces the size, or hosts see it when they rescan;
 * `re-export` – grow it, then switch its export off and on: some targets show a size only with a new export;
 * `refuse` – refuse until it is detached.
 */
export const ONLINE_EXPANSIONS = ["announce", "re-export", "refuse"] as const;
export type OnlineExpansion = (typeof ONLINE_EXPANSIONS)[number];

export interface ExpansionServiceOptions {
  readonly rds: Rds;
  readonly reporter: MigrationReporter;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Bytes that stay free in each pool. */
  readonly reserveBytes: bigint;
  readonly online: OnlineExpansion;
  /** Left out: nobody has asked the device. */
  readonly premises?: Premises;
}

/** ControllerExpandVolume, in domain terms. */
export interface ExpandRequest {
  readonly volumeId: VolumeId;
  readonly range: CapacityRange;
  readonly capability: Capability | undefined;
  readonly signal: AbortSignal;
}

/** A volume that has at least the size that was asked for. */
export interface ExpandedVolume {
  /** Bytes, as measured on the RDS. */
  readonly sizeBytes: bigint;
  /** Whether NodeExpandVolume has something to do: a filesystem to grow, or a device to rescan. */
  readonly nodeExpansionRequired: boolean;
}

/** A host that gives up earlier might lose its device while the export is off; seconds. */
const SHORTEST_CTRL_LOSS_TMO = 30;
const ATTEMPTS = 6;

/** Grows volumes. A repeated call finishes the work of an interrupted one. */
export class ExpansionService {
  readonly #options: ExpansionServiceOptions;

  constructor(options: ExpansionServiceOptions) {
    this.#options = options;
  }

  /** CSI ControllerExpandVolume: two RouterOS commands, one if the volume is large enough. */
  async expand(request: ExpandRequest): Promise<ExpandedVolume> {
    const { volumeId: id, range, capability, signal } = request;
    checkRange(range);
    if (capability !== undefined) requireSupported([capability]);
    const { rds, reserveBytes, premises } = this.#options;
    premises?.require("expansion");
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const { found, pool } = await rds.findWithPool(id, reserveBytes, signal);
      const volume = await this.#step(await rds.conversions.required(id, found, signal), pool, request);
      if (volume !== undefined) return answer(volume, capability);
    }
    throw failure("recordConflict", { volume: id, attempts: ATTEMPTS });
  }

  /** One try on a volume that was just read. @returns the volume once it is as asked for; undefined: look again */
  async #step(
    volume: RdsVolume,
    pool: Pool | undefined,
    { range, signal }: ExpandRequest,
  ): Promise<RdsVolume | undefined> {
    const { id, disk, record } = volume;
    requireFinished(volume);
    if (disk.size === undefined) throw failure("volumeNotReady", { volume: id });
    const sizeBytes = grownSize(disk.size, range);
    const isMarked = record.reExportSince !== undefined;
    if (sizeBytes === disk.size && !isMarked) return volume;
    const reExport = this.#options.online === "re-export" && record.attachments.length > 0;
    const problem = sizeBytes === disk.size && !reExport ? undefined : this.#problem(record);
    if (isMarked && (!reExport || problem !== undefined)) {
      // Begun under another --online-expansion: the export is put right, then it is decided anew.
      await this.#endReExport(volume, signal);
      return undefined;
    }
    if (problem !== undefined) {
      const nodes = record.attachments.map(({ node }) => node);
      throw failure("expansionNeedsDetach", { volume: id, nodes, reason: problem });
    }
    if (record.attachments.length > 0 && sizeBytes !== disk.size)
      this.#options.premises?.require("online-expansion");
    if (pool === undefined) throw failure("poolNotMounted", { pool: disk.filePath.split("/")[0] ?? "" });
    if (sizeBytes > pool.size) throw outOfRange(range, `pool ${pool.slot} has ${pool.size} bytes in all`);
    return this.#grow(volume, pool, sizeBytes, reExport, signal);
  }

  async #grow(
    volume: RdsVolume,
    pool: Pool,
    sizeBytes: bigint,
    reExport: boolean,
    signal: AbortSignal,
  ): Promise<RdsVolume | undefined> {
    const { rds, reporter, logger, clock } = this.#options;
    const { id, disk, record } = volume;
    const nodes = record.attachments.map(({ node }) => node);
    logger.info("growing a volume", {
      volume: id,
      from: String(disk.size),
      to: String(sizeBytes),
      nodes,
      reExport,
    });
    const now = Math.floor(clock.now() / 1_000);
    const reExportSince = reExport ? (record.reExportSince ?? now) : undefined;
    const result = await rds.grow({ volume, pool, sizeBytes, reExportSince, signal });
    if (result.kind === "absent") return rds.conversions.absent(id, signal);
    if (result.kind === "conflict") return undefined;
    reporter.written(result.volume, reExport ? [{ type: "ReExported", nodes, sizeBytes }] : []);
    return result.volume;
  }

  /** Why an attached volume is not expanded; undefined if it may be, or is not attached. */
  #problem(record: VolumeRecord): string | undefined {
    if (record.attachments.length === 0 || this.#options.online === "announce") return undefined;
    if (this.#options.online === "refuse") return "--online-expansion is refuse";
    // The hosts have the settings that they were given.
    return givenConnections(record)
      .map(intolerance)
      .find((reason) => reason !== undefined);
  }

  async #endReExport(volume: RdsVolume, signal: AbortSignal): Promise<void> {
    const { rds, reporter } = this.#options;
    await changeRecord(rds, reporter, {
      id: volume.id,
      first: volume,
      fresh: true,
      node: "",
      purpose: "change",
      signal,
      decide: async ({ record }) => ({
        kind: "accept",
        record: record.reExportSince === undefined ? record : { ...record, reExportSince: undefined },
        export: record.attachments.length === 0 ? "off" : "keep",
        events: [],
      }),
    });
  }
}

/** Why the hosts of a volume might not survive that its export goes off for a moment; undefined if they do. */
function intolerance({ ctrlLossTmo, fastIoFailTmo }: ConnectionSettings): string | undefined {
  if (ctrlLossTmo !== -1 && ctrlLossTmo < SHORTEST_CTRL_LOSS_TMO) {
    return `its export would go off for a moment, and its ctrlLossTmo of ${ctrlLossTmo} s is below ${SHORTEST_CTRL_LOSS_TMO} s`;
  }
  if (fastIoFailTmo !== -1) {
    return `its export would go off for a moment, and with fastIoFailTmo (${fastIoFailTmo} s) I/O may fail meanwhile`;
  }
  return undefined;
}

/**
 * A filesystem always has to grow on a node. A block volume needs a node to rescan only if it is attached; else the
 * claim would wait for a node that need not come: the size is taken over when it is staged.
 */
function answer({ disk, record }: RdsVolume, capability: Capability | undefined): ExpandedVolume {
  const isAttached = record.attachments.length > 0;
  const mayHaveFilesystem =
    record.filesystem !== undefined || record.attachments.some(({ accessType }) => accessType === "mount");
  const hasFilesystem = capability === undefined ? mayHaveFilesystem : capability.accessType === "mount";
  return { sizeBytes: disk.size ?? 0n, nodeExpansionRequired: hasFilesystem || isAttached };
}
