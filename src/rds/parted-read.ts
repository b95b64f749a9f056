import { failure } from "../domain/errors/driver-error.ts";
import type { CommandFailure } from "../routeros/client.ts";
import type { Reply } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";
import { disksOf, type RdsContext, readFailure, runChecked, runRead } from "./context.ts";
import { ALL_PROPERTIES, type Disk, type DiskProperty, disks } from "./disk.ts";
import { cutPart, NUMBERED_SLOTS, OUR_SLOTS, patternOf, type SlotPart } from "./slot-parts.ts";

/**
 * Largest reply, in bytes. RouterOS cuts replies that are larger than the client's channel window, some at a fifth of it. The window
 * of this client is 2 MiB.
 */
export const REPLY_BYTES = 256 * 1024;
/** A row with every property and a record of middling length, in bytes. Source: rows of RDS2216, 7.24.4. */
const FULL_ROW_BYTES = 1_500;
/** Rows of file disks with chosen properties, in bytes, with and without their record. */
const BRIEF_ROW_BYTES = 1_000;
const SIZE_ROW_BYTES = 190;

/** A list of disks that may be long. */
export interface PartedRead {
  readonly what: string;
  readonly coalesceKey: string;
  readonly signal: AbortSignal;
  /** Condition of the listed items; undefined is every item. */
  readonly where: Script | undefined;
  /** The listed items of which every property is read also when there are many: few of them. */
  readonly core: Script;
  /** The other listed items: file disks. */
  readonly files: Script;
  /** The properties that are read of these when there are many. */
  readonly properties: readonly DiskProperty[];
}

/** One reply of a list. */
export interface Part {
  readonly where: Script | undefined;
  /** undefined: every property. */
  readonly properties: readonly DiskProperty[] | undefined;
  /** More rows than this are counted and not listed; undefined lists them all. */
  readonly limit: number | undefined;
}

/** Takes the disks of one reply. Returns false when the rest of the list is not wanted. */
export type TakePart = (disks: readonly Disk[]) => boolean;

/**
 * Reads a list of disks: one command while they are few, else in parts by slot, each small enough to arrive whole. A part
 * that fails fails the list. An item that exists the whole time is listed once; one that is made or removed while the parts
 * are read may be listed or not, and each item is shown as it was at some moment of the read.
 */
export async function readInParts(context: RdsContext, read: PartedRead): Promise<Disk[]> {
  const listed: Disk[] = [];
  await eachPart(context, read, (disks) => {
    for (const disk of disks) listed.push(disk);
    return true;
  });
  return listed;
}

/**
 * As `readInParts`, part by part: the memory that it takes is that of one part. The first part holds all disks, or all of
 * `core`; the file disks of ours follow in slot order within each part's prefix, and those of others come last.
 * @returns whether the list was read to its end
 */
export async function eachPart(context: RdsContext, read: PartedRead, take: TakePart): Promise<boolean> {
  const limit = Math.floor(REPLY_BYTES / FULL_ROW_BYTES);
  const whole = await readPart(context, read, { where: read.where, properties: undefined, limit });
  if (isRows(whole)) return take(whole);
  const core = await readAll(context, read, { where: read.core });
  if (!take(core)) return false;
  const known = new Set(core.map(({ slot }) => slot));
  const rest: TakePart = (disks) => take(disks.filter(({ slot }) => !known.has(slot)));
  const ours = patternOf(OUR_SLOTS);
  if (!(await readSlots(context, read, rest, OUR_SLOTS, whole.count))) return false;
  return readRest(context, read, rest, ros`(${read.files}) and !(slot~${ours})`);
}

/**
 * A list of disks in one command, behind a statement that prints something else.
 * @returns undefined when there are too many for one reply
 */
export async function readWithAnswer(
  context: RdsContext,
  read: Pick<PartedRead, "what" | "where" | "signal">,
  before: Script,
): Promise<{ readonly reply: Reply; readonly disks: readonly Disk[] } | undefined> {
  const { what, where, signal } = read;
  const limit = Math.floor(REPLY_BYTES / FULL_ROW_BYTES);
  const outcome = await runRead(context, {
    what,
    listing: disks(where, ALL_PROPERTIES),
    body: (rows) => ros`${before}; ${guard(where, limit)}${rows}`,
    signal,
  });
  if (outcome.ok) return { reply: outcome.reply, disks: disksOf(outcome) };
  if (tooMany(outcome.failure) === undefined) throw readFailure(what, outcome.failure);
  return undefined;
}

/** File disks of a part, cut further as their number demands. @returns whether all were taken */
async function readSlots(
  context: RdsContext,
  read: PartedRead,
  take: TakePart,
  part: SlotPart,
  count: number,
  among: Script = read.files,
): Promise<boolean> {
  // Parts differ in size, so they are planned smaller than they may be.
  const parts = cutPart(part, Math.max(2, Math.ceil((count * 1.5) / briefLimit(context, read))));
  for (const each of parts) {
    const pattern = patternOf(each);
    const where = ros`(${among}) and slot~${pattern}`;
    const { properties } = read;
    const isWhole = cutPart(each, 2).length === 1;
    const limit = isWhole ? undefined : briefLimit(context, read);
    const rows = await readPart(context, read, { where, properties, limit });
    const goesOn = isRows(rows) ? take(rows) : await readSlots(context, read, take, each, rows.count, among);
    if (!goesOn) return false;
  }
  return true;
}

/** File disks whose slots have not the form of ours. @returns whether all were taken */
async function readRest(
  context: RdsContext,
  read: PartedRead,
  take: TakePart,
  where: Script,
): Promise<boolean> {
  const { properties } = read;
  const limit = briefLimit(context, read);
  const rows = await readPart(context, read, { where, properties, limit });
  if (isRows(rows)) return take(rows);
  if (!(await readSlots(context, read, take, NUMBERED_SLOTS, rows.count, where))) return false;
  const last = ros`(${where}) and !(slot~${patternOf(NUMBERED_SLOTS)})`;
  return take(await readAll(context, read, { where: last, properties }));
}

async function readAll(
  context: RdsContext,
  read: PartedRead,
  part: Pick<Part, "where"> & Partial<Part>,
): Promise<readonly Disk[]> {
  const rows = await readPart(context, read, { properties: undefined, ...part, limit: undefined });
  if (isRows(rows)) return rows;
  throw failure("internal", { what: `${read.what}: ${rows.count} rows without a limit` });
}

export function isRows(found: readonly Disk[] | { readonly count: number }): found is readonly Disk[] {
  return Array.isArray(found);
}

/** The rows of a part, or their number when there are too many. One RouterOS command. */
export async function readPart(
  context: RdsContext,
  read: Pick<PartedRead, "what" | "signal" | "coalesceKey">,
  { where, properties, limit }: Part,
): Promise<readonly Disk[] | { readonly count: number }> {
  const { what, signal } = read;
  const listing = { ...disks(where, properties ?? ALL_PROPERTIES), brief: properties !== undefined };
  const command = {
    what,
    purpose: "read",
    listing,
    body: (rows: Script) => (limit === undefined ? rows : ros`${guard(where, limit)}${rows}`),
    signal,
    // Parts with the same condition are equal reads.
    coalesceKey: `${read.coalesceKey}:${where?.render("") ?? ""}`,
  } as const;
  if (limit === undefined) return collected(disksOf(await runChecked(context, command)));
  const outcome = await runRead(context, command);
  if (outcome.ok) return collected(disksOf(outcome));
  const count = tooMany(outcome.failure);
  if (count === undefined) throw readFailure(what, outcome.failure);
  return { count };
}

/** After so many disks the garbage of their replies is collected, as the runtime would let it grow to more than the list itself. */
const COLLECT_AFTER = 2_000;
let uncollected = 0;

/** Counts disks, and collects garbage if the runtime is Bun. A collection takes some milliseconds. @returns the disks */
function collected(found: readonly Disk[]): readonly Disk[] {
  uncollected += found.length;
  if (uncollected >= COLLECT_AFTER) {
    uncollected = 0;
    (globalThis as { readonly Bun?: { gc(isSync: boolean): unknown } }).Bun?.gc(true);
  }
  return found;
}

/** Statements that end the command when more than `most` items of a menu meet the condition. */
export function guard(where: Script | undefined, most: number, menu: Script = ros`/disk`): Script {
  const condition = where === undefined ? ros`` : ros` where ${where}`;
  return ros`:local n [:len [${menu}/find${condition}]]; :if ($n > ${BigInt(most)}) do={ :error ("rds-csi:too-many-" . $n) }; `;
}

/** The number of items for which `guard` ended a command; undefined: it failed in another way. */
export function tooMany({ reason, text }: CommandFailure): number | undefined {
  const count = reason === "too-many-" ? /^rds-csi:too-many-(\d+)/.exec(text)?.[1] : undefined;
  return count === undefined ? undefined : Number(count);
}

/** How many file disks fit into one reply. A device without `proplist` prints every property. */
export function briefLimit({ client }: RdsContext, { properties }: Pick<PartedRead, "properties">): number {
  const brief = properties.includes("comment") ? BRIEF_ROW_BYTES : SIZE_ROW_BYTES;
  return Math.floor(REPLY_BYTES / (client.readsBrief === false ? FULL_ROW_BYTES : brief));
}
