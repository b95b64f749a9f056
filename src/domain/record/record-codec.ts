import { FILESYSTEMS, type Filesystem } from "../access-mode.ts";
import { failure } from "../errors/driver-error.ts";
import { printable, shortened } from "../printable.ts";
import type { VolumeId } from "../volume-id.ts";
import {
  decodeAttachment,
  decodeCopy,
  decodeEnded,
  decodeExportName,
  decodeMigration,
  encodeAttachment,
  encodeConnections,
  encodeCopy,
  encodeEnded,
  encodeExportName,
  encodeMigration,
  oneOf,
  parts,
  withConnections,
} from "./record-parts.ts";
import {
  byteCount,
  epochNumber,
  escapeText,
  identifier,
  number,
  settingNumber,
  time,
  volumeName,
} from "./record-values.ts";
import { CONVERSIONS, DEFAULT_SETTINGS, type VolumeRecord, type VolumeSettings } from "./volume-record.ts";

/**
 * The stored form: `rds1;key=value;…`, printable ASCII without blanks, quotes or line ends, so that it
 * survives quoting, wrapping and every reply format. Values are percent-encoded outside [A-Za-z0-9._:/@-];
 * `,` separates parts of a value and `|` separates attachments. Only values that differ from the default are written.
 */
const SCHEMA = "rds1";
/** Of an unfinished volume: a driver that knows nothing of copies takes no such volume for a finished one. */
const UNFINISHED = "rds2";
const SCHEMA_PATTERN = /^rds(\d+)(;|$)/;

/** Printable ASCII without blanks and quotes. */
const UNKNOWN = /^[!#-~]*$/;

/** Longest record that is written, in bytes: two of them and the command around fit into 4 KiB. */
export const RECORD_LIMIT = 1_500;

const SETTING_KEYS = {
  mt: "migrationTimeoutSeconds",
  mg: "migrationGuard",
  cl: "ctrlLossTmo",
  rd: "reconnectDelay",
  ka: "keepAliveTmo",
  ff: "fastIoFailTmo",
  nq: "nrIoQueues",
  qs: "queueSize",
} as const satisfies Record<string, keyof VolumeSettings>;

/** A decoded comment. */
export type DecodedRecord =
  | { readonly kind: "record"; readonly record: VolumeRecord }
  /** Not written by this driver. */
  | { readonly kind: "foreign" }
  /** Written by this driver or a newer one, but not readable here. */
  | { readonly kind: "unreadable"; readonly reason: string };

/** Longest reason, in UTF-16 units: it may quote the comment. */
const REASON_LIMIT = 200;

/**
 * Writes a record. The result is the same for equal records.
 * @throws RangeError for a record that could not be read again: it would lock its volume away
 */
export function encodeRecord(record: VolumeRecord): string {
  const text = write(record);
  const read = decodeRecord(text);
  if (read.kind !== "record") {
    const reason = read.kind === "unreadable" ? read.reason : read.kind;
    throw new RangeError(`the record of ${record.name} could not be read again: ${reason}`);
  }
  return text;
}

/** Room in the record of a volume that is created or attached, so that revising and detaching it always fit. Bytes. */
export const REVISION_ROOM = 32;

/** The record as comment. @param room bytes that must stay free @throws recordTooLarge (INVALID_ARGUMENT) */
export function encodeChecked(id: VolumeId, record: VolumeRecord, room = 0): string {
  const comment = encodeRecord(record);
  const limit = RECORD_LIMIT - room;
  if (comment.length > limit) {
    throw failure("recordTooLarge", { volume: id, bytes: comment.length, limit });
  }
  return comment;
}

function isWhole({ copy, conversion }: VolumeRecord): boolean {
  return copy === undefined && conversion === undefined;
}

function write(record: VolumeRecord): string {
  const fields: string[] = [isWhole(record) ? SCHEMA : UNFINISHED];
  const put = (key: string, value: string | undefined): void => {
    if (value !== undefined) fields.push(`${key}=${value}`);
  };
  put("n", escapeText(record.name));
  put("c", escapeText(record.cluster));
  const { claim } = record;
  put("v", claim === undefined ? undefined : `${escapeText(claim.namespace)},${escapeText(claim.name)}`);
  put("t", String(record.createdAt));
  put("s", record.source === undefined ? undefined : escapeText(record.source));
  put("l", record.layout);
  put("w", record.wantedBytes === undefined ? undefined : String(record.wantedBytes));
  put("k", record.copy && encodeCopy(record.copy));
  put("y", record.conversion);
  put("f", record.filesystem);
  put("e", record.epoch === 0 ? undefined : String(record.epoch));
  put("a", record.attachments.length === 0 ? undefined : record.attachments.map(encodeAttachment).join("|"));
  put("o", encodeConnections(record.attachments));
  put("q", record.exportName && encodeExportName(record.exportName));
  put("i", record.invalidations === undefined ? undefined : String(record.invalidations));
  put("m", record.migration && encodeMigration(record.migration));
  put("x", record.ended.length === 0 ? undefined : record.ended.map(encodeEnded).join("|"));
  put("g", record.reExportSince === undefined ? undefined : String(record.reExportSince));
  for (const [key, setting] of Object.entries(SETTING_KEYS)) {
    const value = record.settings[setting];
    put(key, value === DEFAULT_SETTINGS[setting] ? undefined : String(value));
  }
  for (const [key, value] of record.unknown) put(key, value);
  return fields.join(";");
}

/**
 * Extended regular expression that each comment of `encodeRecord` meets whose record has an attachment of the node. Others may meet it
 * too.
 */
export function attachmentPattern(node: string): string {
  return `[=|]${escapeText(node).replace(/[.|]/g, "[$&]")},`;
}

/** Reads a disk item's comment. Never throws: a foreign comment must not stop a listing. */
export function decodeRecord(comment: string): DecodedRecord {
  const schema = SCHEMA_PATTERN.exec(comment);
  if (schema === null) return { kind: "foreign" };
  const isUnfinished = schema[1] === "2";
  if (schema[1] !== "1" && !isUnfinished)
    return { kind: "unreadable", reason: `record version ${schema[1]} is newer than this driver` };
  try {
    return { kind: "record", record: parse(comment.slice(SCHEMA.length + 1), isUnfinished) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: "unreadable", reason: shortened(printable(reason), REASON_LIMIT) };
  }
}

function parse(body: string, isUnfinished: boolean): VolumeRecord {
  const fields = new Map<string, string>();
  for (const field of body === "" ? [] : body.split(";")) {
    const at = field.indexOf("=");
    if (at < 1) throw new Error(`field ${JSON.stringify(field)} has no value`);
    const key = field.slice(0, at);
    if (fields.has(key)) throw new Error(`field ${key} appears twice`);
    fields.set(key, field.slice(at + 1));
  }
  const take = (key: string): string | undefined => {
    const value = fields.get(key);
    fields.delete(key);
    return value;
  };
  const need = (key: string): string => {
    const value = take(key);
    if (value === undefined) throw new Error(`field ${key} is missing`);
    return value;
  };
  const optional = <T>(key: string, read: (value: string) => T): T | undefined => {
    const value = take(key);
    return value === undefined ? undefined : read(value);
  };
  const name = volumeName(need("n"));
  const cluster = identifier(need("c"));
  const claim = optional("v", (value) => {
    const [namespace = "", claimName = ""] = parts(value, 2);
    return { namespace: identifier(namespace), name: identifier(claimName) };
  });
  const createdAt = time(need("t"));
  const source = optional("s", identifier);
  const layout = optional("l", (value) => oneOf(["subvolume"] as const, value));
  const wantedBytes = optional("w", byteCount);
  const conversion = isUnfinished ? optional("y", (value) => oneOf(CONVERSIONS, value)) : undefined;
  const copy = isUnfinished && conversion === undefined ? decodeCopy(need("k")) : undefined;
  const filesystem = optional("f", (value) => oneOf(FILESYSTEMS, value) as Filesystem);
  const epoch = optional("e", epochNumber) ?? 0;
  const attached = optional("a", (value) => value.split("|").map(decodeAttachment)) ?? [];
  const attachments = optional("o", (value) => withConnections(attached, value)) ?? attached;
  if (isUnfinished && attachments.length > 0) throw new Error("it is unfinished, and attached");
  if (attachments.length > 2) throw new Error(`${attachments.length} attachments`);
  const [first, second] = attachments;
  if (first !== undefined && first.node === second?.node)
    throw new Error(`node ${first.node} is attached twice`);
  const exportName = optional("q", decodeExportName);
  const invalidations = optional("i", number);
  const migration = optional("m", decodeMigration);
  if ((migration !== undefined) !== (attachments.length === 2)) {
    throw new Error(
      `${attachments.length} attachments ${migration === undefined ? "without" : "with"} a migration`,
    );
  }
  const ended = optional("x", (value) => value.split("|").map(decodeEnded)) ?? [];
  const reExportSince = optional("g", time);
  const settings = decodeSettings(take);
  const unknown = [...fields.entries()];
  // A field of a newer driver is written as every other one. Another character comes from damage, and might not survive a reply.
  const damaged = unknown.find(([key, value]) => !UNKNOWN.test(key + value));
  if (damaged !== undefined) throw new Error(`field ${damaged[0]} holds characters that no record has`);
  return {
    name,
    cluster,
    claim,
    createdAt,
    source,
    ...(layout === undefined ? {} : { layout }),
    ...(wantedBytes === undefined ? {} : { wantedBytes }),
    ...(copy === undefined ? {} : { copy }),
    ...(conversion === undefined ? {} : { conversion }),
    filesystem,
    epoch,
    attachments,
    ...(exportName === undefined ? {} : { exportName }),
    ...(invalidations === undefined ? {} : { invalidations }),
    migration,
    ended,
    reExportSince,
    settings,
    unknown,
  };
}

function decodeSettings(take: (key: string) => string | undefined): VolumeSettings {
  const settings: Record<string, number | string> = { ...DEFAULT_SETTINGS };
  for (const [key, setting] of Object.entries(SETTING_KEYS)) {
    const value = take(key);
    if (value === undefined) continue;
    settings[setting] = decodeSetting(setting, value);
  }
  return settings as unknown as VolumeSettings;
}

function decodeSetting(setting: keyof VolumeSettings, value: string): number | string {
  if (setting === "migrationGuard") return oneOf(["enforce", "warn", "off"], value);
  return setting === "migrationTimeoutSeconds" && value === "auto" ? value : settingNumber(setting, value);
}
