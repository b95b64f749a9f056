import { systemClock } from "../../domain/clock.ts";
import { toDriverError } from "../../domain/errors/driver-error.ts";
import { silentLogger } from "../../observability/log.ts";
import type { RdsContext } from "../../rds/context.ts";
import type { Disk } from "../../rds/disk.ts";
import { fileExists, listEverything } from "../../rds/lookup.ts";
import { Rds } from "../../rds/rds.ts";
import { classify } from "../../rds/volume.ts";
import { RouterOsClient } from "../../routeros/client.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { createSshTransport } from "../../routeros/transport/ssh-transport.ts";
import type { DiagnoseContext } from "../context.ts";
import { type Known, known } from "../known.ts";

/** A node in a volume's record. */
export interface RecordedNode {
  readonly node: string;
  readonly hostNqn: string;
  readonly accessMode: string;
  readonly readonly: boolean;
  /** Seconds since the Unix epoch. */
  readonly since: number;
}

/** A disk with a slot of ours. */
export interface RdsVolumeFacts {
  readonly slot: string;
  /** Why it is not ours; undefined if it is. */
  readonly foreign: string | undefined;
  /** Claim by the record, `namespace/name`. */
  readonly claim: string | undefined;
  readonly epoch: number;
  readonly attachments: readonly RecordedNode[];
  readonly migrating: boolean;
  /** An expansion is switching the export off and on. */
  readonly reExporting: boolean;
  readonly filePath: string;
  /** Bytes; undefined while the device is not ready. */
  readonly sizeBytes: number | undefined;
  readonly exported: boolean;
  readonly nqn: string;
  readonly port: number | undefined;
  readonly allowHost: string;
  /** Of a volume without size: whether its file is there. */
  readonly fileExists: boolean | undefined;
}

/** A disk, RAID or pool that is not a volume. */
export interface PoolFacts {
  readonly slot: string;
  readonly type: string;
  readonly mounted: boolean;
  readonly mountPoint: string;
  readonly fs: string;
  readonly state: string;
}

export interface RdsFacts {
  readonly address: string;
  readonly version: string;
  readonly volumes: readonly RdsVolumeFacts[];
  readonly pools: readonly PoolFacts[];
}

const PATIENCE_MS = 3_000;
/** The part of the time that is left in which the RDS has to answer. */
const SHARE = 0.9;
/** Files that are looked for; more missing ones than these have one cause. */
const MOST_FILES = 8;

/**
 * Asks the RDS: its version, every disk, and the files of volumes that have no size. Three kinds of command, all reading.
 * @param leftMs time until nobody waits any more; a little sooner the answer is the command that hangs
 */
export async function rdsFacts(
  { config }: Pick<DiagnoseContext, "config">,
  stop: AbortSignal,
  leftMs: number,
): Promise<Known<RdsFacts>> {
  if (config.rds.state !== "known") return config.rds;
  const transport = createSshTransport({
    ...config.rds.value,
    logger: silentLogger,
    patienceMs: PATIENCE_MS,
    connectTimeoutMs: PATIENCE_MS,
  });
  const { signal, clear } = limitOf(transport, Math.round(leftMs * SHARE * 0.01) / 10, stop);
  try {
    const context: RdsContext = {
      client: new RouterOsClient(transport),
      clock: systemClock,
      logger: silentLogger,
      clusterId: config.clusterId,
      nqnPrefix: config.nqnPrefix,
      // Used for changes only, which are not made here.
      nvmePort: 4420,
      fencing: "epoch",
    };
    const version = await new Rds(context).version(signal);
    const disks = await listEverything(context, signal);
    const volumes: RdsVolumeFacts[] = [];
    let files = 0;
    for (const disk of disks) {
      const facts = volumeFacts(disk, config.clusterId);
      if (facts === undefined) continue;
      const look = facts.sizeBytes === undefined && disk.filePath !== "" && files < MOST_FILES;
      if (look) files += 1;
      volumes.push({
        ...facts,
        fileExists: look ? await fileExists(context, disk.filePath, signal) : undefined,
      });
    }
    const pools = disks.filter(({ type }) => type !== "file").map(poolFacts);
    return known({ address: transport.address, version: version.text, volumes, pools });
  } catch (error) {
    const failed = toDriverError(error);
    return { state: "unknown", reason: failed.summary, error: failed };
  } finally {
    clear();
    // Whether it closes in order does not matter: nothing was changed.
    void transport.close().catch(() => {});
  }
}

function volumeFacts(disk: Disk, clusterId: string | undefined): RdsVolumeFacts | undefined {
  const found = classify(disk, clusterId);
  if (found === undefined) return undefined;
  const record = found.kind === "volume" ? found.volume.record : undefined;
  const { claim } = record ?? {};
  return {
    slot: disk.slot,
    foreign: found.kind === "foreign" ? found.foreign.reason : undefined,
    claim: claim && `${claim.namespace}/${claim.name}`,
    epoch: record?.epoch ?? 0,
    attachments: (record?.attachments ?? []).map(({ node, hostNqn, accessMode, readonly, since }) => ({
      node,
      hostNqn,
      accessMode,
      readonly,
      since,
    })),
    migrating: record?.migration !== undefined,
    reExporting: record?.reExportSince !== undefined,
    filePath: disk.filePath,
    sizeBytes: disk.size === undefined ? undefined : Number(disk.size),
    exported: disk.exported,
    nqn: disk.nqn,
    port: disk.port,
    allowHost: disk.allowHost,
    fileExists: undefined,
  };
}

function poolFacts({ slot, type, mounted, mountPoint, fs, state }: Disk): PoolFacts {
  return { slot, type, mounted, mountPoint, fs, state };
}
