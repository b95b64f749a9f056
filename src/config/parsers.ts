import { isIP } from "node:net";
import { parseEndpoint } from "../domain/endpoint.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { parseHttpAddress } from "../observability/http-address.ts";
import { bad, good, type Parsed, type Parser } from "./option.ts";

/** Uses a parser that throws catalogue errors. */
function guarded<T>(parse: (text: string) => T, value: (text: string, parsed: T) => T): Parser<T> {
  return (text) => {
    try {
      return good(value(text, parse(text)));
    } catch (error) {
      if (error instanceof DriverError) return bad(`is not usable: ${error.summary}`);
      throw error;
    }
  };
}

const show = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** The path of a CSI endpoint, absolute. */
export const endpoint: Parser<string> = guarded(parseEndpoint, (_text, path) => path);

/** Address of the metrics server as its user wrote it; "" means none. */
export const metricsAddress: Parser<string> = (text) => {
  if (text === "" || text === "off") return good("");
  const checked = guarded<unknown>(parseHttpAddress, () => text)(text);
  return "value" in checked ? good(text) : checked;
};

/** A whole number in decimal digits. */
export function integer(minimum: number, maximum: number): Parser<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= minimum && value <= maximum
      ? good(value)
      : bad(`is ${show(text)}, not a whole number from ${minimum} to ${maximum}`);
  };
}

export const port = integer(1, 65_535);

/** One of the given words. */
export function oneOf<const T extends string>(...words: readonly T[]): Parser<T> {
  const parse = (text: string): Parsed<T> => {
    const found = words.find((word) => word === text);
    return found === undefined ? bad(`is ${show(text)}, not one of ${words.join(", ")}`) : good(found);
  };
  return Object.assign(parse, { words });
}

const trueOrFalse = oneOf("true", "false");
/** `true` or `false`. */
export const boolean: Parser<boolean> = Object.assign(
  (text: string): Parsed<boolean> => {
    const parsed = trueOrFalse(text);
    return "value" in parsed ? good(parsed.value === "true") : parsed;
  },
  { words: ["true", "false"] },
);

/** A text that matches completely. */
export function matching(pattern: RegExp, what: string): Parser<string> {
  return (text) => (pattern.test(text) ? good(text) : bad(`is ${show(text)}, not ${what}`));
}

/** An absolute path without NUL and line breaks. */
export const absolutePath: Parser<string> = (text) => {
  if (looksLikeKey(text)) return bad("holds a private key; keys are read from files only");
  if (!text.startsWith("/") || /[\0\r\n]/.test(text)) return bad(`is ${show(text)}, not an absolute path`);
  return good(text);
};

/** Whether a value is a private key itself instead of a path to one; such a value is never shown. */
export function looksLikeKey(text: string): boolean {
  return /-----BEGIN|PRIVATE KEY|openssh-key-v1/.test(text) || /^b3BlbnNzaC1rZXkt/.test(text);
}

/** Driver name: the CSI rule (at most 63 characters) and that of a Kubernetes object name. */
export const driverName: Parser<string> = (text) =>
  text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)
    ? good(text)
    : bad(`is ${show(text)}, not a DNS name in lower case of at most 63 characters`);

/** A relative path whose components RouterOS and Linux take as they are. */
export const folder: Parser<string> = (text) =>
  text.length <= 128 && text.split("/").every((part) => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(part))
    ? good(text)
    : bad(`is ${show(text)}, not a relative path of letters, digits, ".", "_" and "-"`);

/** NQN prefix; `:<slot>.<epoch>` follows, and 223 bytes are the limit of the whole (NVMe base specification, 4.7). */
export const nqnPrefix: Parser<string> = (text) =>
  text.length <= 128 && /^nqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.-]*(:[A-Za-z0-9._-]+)*$/.test(text)
    ? good(text)
    : bad(`is ${show(text)}, not of the form nqn.yyyy-mm.reversed.domain`);

/** Where the RDS is; the port is undefined if the text has none. */
export interface HostPort {
  readonly host: string;
  readonly port: number | undefined;
}

const HOST = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$/;

/** `host`, `host:port`, `v4`, `v4:port`, `v6`, `[v6]` or `[v6]:port`. */
export const hostPort: Parser<HostPort> = (text) => {
  if (isIP(text) !== 0) return good({ host: text, port: undefined });
  const found = /^(?:\[(?<six>[^\]]+)\]|(?<name>[^:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(text)?.groups;
  const host = found?.six ?? found?.name ?? "";
  const right = found?.six === undefined ? isHostName(host) : isIP(host) === 6;
  const number = found?.port === undefined ? undefined : Number(found.port);
  if (!right || (number !== undefined && (number < 1 || number > 65_535))) {
    return bad(`is ${show(text)}, not host, host:port or [v6]:port`);
  }
  return good({ host, port: number });
};

function isHostName(host: string): boolean {
  // A name of digits and dots only would be a mistyped address.
  return isIP(host) === 4 || (host.length <= 253 && HOST.test(host) && !/^[\d.]+$/.test(host));
}

/** A literal IP address. */
export const ipAddress: Parser<string> = (text) =>
  isIP(text) === 0 ? bad(`is ${show(text)}, not a literal IPv4 or IPv6 address`) : good(text);

const UNITS: Readonly<Record<string, bigint>> = {
  "": 1n,
  ki: 1n << 10n,
  mi: 1n << 20n,
  gi: 1n << 30n,
  ti: 1n << 40n,
  pi: 1n << 50n,
};

/** A size in bytes: digits, and Ki, Mi, Gi, Ti or Pi (also with a final B). */
export const bytes: Parser<bigint> = (text): Parsed<bigint> => {
  const found = /^(\d{1,19})\s*([KMGTP]i)?B?$/i.exec(text.trim());
  const unit = UNITS[(found?.[2] ?? "").toLowerCase()];
  return found === null || unit === undefined
    ? bad(`is ${show(text)}, not a number of bytes such as 1073741824 or 1GiB`)
    : good(BigInt(found[1] ?? "0") * unit);
};

/** What `nodeId` accepts, in words. */
export const NODE_ID = "1 to 192 letters, digits, '.', '_' and '-', with a letter or digit at both ends";

/** A CSI node id; 192 bytes is the limit of Kubernetes for it. */
export const nodeId = matching(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,190}[A-Za-z0-9])?$/, NODE_ID);
