import { readdir, readFile, readlink } from "node:fs/promises";

/** Open descriptors of a process: their number by kind. */
export type Descriptors = ReadonlyMap<string, number>;

const RDS = "connection to the RDS";
const API = "connection to the API server";
const CALLER = "connection of a caller";

/**
 * Most sockets of each kind, which come and go by design, so that their number at the start says nothing. The transport keeps three
 * SSH connections, and for a minute two more after a command that hangs; the API client has one for each request at a time; the campaign has one
 * client of each service, and grpc-js closes those that asked whether it has started some ten seconds after their clients.
 */
const MOST: ReadonlyMap<string, number> = new Map([
  [RDS, 5],
  [API, 8],
  [CALLER, 10],
]);

/** Ports of the servers that a controller connects to. */
export interface Ports {
  readonly rds: number;
  readonly api: number | undefined;
}

/** What each socket of this machine is, by inode; the others are pairs of programs. */
async function sockets({ rds, api }: Ports): Promise<Map<string, string>> {
  const kinds = new Map<string, string>();
  for (const line of (await readFile("/proc/net/tcp", "utf8")).split("\n").slice(1)) {
    const [, , remote = "", , , , , , , inode = ""] = line.trim().split(/\s+/);
    const port = Number.parseInt(remote.split(":")[1] ?? "", 16);
    if (port === rds) kinds.set(inode, RDS);
    if (port === api) kinds.set(inode, API);
  }
  for (const line of (await readFile("/proc/net/unix", "utf8")).split("\n").slice(1)) {
    const [, , , flags, , , inode = "", path] = line.trim().split(/\s+/);
    // An accepted socket has the name of the listening one (__SO_ACCEPTCON), which is there from the start on.
    if (path !== undefined && flags !== "00010000") kinds.set(inode, CALLER);
  }
  return kinds;
}

export async function descriptorsOf(pid: number, ports: Ports): Promise<Descriptors> {
  const folder = `/proc/${pid}/fd`;
  const targets: string[] = [];
  for (const name of await readdir(folder).catch(() => []))
    targets.push(await readlink(`${folder}/${name}`).catch(() => "gone"));
  const kinds = await sockets(ports);
  const found = new Map<string, number>();
  for (const target of targets) {
    // Of libfaketime, which has it or not, as an earlier process of this pid has left its own behind.
    if (target.includes("/faketime_")) continue;
    const [, inode] = /^socket:\[(\d+)\]$/.exec(target) ?? [];
    const kind = inode === undefined ? target.replace(/\d+/g, "N") : (kinds.get(inode) ?? "socket");
    found.set(kind, (found.get(kind) ?? 0) + 1);
  }
  return found;
}

/** Descriptors that are too many: of each kind more than at the start, or than its limit. */
export function tooMany(atStart: Descriptors, now: Descriptors): string[] {
  return [...now].flatMap(([kind, count]) => {
    const most = MOST.get(kind) ?? atStart.get(kind) ?? 0;
    return count > most ? [`${count} descriptors ${kind}, at most ${most}`] : [];
  });
}
