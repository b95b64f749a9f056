import { formatUnits, millisecondsOf } from "../language/scalars.ts";
import { isArray, toText, type Value } from "../language/values.ts";

/** Properties that detail text writes in quotes (facts section 2.5). */
const QUOTED = new Set([
  "slot",
  "slot-default",
  "parent",
  "fs-label",
  "fs-uuid",
  "model",
  "serial",
  "mount-point",
  "state",
  "raid-uuid",
  "raid-member-state",
  "nvme-tcp-server-nqn",
  "nvme-tcp-server-allow-host-name",
]);
/** Numbers that text output groups by thousands. */
const GROUPED = new Set(["size", "free", "total-inodes", "free-inodes"]);

/** `1099511627776` as `1 099 511 627 776`. */
export function groupThousands(value: bigint): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Bytes as `1024.0GiB`: one decimal, the next unit only above 1024 of the one before. */
export function humanSize(bytes: bigint): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = Number(bytes);
  let unit = 0;
  while (value > 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes}B` : `${value.toFixed(1)}${units[unit]}`;
}

/** Sizes of /system/resource, which text shows rounded, and its shares (facts section 13). */
const ROUNDED = new Set(["free-memory", "total-memory", "free-hdd-space", "total-hdd-space"]);
const SHARES = new Set(["cpu-load"]);

/** How a menu's sizes look in text: exact and grouped, or rounded. */
export type SizeStyle = "grouped" | "human";

/** A property's value as text output shows it. */
export function formatProperty(name: string, value: Value, quote: boolean, sizes: SizeStyle): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "bigint") {
    const isRounded = name === "file-size" || ROUNDED.has(name) || (name === "size" && sizes === "human");
    if (isRounded) return humanSize(value);
    if (SHARES.has(name)) return `${value}%`;
    return GROUPED.has(name) ? groupThousands(value) : String(value);
  }
  if (typeof value === "object" && value.kind === "time") return formatUnits(millisecondsOf(value));
  const text = isArray(value) ? value.items.map(toText).join(",") : toText(value);
  return quote && QUOTED.has(name) ? `"${text.replace(/["\\]/g, "\\$&")}"` : text;
}
