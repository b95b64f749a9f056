import { Buffer } from "node:buffer";
import { BlockList, isIP } from "node:net";
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

/** A line of the routing table. */
export interface Route {
  readonly interface: string;
  readonly network: string;
  readonly prefix: number;
  readonly gateway: string | undefined;
  readonly metric: number;
}

/** The route to an address. Rules of policy routing and routes of other tables are not looked at. */
export async function routeTo({ system }: DiagnoseContext, address: string): Promise<RouteFacts> {
  const loopback = { interface: "lo", gateway: undefined };
  const route = isOwn(address) ? loopback : await lookUp(system.procRoot, address);
  if (route === undefined) {
    return { interface: undefined, gateway: undefined, mtu: undefined, state: undefined, speed: undefined };
  }
  const base = `${system.sysRoot}/class/net/${route.interface}`;
  const [mtu, state, speed] = await Promise.all([
    textOf(`${base}/mtu`),
    textOf(`${base}/operstate`),
    textOf(`${base}/speed`),
  ]);
  const { interface: name, gateway } = route;
  return { interface: name, gateway, mtu: positive(mtu), state, speed: positive(speed) };
}

/** Whether the flags of a route (hexadecimal) are RTF_UP without RTF_REJECT, which says no. */
function leads(flags = "0"): boolean {
  return (Number.parseInt(flags, 16) & 0x201) === 0x1;
}

/** Parses /proc/net/route: addresses are hexadecimal in the byte order of the machine. Source: proc(5), net/ipv4/fib_trie.c. */
export function parseIpv4Routes(text: string): readonly Route[] {
  return text.split("\n").flatMap((line): readonly Route[] => {
    const [name, destination, gateway, flags, , , metric, mask] = line.trim().split(/\s+/);
    if (name === undefined || mask === undefined || !/^[0-9A-Fa-f]{8}$/.test(destination ?? "")) return [];
    if (!leads(flags)) return [];
    return [
      {
        interface: name,
        network: dotted(destination ?? ""),
        // A mask is ones and then zeros, in whatever order of bytes.
        prefix: Number.parseInt(mask, 16).toString(2).replaceAll("0", "").length,
        gateway: gateway === "00000000" ? undefined : dotted(gateway ?? ""),
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
    // The unreachable route of the loopback device has RTF_REJECT, too.
    if (!leads(flags)) return [];
    return [
      {
        interface: name,
        network: grouped(network ?? ""),
        prefix: Number.parseInt(prefix ?? "0", 16),
        gateway: /^0{32}$/.test(gateway ?? "") ? undefined : grouped(gateway ?? ""),
        metric: Number.parseInt(metric ?? "0", 16),
      },
    ];
  });
}

/** The most specific route to an address, of equal ones that with the lowest metric. */
export function pickRoute(routes: readonly Route[], address: string): Route | undefined {
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  return routes
    .filter(({ network, prefix }) => {
      const subnet = new BlockList();
      subnet.addSubnet(network, prefix, family);
      return subnet.check(address, family);
    })
    .toSorted((a, b) => b.prefix - a.prefix || a.metric - b.metric)[0];
}

async function lookUp(procRoot: string, address: string): Promise<Route | undefined> {
  const [name, parse] =
    isIP(address) === 4 ? (["route", parseIpv4Routes] as const) : (["ipv6_route", parseIpv6Routes] as const);
  // An address without its zone.
  return pickRoute(parse((await textOf(`${procRoot}/net/${name}`)) ?? ""), address.split("%")[0] ?? "");
}

function isOwn(address: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap(
    (entries) => entries?.map((each) => each.address) ?? [],
  );
  return address.startsWith("127.") || address === "::1" || own.includes(address);
}

/** An IPv4 address of hexadecimal digits in the byte order of the machine. */
function dotted(hex: string): string {
  return Buffer.from(hex, "hex").reverse().join(".");
}

/** An IPv6 address of 32 hexadecimal digits. */
function grouped(hex: string): string {
  return hex.replace(/(.{4})(?=.)/g, "$1:");
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return text !== undefined && Number.isInteger(value) && value > 0 ? value : undefined;
}
