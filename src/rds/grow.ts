import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { ros, type Script } from "../routeros/script.ts";
import { changeDisk, commandFailure, type RdsContext } from "./context.ts";
import type { Disk } from "./disk.ts";
import { exportIsOn, exportPause, standingExport, type WantedExport } from "./export.ts";
import { pollDisk } from "./poll.ts";
import { type Pool, poolRefused } from "./pool.ts";
import { type RdsVolume, writtenVolume } from "./volume.ts";
import type { WriteResult } from "./write-record.ts";

/** How a volume is to grow. */
export interface GrowSpec {
  /** As read; its comment is compared. */
  readonly volume: RdsVolume;
  /** Its pool, for messages. */
  readonly pool: Pool;
  /** Bytes, a multiple of the granularity, or the size that the volume has. */
  readonly sizeBytes: bigint;
  /**
   * For a target that shows a new size only with a new export: the same command switches the export of the attached volume off and on, some
   * seconds apart. The record holds this time (seconds since the Unix epoch) until that is done. undefined: the export is not touched.
   */
  readonly reExportSince: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Grows a volume: one RouterOS command that compares the record, sets the size if it is smaller, and reads back; then
 * waits until the item shows the size. Never shrinks: a size that somebody else has raised meanwhile stays. May be
 * repeated after any interruption.
 * @throws poolRefused (RESOURCE_EXHAUSTED) when the device has no room; expansionNeedsDetach (FAILED_PRECONDITION) when it
 *   does not end an export in use; notVerified, and the link's failures
 */
export async function growVolume(context: RdsContext, spec: GrowSpec): Promise<WriteResult> {
  const { volume, sizeBytes, reExportSince, signal } = spec;
  const { id } = volume;
  const what = `grow volume ${id}`;
  const plan =
    reExportSince === undefined ? growOnly(volume, sizeBytes) : growAndReExport(context, spec, reExportSince);
  const outcome = await changeDisk(context, what, "change", id, plan.script, signal);
  if (!outcome.ok) throw growFailed(spec, outcome.failure, what);
  const isDone = (disk: Disk): boolean =>
    disk.comment === plan.after &&
    (disk.size ?? 0n) >= sizeBytes &&
    (plan.wanted === undefined || exportIsOn(disk, plan.wanted));
  const isSettled = (disk: Disk | undefined) =>
    disk === undefined || disk.comment !== plan.after || isDone(disk);
  const now = await pollDisk(context, id, signal, outcome.disk, isSettled);
  if (now === undefined) return { kind: "absent" };
  // Also the mark of an unfinished re-export: the next attempt goes on from it.
  if (now.comment !== plan.after) return { kind: "conflict" };
  if (!isDone(now)) {
    const detail = `size ${now.size ?? "unknown"}, nvme-tcp-export=${now.exported ? "yes" : "no"}`;
    throw failure("notVerified", { what: `growing volume ${id} to ${sizeBytes} bytes`, detail });
  }
  return { kind: "written", volume: writtenVolume(now, context.clusterId, what) };
}

interface Plan {
  readonly script: Script;
  /** The comment once it is done. */
  readonly after: string;
  /** undefined: the export is not looked at. */
  readonly wanted: WantedExport | undefined;
}

/** The condition on the size keeps a race of two expansions from shrinking the file: the record is the same for both. */
function growOnly({ disk }: RdsVolume, sizeBytes: bigint): Plan {
  return {
    script: ros`/disk/set [/disk/find where slot=${disk.slot} and comment=${disk.comment} and size<${sizeBytes}] file-size=${sizeBytes}`,
    after: disk.comment,
    wanted: undefined,
  };
}

/**
 * Mark the record, grow, export off, pause, export on and mark away. Growing may take long, so it comes first: hosts miss the export for
 * the pause only, which is shorter than their reconnect delay. Each step finds the item by the marked record in the argument of its own
 * `set`, so that it never overrules a change in between (a detach, a restored export). The mark stays when the line ends early. If the
 * size is refused, the mark is removed and the export stays untouched.
 */
function growAndReExport(context: RdsContext, { volume, sizeBytes }: GrowSpec, reExportSince: number): Plan {
  const { id, disk, record } = volume;
  const isMarked = record.reExportSince !== undefined;
  const after = isMarked ? encodeChecked(id, { ...record, reExportSince: undefined }) : disk.comment;
  const marked = isMarked ? disk.comment : encodeChecked(id, { ...record, reExportSince });
  const wanted = standingExport(context, volume);
  const mark = isMarked
    ? ros``
    : ros`/disk/set [/disk/find where slot=${id} and comment=$plain] comment=$marked; `;
  const grow = ros`:onerror f in={ /disk/set [/disk/find where slot=${id} and comment=$marked and size<${sizeBytes}] file-size=${sizeBytes} } do={ /disk/set [/disk/find where slot=${id} and comment=$marked] comment=$plain; :error $f }`;
  const grown = ros`/disk/find where slot=${id} and comment=$marked and size>=${sizeBytes}`;
  // The last `set` names nothing: run late, it would rename an export that another node uses by then.
  const isNamed = disk.nqn === wanted.nqn && disk.port === wanted.port;
  const name = ros` nvme-tcp-server-port=${BigInt(wanted.port)} nvme-tcp-server-nqn=${wanted.nqn}`;
  const off = ros`/disk/set [${grown}] nvme-tcp-export=no${isNamed ? ros`` : name}; ${exportPause(record)}`;
  const on = ros`/disk/set [${grown} and nvme-tcp-export=no and nvme-tcp-server-nqn=${wanted.nqn}] comment=$plain mount-filesystem=no nvme-tcp-export=yes`;
  return {
    script: ros`:local plain ${after}; :local marked ${marked}; ${mark}${grow}; ${off}; ${on}`,
    after,
    wanted,
  };
}

function growFailed(
  { volume, pool, sizeBytes, reExportSince }: GrowSpec,
  error: CommandFailure,
  what: string,
) {
  if (error.kind === "space") {
    return poolRefused(pool, sizeBytes - (volume.disk.size ?? 0n), error.text);
  }
  if (error.kind === "busy" && reExportSince !== undefined) {
    return failure("expansionNeedsDetach", {
      volume: volume.id,
      nodes: volume.record.attachments.map(({ node }) => node),
      reason: `the RDS does not switch its export off while hosts are connected (${error.text})`,
    });
  }
  return commandFailure(what, error);
}
