import { Buffer } from "node:buffer";
import { isPrintable } from "../printable.ts";
import type { VolumeSettings } from "./volume-record.ts";

/**
 * Single values of a record. Each reader accepts only values that every reader of the record can use: times that have a date,
 * numbers that a node and a kernel take, text that acts on no terminal. Errors name the wrong value.
 */

/** The last second of the year 9999 since the Unix epoch: later ones have no RFC 3339 date. */
const LAST_TIME = 253_402_300_799;

/** As many digits as the epoch has in an NQN. */
const LAST_EPOCH = 999_999_999;

const YEAR = 31_536_000;

type Range = readonly [key: string, min: number, max: number];

/** Limits of a publish context, which a node checks again; wider than those of a StorageClass. */
const SETTINGS = {
  migrationTimeoutSeconds: ["mt", 1, YEAR],
  ctrlLossTmo: ["cl", -1, YEAR],
  reconnectDelay: ["rd", 1, 3_600],
  keepAliveTmo: ["ka", 1, 3_600],
  fastIoFailTmo: ["ff", -1, YEAR],
  nrIoQueues: ["nq", 0, 65_535],
  queueSize: ["qs", 0, 1_024],
} as const satisfies Record<Exclude<keyof VolumeSettings, "migrationGuard">, Range>;
const LEAST_QUEUE = 16;

/** Decimal digits, at most 15, so that the number is exact. */
export function number(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new Error(`${JSON.stringify(value)} is not a number`);
  return Number(value);
}

function inRange([name, min, max]: Range, value: number): number {
  if (value < min || value > max) throw new Error(`${name} ${value} is outside ${min}..${max}`);
  return value;
}

/** A size in bytes, at most that of a signed integer of 64 bits. */
export function byteCount(value: string): bigint {
  const bytes = /^[1-9]\d{0,18}$/.test(value) ? BigInt(value) : 0n;
  if (bytes < 1n || bytes >= 1n << 63n) throw new Error(`${JSON.stringify(value)} is no size`);
  return bytes;
}

/** Seconds since the Unix epoch. */
export function time(value: string): number {
  return inRange(["time", 0, LAST_TIME], number(value));
}

/** Seconds that something may take. */
export function duration(value: string): number {
  return inRange(["duration", 0, LAST_TIME], number(value));
}

export function epochNumber(value: string): number {
  return inRange(["epoch", 0, LAST_EPOCH], number(value));
}

/** A setting that is a number. */
export function settingNumber(setting: keyof typeof SETTINGS, value: string): number {
  const range = SETTINGS[setting];
  const read = inRange(range, value.startsWith("-") ? -number(value.slice(1)) : number(value));
  if (setting === "queueSize" && read !== 0 && read < LEAST_QUEUE)
    throw new Error(`${range[0]} ${read} is neither 0 nor in ${LEAST_QUEUE}..${range[2]}`);
  return read;
}

/** Percent-encodes UTF-8 outside [A-Za-z0-9._:/@-]. */
export function escapeText(value: string): string {
  let out = "";
  for (const byte of Buffer.from(value, "utf8")) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9._:/@-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

function decoded(value: string): string {
  if (!/^(?:[A-Za-z0-9._:/@-]|%[0-9A-F]{2})*$/.test(value))
    throw new Error(`${JSON.stringify(value)} is not encoded`);
  try {
    return decodeURIComponent(value);
  } catch {
    throw new Error(`${value} is not UTF-8`);
  }
}

/** A name that the driver or Kubernetes chose: node, host NQN, claim, cluster, process. */
export function identifier(value: string): string {
  const text = decoded(value);
  if (!isPrintable(text)) throw new Error(`${JSON.stringify(text)} holds control or format characters`);
  return text;
}

/** A CSI volume name: any text without control characters. Source: CSI specification, CreateVolumeRequest.name. */
export function volumeName(value: string): string {
  const text = decoded(value);
  if (/\p{Cc}/u.test(text)) throw new Error("n holds control characters");
  return text;
}
