import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { DiagnoseContext } from "../context.ts";
import { textOf } from "./files.ts";

/** How the kernel would send to an address, as far as its main routing table tells. */
export interface RouteFacts {
  /** Outgoing interface; undefined: no route in the table. */
  readonly interface: string | undefined;
  /** undefined: the address is on the interface's own network. */
  readonly gateway: string | undefined;
  /** Bytes. */
  readonly mtu: number | undefined;
  /** `up`, `down`, `unknown` (as of loopback and tunnels), ... */
  readonly state: string | undefined;
  /** Megabits per second. */
  readonly speed: number | undefined;
}

/** A line of the routing table: network and mask as numbers. */
export interface Route {
  readonly interface: string;
  readonly network: bigint;
  readonly prefix: number;
  readonly gateway: string | undefined;
  readonly metric: number;
}

/** The route to an address. Rules of policy routing and routes of other tables are not looked at. */
export async function routeTo({ system }: DiagnoseContext, address: string): Promise<RouteFacts> {
  const route = isOwn(address) ? loopback() : await lookUp(system.procRoot, address);
  if (route === undefined) {
    return { interface: undefined, gateway: undefined, mtu: undefined, state: undefined, speed: undefined };
  }
  const base = `${system.sysRoot}/class/net/${route.interface}`;
  const [mtu, state, speed] = await Promise.all([
    textOf(`${base}/mtu`),
    textOf(`${base}/operstate`),
    textOf(`${base}/speed`),
  ]);
  return {
    interface: route.interface,
    gateway: route.gateway,
    mtu: positive(mtu),
    state,
    speed: positive(speed),
  };
}

/** Parses /proc/net/route: addresses are hexadecimal in the byte order of the machine. Source: proc(5), net/ipv4/fib_trie.c. */
export function parseIpv4Routes(text: string): readonly Route[] {
  return text.split("\n").flatMap((line): readonly Route[] => {
    const [name, destination, gateway, flags, , , metric, mask] = line.trim().split(/\s+/);
    if (name === undefined || mask === undefined || !/^[0-9A-Fa-f]{8}$/.test(destination ?? "")) return [];
    // RTF_UP; RTF_REJECT is a route that says no.
    if ((Number.parseInt(flags ?? "0", 16) & 0x1) === 0 || (Number.parseInt(flags ?? "0", 16) & 0x200) !== 0)
      return [];
    const bits = littleEndian(mask).toString(2);
    return [
      {
        interface: name,
        network: littleEndian(destination ?? "0"),
        prefix: bits === "0" ? 0 : bits.replaceAll("0", "").length,
        gateway: gateway === "00000000" ? undefined : dotted(littleEndian(gateway ?? "0")),
        metric: Number(metric),
      },
    ];
  });
}

/** Parses /proc/net/ipv6_route: 32 hexadecimal digits, prefix length in hexadecimal. Source: net/ipv6/route.c. */
export function parseIpv6Routes(text: string): readonly Route[] {
  return text.split("\n").flatMap((line): readonly Route[] => {
    const [network, prefix, , , gateway, metric, , , flags, name] = line.trim().split(/\s+/);
    if (name === undefined || !/^[0-9a-f]{32}$/.test(network ?? "")) return [];
    // RTF_UP; neither RTF_REJECT nor the unreachable route of the loopback device.
    const set = Number.parseInt(flags ?? "0", 16);
    if ((set & 0x1) === 0 || (set & 0x200) !== 0) return [];
    return [
      {
        interface: name,
        network: BigInt(`0x${network}`),
        prefix: Number.parseInt(prefix ?? "0", 16),
        gateway: /^0{32}$/.test(gateway ?? "") ? undefined : (gateway ?? "").replace(/(.{4})(?=.)/g, "$1:"),
        metric: Number.parseInt(metric ?? "0", 16),
      },
    ];
  });
}

/** The most specific route, of equal ones that with the lowest metric. */
export function pickRoute(routes: readonly Route[], address: bigint, bits: 32 | 128): Route | undefined {
  return routes
    .filter(({ network, prefix }) => {
      const shift = BigInt(bits - prefix);
      return address >> shift === network >> shift;
    })
    .toSorted((a, b) => b.prefix - a.prefix || a.metric - b.metric)[0];
}

async function lookUp(procRoot: string, address: string): Promise<Route | undefined> {
  if (isIP(address) === 4) {
    const routes = parseIpv4Routes((await textOf(`${procRoot}/net/route`)) ?? "");
    return pickRoute(routes, numberOf4(address), 32);
  }
  const routes = parseIpv6Routes((await textOf(`${procRoot}/net/ipv6_route`)) ?? "");
  return pickRoute(routes, numberOf6(address), 128);
}

function isOwn(address: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap(
    (entries) => entries?.map((each) => each.address) ?? [],
  );
  return address.startsWith("127.") || address === "::1" || own.includes(address);
}

function loopback(): Route {
  return { interface: "lo", network: 0n, prefix: 0, gateway: undefined, metric: 0 };
}

function littleEndian(hex: string): bigint {
  return BigInt(`0x${Buffer.from(hex, "hex").reverse().toString("hex")}`);
}

function dotted(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join(".");
}

function numberOf4(address: string): bigint {
  return address.split(".").reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** An IPv6 address without zone; an embedded IPv4 address is allowed. */
function numberOf6(address: string): bigint {
  const plain = (address.split("%")[0] ?? "").replace(/(\d+\.\d+\.\d+\.\d+)$/, (four) => {
    const value = numberOf4(four);
    return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].reduce(
    (sum, group) => (sum << 16n) | BigInt(`0x${group || "0"}`),
    0n,
  );
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return text !== undefined && Number.isInteger(value) && value > 0 ? value : undefined;
}
