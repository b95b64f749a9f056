import { isIP } from "node:net";
import { parseEndpoint } from "../domain/endpoint.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { parseHttpAddress } from "../observability/http-address.ts";
import { bad, described, good, type Parsed, type Parser, parser } from "./option.ts";

/** Uses a parser that throws catalogue errors. */
function guarded<T>(expects: string, parse: (text: string) => T): Parser<T> {
  return described(expects, (text): Parsed<T> => {
    try {
      return good(parse(text));
    } catch (error) {
      if (error instanceof DriverError) return bad(`is not usable: ${error.summary}`);
      throw error;
    }
  });
}

/** The path of a CSI endpoint, absolute. */
export const endpoint = guarded("unix:///path or /path, at most 107 bytes of path", parseEndpoint);

/** Address of the metrics server as its user wrote it; "" means none. */
export const metricsAddress = guarded(
  "host:port, :port, [v6]:port or /path, e.g. 127.0.0.1:9809",
  (text): string => {
    if (text === "" || text === "off") return "";
    parseHttpAddress(text);
    return text;
  },
);

/** A whole number in decimal digits. */
export function integer(minimum: number, maximum: number, of = ""): Parser<number> {
  return parser(`a whole number ${of}from ${minimum} to ${maximum}`, (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= minimum && value <= maximum ? value : undefined;
  });
}

export const port = integer(1, 65_535);

const SECONDS_OF: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** A duration such as `36h`, `7d` or `1d12h`, as seconds. */
export const duration = parser("a duration such as 30m, 36h, 7d, 2w or 1d12h", (text) => {
  if (!/^(?:\d{1,6}[smhdw])+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+)([smhdw])/g)].reduce(
    (sum, [, amount = "", unit = ""]) => sum + Number(amount) * (SECONDS_OF[unit] ?? 0),
    0,
  );
});

/** One of the given words. */
export function oneOf<const T extends string>(...words: readonly T[]): Parser<T> {
  return parser(`one of ${words.join(", ")}`, (text) => words.find((word) => word === text), words);
}

/** `true` or `false`. */
export const boolean = parser(
  "true or false",
  (text) => (text === "true" ? true : text === "false" ? false : undefined),
  ["true", "false"],
);

/** A text that matches completely. */
export function matching(pattern: RegExp, expects: string): Parser<string> {
  return parser(expects, (text) => (pattern.test(text) ? text : undefined));
}

/** An absolute path without NUL and line breaks. */
export const absolutePath = matching(/^\/[^\0\r\n]*$/, "an absolute path");

/** Whether a value is a private key itself instead of a path to one, or holds one; such a value is never shown. */
export function looksLikeKey(text: string): boolean {
  return /-----BEGIN|PRIVATE KEY|openssh-key-v1|b3BlbnNzaC1rZXkt/.test(text);
}

/** Driver name: the CSI rule (at most 63 characters) and that of a Kubernetes object name. */
export const driverName = matching(
  /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  "a DNS name in lower case of at most 63 characters",
);

/** A relative path whose components RouterOS and Linux take as they are. */
export const folder = matching(
  /^(?=.{1,128}$)[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63})*$/,
  "a relative path: names of letters, digits, '.', '_' and '-', joined by '/'",
);

/** NQN prefix; `:<slot>.<epoch>` follows, and 223 bytes are the limit of the whole (NVMe base specification, 4.7). */
export const nqnPrefix = matching(
  /^(?=.{1,128}$)nqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.-]*(:[A-Za-z0-9._-]+)*$/,
  "nqn.yyyy-mm.reversed.domain of at most 128 characters",
);

/** A slot of the RDS. */
export const slot = matching(
  /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}$/,
  "a slot of 1 to 32 letters, digits, '.', '_' and '-'",
);

/** Where the RDS is; the port is undefined if the text has none. */
export interface HostPort {
  readonly host: string;
  readonly port: number | undefined;
}

const HOST = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$/;

/** `host`, `host:port`, `v4`, `v4:port`, `v6`, `[v6]` or `[v6]:port`. */
export const hostPort: Parser<HostPort> = parser(
  "host, host:port, IPv4, IPv6 or [IPv6]:port",
  (text): HostPort | undefined => {
    if (isIP(text) !== 0) return { host: text, port: undefined };
    const found = /^(?:\[(?<six>[^\]]+)\]|(?<name>[^:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(text)?.groups;
    const host = found?.six ?? found?.name ?? "";
    const right = found?.six === undefined ? isHostName(host) : isIP(host) === 6;
    const number = found?.port === undefined ? undefined : Number(found.port);
    const wrong = !right || (number !== undefined && (number < 1 || number > 65_535));
    return wrong ? undefined : { host, port: number };
  },
);

function isHostName(host: string): boolean {
  // A name of digits and dots only would be a mistyped address.
  return isIP(host) === 4 || (host.length <= 253 && HOST.test(host) && !/^[\d.]+$/.test(host));
}

/** A literal IP address. */
export const ipAddress: Parser<string> = parser("a literal IPv4 or IPv6 address", (text) =>
  isIP(text) === 0 ? undefined : text,
);

const UNITS = ["", "ki", "mi", "gi", "ti", "pi"];

/** A size in bytes: digits, and Ki, Mi, Gi, Ti or Pi (also with a final B). */
export const bytes: Parser<bigint> = parser("a number of bytes such as 1073741824 or 1GiB", (text) => {
  const found = /^(\d{1,19})\s*([KMGTP]i)?B?$/i.exec(text.trim());
  const unit = UNITS.indexOf((found?.[2] ?? "").toLowerCase());
  return found === null ? undefined : BigInt(found[1] ?? "0") << BigInt(10 * unit);
});

/** A CSI node id; 192 bytes is the limit of Kubernetes for it. */
export const nodeId = matching(
  /^[A-Za-z0-9]([A-Za-z0-9._-]{0,190}[A-Za-z0-9])?$/,
  "1 to 192 letters, digits, '.', '_' and '-', with a letter or digit at both ends",
);
