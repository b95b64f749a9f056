/** An internal item number, printed as "*1F". */
export interface IdValue {
  readonly kind: "id";
  readonly text: string;
}

/** An address. */
export interface AddressValue {
  readonly kind: "ip" | "ip6";
  readonly text: string;
}

/** A duration; `:timestamp` has nanoseconds. */
export interface TimeValue {
  readonly kind: "time";
  readonly nanoseconds: bigint;
}

/** A value without parts; a bare word spells one. */
export type Scalar = boolean | bigint | string | IdValue | AddressValue | TimeValue;

export function id(text: string): IdValue {
  return { kind: "id", text };
}

export function time(milliseconds: number): TimeValue {
  return { kind: "time", nanoseconds: BigInt(Math.round(milliseconds)) * 1_000_000n };
}

/** The whole milliseconds of a duration. */
export function millisecondsOf({ nanoseconds }: TimeValue): number {
  return Number(nanoseconds / 1_000_000n);
}

/**
 * A duration as RouterOS prints it: `01:30:15`, with `1d` and `1w` before it when that long. A part of a second
 * follows in groups of three digits: `2920w5d07:03:45.123456789` (public output of `:timestamp`).
 */
export function formatTime({ nanoseconds }: TimeValue): string {
  if (nanoseconds < 0n) return `-${formatTime({ kind: "time", nanoseconds: -nanoseconds })}`;
  const total = Number(nanoseconds / 1_000_000_000n);
  const rest = String(nanoseconds % 1_000_000_000n).padStart(9, "0");
  const fraction = rest.replace(/(?:000)+$/, "");
  const days = Math.floor(total / 86_400);
  const two = (n: number) => String(n).padStart(2, "0");
  const clock = `${two(Math.floor(total / 3600) % 24)}:${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
  const weeks = Math.floor(days / 7);
  const part = fraction === "" ? "" : `.${fraction}`;
  return `${weeks > 0 ? `${weeks}w` : ""}${days % 7 > 0 ? `${days % 7}d` : ""}${clock}${part}`;
}

/** A duration as print shows it in text: `2d3h4m5s`, without the units that are zero. */
export function formatUnits(milliseconds: number): string {
  const total = Math.floor(milliseconds / 1000);
  const parts = [
    [Math.floor(total / 604_800), "w"],
    [Math.floor(total / 86_400) % 7, "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "m"],
    [total % 60, "s"],
  ] as const;
  return parts.map(([count, unit]) => (count === 0 ? "" : `${count}${unit}`)).join("") || "0s";
}

const UNITS: Readonly<Record<string, number>> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** Milliseconds of `5s`, `1m30s`, `200ms` or `00:01:30`; undefined when `text` is no duration. */
export function parseTime(text: string): number | undefined {
  const clock = /^(?:(\d+)d)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,3}))?$/.exec(text);
  if (clock !== null) {
    const [, days = "0", hours = "0", minutes = "0", seconds = "0", fraction = "0"] = clock;
    const whole = ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
    return whole * 1000 + Number(fraction.padEnd(3, "0"));
  }
  if (!/^(\d+(\.\d+)?(ms|[wdhms]))+$/.test(text)) return undefined;
  let sum = 0;
  for (const part of text.matchAll(/(\d+(?:\.\d+)?)(ms|[wdhms])/g)) {
    sum += Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0);
  }
  return Math.round(sum);
}

/** An integer as the console reads it: decimal or 0x hexadecimal, with an optional minus sign. */
export function parseInteger(text: string): bigint | undefined {
  if (/^-?\d+$/.test(text)) return BigInt(text);
  if (/^0x[0-9a-fA-F]+$/.test(text)) return BigInt(text);
  return undefined;
}

const BINARY_UNITS: Readonly<Record<string, bigint>> = {
  "": 1n,
  K: 1n << 10n,
  M: 1n << 20n,
  G: 1n << 30n,
  T: 1n << 40n,
  P: 1n << 50n,
};

/** Bytes of `1073741824`, `512M` or `1T` (units are binary, facts section 3.3); undefined when it is no size. */
export function parseSize(text: string): bigint | undefined {
  const found = /^(\d+)([KMGTP]?)(?:iB)?$/i.exec(text);
  if (found === null) return undefined;
  return BigInt(found[1] ?? "0") * (BINARY_UNITS[(found[2] ?? "").toUpperCase()] ?? 1n);
}

/** The truth value of `yes`, `no`, `true`, `false`; undefined for any other text. */
export function parseBool(text: string): boolean | undefined {
  if (text === "yes" || text === "true") return true;
  if (text === "no" || text === "false") return false;
  return undefined;
}

/** A bare word of an expression as the value that it spells. */
export function wordValue(text: string): Scalar {
  const duration = /^\d+$/.test(text) ? undefined : parseTime(text);
  if (/^\*{1,2}[0-9A-Fa-f]+$/.test(text)) return id(text.toUpperCase());
  return (
    parseInteger(text) ?? (duration === undefined ? undefined : time(duration)) ?? parseBool(text) ?? text
  );
}
