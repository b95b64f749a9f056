import { DriverError } from "../domain/errors/driver-error.ts";
import { RecentMap } from "../domain/recent-map.ts";
import type { SharedWork } from "../domain/shared-work.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandOutcome } from "../routeros/client.ts";
import { payload, type Reply } from "../routeros/envelope.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros, type Script } from "../routeros/script.ts";
import { disksOf, onlyDisk, type RdsContext, sharedReads } from "./context.ts";
import { type Disk, disks, SIZE_PROPERTIES } from "./disk.ts";
import { isSafePath } from "./layout.ts";
import { eachPart } from "./parted-read.ts";
import {
  type FileSpace,
  FileTally,
  type PendingLook,
  type Pool,
  poolHolding,
  poolWith,
  requirePool,
} from "./pool.ts";

/**
 * Largest sum that the device adds up, bytes: 1 EiB. Numbers of RouterOS are signed integers of 64 bits, so nothing near this overflows.
 */
const SUM_LIMIT = 1n << 60n;
/** Most slots whose sizes are asked for beside the sum, and most volumes that are listed with it: the line stays below 4 KiB. */
const MOST_ASKED = 24;
const MOST_LISTED = 32;
const READS = 2;
/** How long lists are read after a sum that did not come in time, or failed for an unknown reason: the device may be too slow for it, or busy. Milliseconds. */
const SLOW_REST_MS = 10 * 60_000;
/** The same after a sum that cannot be read, as while no disk shows its size. Milliseconds. */
const UNREADABLE_REST_MS = 60_000;
/** Errors of a sum after which a list is read. */
const FALLS_BACK: ReadonlySet<string> = new Set(["commandRejected", "rdsSilent"]);
/** Sums at a time. Callers beyond them share the next one: a sum costs the device a look at each disk. */
const SUMS_AT_A_TIME = 4;

/** A read of a pool's space and of a few disks. */
export interface SpaceRead {
  /** The volume that is to be created or grown, if any. */
  readonly id?: VolumeId | undefined;
  /** Slots whose sizes in the sum are of interest, as of now. */
  readonly asked: () => PendingLook;
  /** Bytes that stay free. */
  readonly reserve: bigint;
  readonly signal: AbortSignal;
}

/** What one command, or the parts of a list, say about the disks of a condition and the files below mount points. */
interface Found {
  readonly listed: readonly Disk[];
  below(mountPoint: string): FileSpace | undefined;
}

interface Wanted extends Pick<SpaceRead, "id" | "asked" | "signal"> {
  readonly what: string;
  /** Condition of the disks that are listed beside the volume: few of them. */
  readonly base: Script;
}

/** Volumes whose callers share one sum that has not begun. */
interface Batch {
  readonly ids: Set<VolumeId>;
  readonly number: number;
}

/**
 * Reads the space of pools. The device adds up the sizes of a pool's file disks, so that a read costs one command and a reply of the same
 * length, however many there are. A device that cannot do that lists them in parts (`eachPart`), which are added up here one by one.
 */
export class PoolSpace {
  readonly #context: RdsContext;
  /** Mount points by pool. The condition of a sum names one, so it is asked for with the last known one: the reply says whether it is right. */
  readonly #mountPoints = new RecentMap<string, string>(64);
  #last: string | undefined;
  /** On the monotonic clock. */
  #canSumFrom = 0;
  readonly #shared: SharedWork;
  readonly #batches = new Map<string, Batch>();
  #batchNumber = 0;

  constructor(context: RdsContext) {
    this.#context = context;
    this.#shared = sharedReads(context, SUMS_AT_A_TIME);
    // The mount point of a pool is its slot, unless somebody has changed it.
    this.#last = context.defaultPool;
  }

  /** Forgets what the device cannot do: another version may be able to. */
  reset(): void {
    this.#canSumFrom = 0;
  }

  /**
   * A pool, and the disk with a volume's slot if there is one. One RouterOS command; a second one if the mount point is not the last known
   * one; several on a device that cannot sum.
   * @throws poolNotFound (INVALID_ARGUMENT), poolNotMounted (UNAVAILABLE)
   */
  async ofPool(
    slot: string,
    read: SpaceRead,
  ): Promise<{ readonly listed: readonly Disk[]; readonly pool: Pool }> {
    const wanted = { ...read, base: ros`slot=${slot}`, what: `read pool ${slot}` };
    const guess = this.#mountPoints.get(slot) ?? slot;
    return this.#settled(wanted, guess, ({ listed, below }) => {
      const disk = requirePool(listed, slot);
      const files = below(this.#noted(disk));
      return files === undefined ? disk.mountPoint : { listed, pool: poolWith(disk, files, read.reserve) };
    });
  }

  /**
   * A volume's disk with every mounted item, and the pool that holds its file; undefined while that is not mounted. Commands as for `ofPool`.
   * @param filePath where the file was last, if that is known
   */
  async ofVolume(
    id: VolumeId,
    filePath: string | undefined,
    read: SpaceRead,
  ): Promise<{ readonly listed: readonly Disk[]; readonly pool: Pool | undefined }> {
    const wanted = { ...read, id, base: ros`mounted`, what: `read volume ${id} and its pool` };
    const guess = this.#guess(filePath);
    return this.#settled(wanted, guess, ({ listed, below }) => {
      const disk = onlyDisk(id, listed);
      const holder = disk === undefined ? undefined : poolHolding(listed, disk.filePath);
      if (holder === undefined) return { listed, pool: undefined };
      const files = below(this.#noted(holder));
      return files === undefined
        ? holder.mountPoint
        : { listed, pool: poolWith(holder, files, read.reserve) };
    });
  }

  #guess(filePath: string | undefined): string {
    const known = this.#last;
    if (known !== undefined && (filePath === undefined || filePath.startsWith(`${known}/`))) return known;
    return filePath?.split("/", 1)[0] ?? "";
  }

  #noted({ slot, mountPoint }: Disk): string {
    this.#mountPoints.set(slot, mountPoint);
    this.#last = mountPoint;
    return mountPoint;
  }

  /** @param use gives a mount point when it needs the sum of another one */
  async #settled<T extends object>(
    wanted: Wanted,
    guess: string,
    use: (found: Found) => T | string,
  ): Promise<T> {
    let mountPoint = guess;
    for (let reads = 0; reads < READS; reads++) {
      const found = await this.#sum(wanted, mountPoint);
      if (found === undefined) break;
      const result = use(found);
      if (typeof result !== "string") return result;
      mountPoint = result;
    }
    return use(await this.#inParts(wanted)) as T;
  }

  /** Lets the device add up, for all callers that wait for the same sum. One RouterOS command. @returns undefined when it cannot */
  async #sum(wanted: Wanted, mountPoint: string): Promise<Found | undefined> {
    if (this.#context.clock.monotonic() < this.#canSumFrom || (mountPoint !== "" && !isSafePath(mountPoint)))
      return undefined;
    const key = `${wanted.base.render("")} ${mountPoint}`;
    const last = this.#batches.get(key);
    const batch =
      last !== undefined && last.ids.size < MOST_LISTED
        ? last
        : { ids: new Set<VolumeId>(), number: ++this.#batchNumber };
    this.#batches.set(key, batch);
    if (wanted.id !== undefined) batch.ids.add(wanted.id);
    return this.#shared.run(`${key} ${batch.number}`, wanted.signal, (signal) => {
      if (this.#batches.get(key) === batch) this.#batches.delete(key);
      return this.#sumOf({ ...wanted, signal }, [...batch.ids], mountPoint);
    });
  }

  async #sumOf(
    { what, base, asked, signal }: Wanted,
    ids: readonly VolumeId[],
    mountPoint: string,
  ): Promise<Found | undefined> {
    const where = conditionOf(base, ids);
    const { ids: pending, endings } = asked();
    const slots = pending.slice(0, MOST_ASKED);
    const sum = mountPoint === "" ? ros`` : ros`${sumBelow(mountPoint, slots)}; `;
    const outcome = await this.#context.client
      .run({
        what,
        purpose: "read",
        listing: disks(where),
        body: (rows) => ros`${sum}${rows}`,
        signal,
        coalesceKey: `space:${where.render("")}:${sum.render("")}`,
      })
      .catch((error: unknown) => {
        if (error instanceof DriverError && FALLS_BACK.has(error.id)) return error;
        throw error;
      });
    if (outcome instanceof DriverError || !outcome.ok) {
      this.#canSumFrom = this.#context.clock.monotonic() + restAfter(outcome);
      return undefined;
    }
    const files = mountPoint === "" ? undefined : readSum(outcome.reply, new Set(slots), endings);
    if (mountPoint !== "" && files === undefined) {
      this.#canSumFrom = this.#context.clock.monotonic() + UNREADABLE_REST_MS;
      return undefined;
    }
    return { listed: disksOf(outcome), below: (other) => (other === mountPoint ? files : undefined) };
  }

  async #inParts({ what, base, id, asked, signal }: Wanted): Promise<Found> {
    const where = conditionOf(base, id === undefined ? [] : [id]);
    const tally = new FileTally(asked());
    const listed: Disk[] = [];
    const read = {
      ...{ what, signal, coalesceKey: "space" },
      where: ros`${where} or type="file"`,
      core: where,
      files: ros`type="file"`,
      properties: SIZE_PROPERTIES,
    };
    let mountPoints: readonly string[] | undefined;
    await eachPart(this.#context, read, (part) => {
      if (mountPoints === undefined) {
        // The first part has all disks but file disks.
        listed.push(...part.filter(({ type, mounted, slot }) => type !== "file" || mounted || slot === id));
        mountPoints = listed.flatMap(({ mountPoint }) => (mountPoint === "" ? [] : [mountPoint]));
      }
      tally.take(part, mountPoints);
      return true;
    });
    return { listed, below: (mountPoint) => tally.below(mountPoint) };
  }
}

/** How long a device that did not answer with a sum is not asked for one. Milliseconds. */
function restAfter(outcome: DriverError | Extract<CommandOutcome, { ok: false }>): number {
  if (outcome instanceof DriverError) return outcome.id === "rdsSilent" ? SLOW_REST_MS : Infinity;
  const { kind } = outcome.failure;
  if (kind === "parse" || kind === "argument") return Infinity;
  // The others are reasons of the moment, or of the disks.
  return kind === "other" ? SLOW_REST_MS : 0;
}

function conditionOf(base: Script, ids: readonly VolumeId[]): Script {
  return ids.reduce((conditions, id) => ros`${conditions} or slot=${id}`, base);
}

/**
 * Statements: put number of file disks below a mount point, number of those that show a size, and sum of the sizes under `space`, and the
 * sizes of `slots` among them under `sizes`; the sum is without these. Each disk is in one of the two prints, as slots do not change. The loop
 * has one short statement, as nobody knows how fast a device runs it. Sizes whose sum might be above the limit end the command with `no-sum`.
 * @param of end of the two labels, for a command with several sums
 */
export function sumBelow(mountPoint: string, slots: readonly VolumeId[], of = ""): Script {
  const below = ros`type="file" and file-path~${`^/?${escapeRegex(mountPoint)}/`}`;
  const chosen = `^(${slots.map(escapeRegex).join("|")})$`;
  const others = slots.length === 0 ? below : ros`${below} and !(slot~${chosen})`;
  const print = (where: Script) =>
    ros`[/disk/print detail as-value proplist=slot,size where ${where} and size>0]`;
  const guard = ros`:local most (${SUM_LIMIT} / ([:len $all] + 1)); :if ([:len [/disk/find where ${others} and size>$most]] > 0) do={ :error "rds-csi:no-sum" }`;
  const sum = ros`:local all ${print(others)}; ${guard}; :local total 0; :foreach one in=$all do={ :set total ($total + ($one->"size")) }`;
  const note =
    slots.length === 0
      ? ros``
      : ros`; :foreach one in=${print(ros`${below} and slot~${chosen}`)} do={ :set noted ($noted . "|" . ($one->"slot") . "=" . ($one->"size")) }`;
  const space = payload(
    `space${of}`,
    ros`[:len [/disk/find where ${others}]] . ":" . [:len $all] . ":" . $total`,
  );
  return ros`${sum}; :local noted ""${note}; ${space}; ${payload(`sizes${of}`, ros`$noted`)}`;
}

/** The sum that `sumBelow` put into a reply. @returns undefined when it cannot be read, or when no disk shows a size: then `proplist` may hide them */
export function readSum(
  reply: Reply,
  asked: ReadonlySet<string>,
  endings: number,
  of = "",
): FileSpace | undefined {
  const [, all, sized, total] = /^(\d+):(\d+):(\d+)$/.exec(reply.flat(`space${of}`)?.trim() ?? "") ?? [];
  const noted = reply.flat(`sizes${of}`)?.trim();
  if (total === undefined || noted === undefined || !/^(\|[^=|]+=\d+)*$/.test(noted)) return undefined;
  if (sized === "0" && all !== "0") return undefined;
  const counted = new Map<string, bigint>();
  for (const [, slot = "", bytes = ""] of noted.matchAll(/\|([^=|]+)=(\d+)/g))
    counted.set(slot, BigInt(bytes));
  const allocated = [...counted.values()].reduce((sum, bytes) => sum + bytes, BigInt(total));
  return { allocated, counted, asked, endings };
}
