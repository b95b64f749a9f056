import { decodeSnapshotName } from "../domain/record/snapshot-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { payload } from "../routeros/envelope.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros, type Script } from "../routeros/script.ts";
import { anyOf } from "./backing-file.ts";
import { type RdsContext, readFailure, runRead } from "./context.ts";
import type { Disk } from "./disk.ts";
import { listFilesOf } from "./inspected.ts";
import type { Layout } from "./layout.ts";
import { findLeftover } from "./leftover.ts";
import { listEverything } from "./lookup.ts";
import { type RemoveResult, removeFile } from "./remove.ts";
import { OUR_SLOTS } from "./slot-parts.ts";
import { listSnapshots, listVolumeSubvolumes } from "./snapshot-list.ts";
import { lastOf, type RdsSnapshot } from "./snapshot-names.ts";
import type { Subvolume } from "./subvolume.ts";
import { type RdsFile, type Survey, surveyOf } from "./survey.ts";

/**
 * Everything on a RDS that may be a volume or a snapshot, or a part of one. Read in this order: what is made meanwhile has its disk item if it
 * has its file.
 */
export interface Inventory {
  /** Image files that bear a slot of ours, in any folder. */
  readonly files: readonly RdsFile[];
  /** Living subvolumes whose last component is a slot of ours, in any folder. */
  readonly subvolumes: readonly Subvolume[];
  /** Of every installation. */
  readonly snapshots: readonly RdsSnapshot[];
  /** Every item of `/disk`. */
  readonly disks: readonly Disk[];
  /** The same items, sorted. */
  readonly survey: Survey;
}

/** A file or folder that is left. */
export interface LeftDetails {
  /** Seconds since it was last written, by the clock of the RDS; undefined: the RDS does not say it. */
  readonly idleSeconds: number | undefined;
  /** Files and folders below it; undefined: the RDS does not say it. */
  readonly entries: number | undefined;
}

/** Most paths in one command: how long a line may be is unknown. */
const PATHS_AT_ONCE = 10;

/** Reads all that may be left on one RDS, and removes a file that is. All methods throw the link's failures. */
export class InventoryStore {
  readonly #context: RdsContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;

  /** @param ready awaited before each command */
  constructor(context: RdsContext, ready: (signal: AbortSignal) => Promise<unknown>) {
    this.#context = context;
    this.#ready = ready;
  }

  /** Four RouterOS commands, or several more when there is much. */
  async read(signal: AbortSignal): Promise<Inventory> {
    await this.#ready(signal);
    const files = await listFilesOf(this.#context, OUR_SLOTS, signal);
    const subvolumes = await listVolumeSubvolumes(this.#context, signal);
    const named = await listSnapshots(this.#context, {}, signal);
    const disks = await listEverything(this.#context, signal);
    const snapshots = named.flatMap((subvolume) => {
      const decoded = decodeSnapshotName(lastOf(subvolume.name));
      return decoded.kind === "snapshot" ? [{ record: decoded.record, subvolume }] : [];
    });
    return { files, subvolumes, snapshots, disks, survey: surveyOf(disks, this.#context.clusterId) };
  }

  /**
   * What `/file` says of paths. One RouterOS command for each ten. A device that refuses the question leaves it unanswered: the
   * property has another name on some versions.
   */
  async details(paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, LeftDetails>> {
    const found = new Map<string, LeftDetails>();
    for (let at = 0; at < paths.length; at += PATHS_AT_ONCE)
      for (const [path, details] of await this.#details(paths.slice(at, at + PATHS_AT_ONCE), signal))
        found.set(path, details);
    return found;
  }

  async #details(paths: readonly string[], signal: AbortSignal): Promise<[string, LeftDetails][]> {
    await this.#ready(signal);
    const what = "look for the age of files";
    const body = detailsScript(paths);
    const outcome = await runRead(this.#context, { what, body: () => body, signal });
    if (!outcome.ok) {
      const { kind } = outcome.failure;
      if (kind === "busy" || kind === "transient") throw readFailure(what, outcome.failure);
      return [];
    }
    // A console that wraps lines may put blanks anywhere.
    const said = (label: string): string => (outcome.reply.flat(label) ?? "").replaceAll(/\s/g, "");
    const now = momentOf(said("now"));
    const times = pairsIn(said("times"));
    const entries = pairsIn(said("entries"));
    return paths.flatMap((path) => {
      const [time, count = ""] = [times.get(path), entries.get(path)];
      if (time === undefined) return [];
      const written = momentOf(time);
      const idleSeconds = now === undefined || written === undefined ? undefined : now - written;
      return [[path, { idleSeconds, entries: /^\d+$/.test(count) ? Number(count) : undefined }]];
    });
  }

  /**
   * Removes the file of a volume without disk item, with the proof that DeleteVolume demands, and only if it is the one at `path`.
   * One RouterOS command; two when it is there.
   * @param path of the file, or of the directory of its subvolume
   * @throws filePoolNotMounted (UNAVAILABLE), fileNotProven (FAILED_PRECONDITION), and as `removeFile`
   */
  async removeFile(
    id: VolumeId,
    path: string,
    { layout, mounted }: { readonly layout: Layout; readonly mounted: readonly Disk[] },
    signal: AbortSignal,
  ): Promise<RemoveResult> {
    await this.#ready(signal);
    const place = await findLeftover(this.#context, id, layout, mounted, signal);
    if (place === undefined) return "removed";
    if (place === "changed" || place.path !== path) return "changed";
    return removeFile(this.#context, id, place, signal);
  }
}

/** Statements: put the time of the device, the last change of each path, and the number of entries below each. */
function detailsScript(paths: readonly string[]): Script {
  const written = ros`:local times ""; :foreach i in=[/file/find where ${anyOf(paths)}] do={ :set times ($times . "|" . [/file/get $i name] . ">" . [/file/get $i last-modified]) }`;
  const below = paths
    .map(
      (path) =>
        ros`; :set entries ($entries . "|" . ${path} . ">" . [:len [/file/find where name~${`^/?${escapeRegex(path)}/`}]])`,
    )
    .reduce((all, each) => ros`${all}${each}`, ros`:local entries ""`);
  const now = ros`([/system/clock/get date] . " " . [/system/clock/get time])`;
  return ros`${written}; ${below}; ${payload("times", ros`$times`)}; ${payload("entries", ros`$entries`)}; ${payload("now", now)}`;
}

/** `|PATH>VALUE|PATH>VALUE…` */
function pairsIn(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split("|").flatMap((part) => {
      const at = part.lastIndexOf(">");
      return at < 0 ? [] : [[part.slice(0, at).replace(/^\/+/, ""), part.slice(at + 1)] as const];
    }),
  );
}

/** Seconds of a local time without blanks, `2026-11-2221:03:12`; only differences of two mean something. */
function momentOf(text: string): number | undefined {
  const [, date, time] = /^(\d{4}-\d\d-\d\d)(\d\d:\d\d:\d\d)$/.exec(text) ?? [];
  const ms = Date.parse(`${date}T${time}Z`);
  return Number.isNaN(ms) ? undefined : ms / 1_000;
}
