import { isIPv4, isIPv6 } from "node:net";

/** A network: the bytes of its address (4 or 16) and how many of their bits count. */
interface Network {
  readonly bytes: readonly number[];
  readonly bits: number;
}

/** The bytes of a literal IPv4 or IPv6 address, 4 or 16; undefined when `text` is none. Zones are refused. */
export function addressBytes(text: string): readonly number[] | undefined {
  if (isIPv4(text)) return text.split(".").map(Number);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high = "0", low = "0") => ((Number(high) << 8) | Number(low)).toString(16);
  const plain =
    dotted === null ? text : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [front = "", back] = plain.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const tail = groups(back ?? "");
  const zeros = back === undefined ? 0 : 8 - groups(front).length - tail.length;
  const all = [...groups(front), ...Array.from({ length: zeros }, () => "0"), ...tail];
  return all.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function parseNetwork(text: string): Network | undefined {
  const [address = "", length, ...rest] = text.split("/");
  const bytes = addressBytes(address);
  if (bytes === undefined || rest.length > 0) return undefined;
  if (length === undefined) return { bytes, bits: bytes.length * 8 };
  if (!/^\d{1,3}$/.test(length) || Number(length) > bytes.length * 8) return undefined;
  return { bytes, bits: Number(length) };
}

/** Whether `text` is an address or a prefix such as 192.0.2.0/24. */
export function isPrefix(text: string): boolean {
  return parseNetwork(text) !== undefined;
}

/** Whether `address` lies in one of the prefixes. An IPv4 address in IPv6 form counts as IPv4. */
export function withinPrefixes(address: string, prefixes: readonly string[]): boolean {
  const bytes = addressBytes(address.replace(/^::ffff:(?=\d+\.)/i, ""));
  if (bytes === undefined) return false;
  return prefixes.some((prefix) => {
    const network = parseNetwork(prefix);
    if (network === undefined || network.bytes.length !== bytes.length) return false;
    return bytes.every((byte, at) => {
      const counted = Math.min(8, Math.max(0, network.bits - at * 8));
      return byte >> (8 - counted) === (network.bytes[at] ?? 0) >> (8 - counted);
    });
  });
}
