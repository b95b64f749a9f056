import { ACCESS_MODES, type AccessMode } from "../access-mode.ts";
import {
  byteCount,
  duration,
  epochNumber,
  escapeText,
  identifier,
  number,
  settingNumber,
  time,
} from "./record-values.ts";
import type {
  Attachment,
  ConnectionSettings,
  CopyState,
  EndedMigration,
  ExportName,
  Migration,
} from "./volume-record.ts";

/** The values of a record that have several parts: attachments, the export's name, migrations. Each decoder throws an Error that names the mistake. */

export function encodeAttachment(a: Attachment): string {
  const mode = ACCESS_MODES.indexOf(a.accessMode);
  const flags = `${a.accessType === "block" ? "b" : "m"}${a.readonly ? "r" : "w"}`;
  return [escapeText(a.node), escapeText(a.hostNqn), String(mode), flags, String(a.since)].join(",");
}

export function decodeAttachment(value: string): Attachment {
  const [node = "", hostNqn = "", mode = "", flags = "", since = ""] = parts(value, 5);
  const accessMode: AccessMode | undefined = ACCESS_MODES[number(mode)];
  if (accessMode === undefined || !/^[bm][rw]$/.test(flags)) throw new Error(`bad attachment ${value}`);
  return {
    node: identifier(node),
    hostNqn: identifier(hostNqn),
    accessMode,
    accessType: flags[0] === "b" ? "block" : "mount",
    readonly: flags[1] === "r",
    since: time(since),
  };
}

/** Order of the numbers in the stored form. */
const CONNECTION = [
  "ctrlLossTmo",
  "reconnectDelay",
  "keepAliveTmo",
  "fastIoFailTmo",
  "nrIoQueues",
  "queueSize",
] as const satisfies readonly (keyof ConnectionSettings)[];

/** The connection settings of attachments that differ from the volume's; undefined if none do. */
export function encodeConnections(attachments: readonly Attachment[]): string | undefined {
  const differing = attachments.flatMap(({ since, connection }, at) =>
    connection === undefined ? [] : [[at, since, ...CONNECTION.map((key) => connection[key])].join(",")],
  );
  return differing.length === 0 ? undefined : differing.join("|");
}

/**
 * Gives attachments their connection settings. An entry for another start is that of an attachment which a driver before 0.2 has ended:
 * it keeps the field as it was.
 */
export function withConnections(attachments: readonly Attachment[], value: string): readonly Attachment[] {
  const given = new Map<number, { since: number; connection: ConnectionSettings }>();
  for (const entry of value.split("|")) {
    const [at = "", since = "", ...values] = parts(entry, 2 + CONNECTION.length);
    const numbers = CONNECTION.map((key, index) => [key, settingNumber(key, values[index] ?? "")]);
    const connection = Object.fromEntries(numbers) as ConnectionSettings;
    given.set(number(at), { since: time(since), connection });
  }
  return attachments.map((attachment, at) => {
    const found = given.get(at);
    return found?.since === attachment.since ? { ...attachment, connection: found.connection } : attachment;
  });
}

export function encodeExportName({ nqn, port, hosts }: ExportName): string {
  return `${escapeText(nqn)},${port},${hosts ? "h" : "-"}`;
}

export function decodeExportName(value: string): ExportName {
  const [nqn = "", port = "", hosts = ""] = parts(value, 3);
  const name = { nqn: identifier(nqn), port: number(port), hosts: hosts === "h" };
  if (name.nqn === "" || name.port < 1 || name.port > 65_535 || !/^[h-]$/.test(hosts))
    throw new Error(`bad export name ${value}`);
  return name;
}

export function encodeCopy(copy: CopyState): string {
  const { done, total, sourceCreatedAt, sourceEpoch, line, isBusy, boot } = copy;
  const run = boot === undefined ? [] : [boot.at, boot.uptime];
  return [done, total, sourceCreatedAt, sourceEpoch, line, isBusy ? "b" : "-", ...run].map(String).join(",");
}

export function decodeCopy(value: string): CopyState {
  // The last two are missing until a part is copied.
  const count = value.split(",").length === 6 ? 6 : 8;
  const [done = "", total = "", createdAt = "", epoch = "", line = "", busy = "", at, uptime] = parts(
    value,
    count,
  );
  const copy = {
    done: done === "0" ? 0n : byteCount(done),
    total: byteCount(total),
    sourceCreatedAt: time(createdAt),
    sourceEpoch: epochNumber(epoch),
    line,
    isBusy: busy === "b",
    ...(at === undefined || uptime === undefined ? {} : { boot: { at: time(at), uptime: duration(uptime) } }),
  };
  if (copy.done > copy.total || !/^[0-9a-f]{8}$/.test(line) || !/^[b-]$/.test(busy))
    throw new Error(`bad copy ${value}`);
  return copy;
}

export function encodeMigration({ since, timeoutSeconds, by, overdueBy }: Migration): string {
  return [String(since), String(timeoutSeconds), escapeText(by), escapeText(overdueBy ?? "")].join(",");
}

export function decodeMigration(value: string): Migration {
  const [since = "", timeoutSeconds = "", by = "", overdueBy = ""] = parts(value, 4);
  return {
    since: time(since),
    timeoutSeconds: duration(timeoutSeconds),
    by: identifier(by),
    overdueBy: overdueBy === "" ? undefined : identifier(overdueBy),
  };
}

export function encodeEnded({ since, at, moved, overdue, stayed, by }: EndedMigration): string {
  const flags = `${moved ? "m" : "a"}${overdue ? "o" : "-"}`;
  return [String(since), String(at), flags, escapeText(stayed ?? ""), escapeText(by)].join(",");
}

export function decodeEnded(value: string): EndedMigration {
  const [since = "", at = "", flags = "", stayed = "", by = ""] = parts(value, 5);
  if (!/^[ma][o-]$/.test(flags)) throw new Error(`bad migration ${value}`);
  return {
    since: time(since),
    at: time(at),
    moved: flags[0] === "m",
    overdue: flags[1] === "o",
    stayed: stayed === "" ? undefined : identifier(stayed),
    by: identifier(by),
  };
}

/** The parts of a value, which are separated by `,`. @throws Error unless there are `count` of them */
export function parts(value: string, count: number): string[] {
  const split = value.split(",");
  if (split.length !== count) throw new Error(`${value} has ${split.length} parts instead of ${count}`);
  return split;
}

/** @throws Error unless the value is one of those */
export function oneOf<T extends string>(allowed: readonly T[], value: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new Error(`${JSON.stringify(value)} is none of ${allowed.join(", ")}`);
  return found;
}
