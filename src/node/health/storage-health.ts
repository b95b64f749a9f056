import { type Connection, isLive } from "../../host/data-path.ts";
import { type Reach, reachOf, type StoragePort } from "../../host/reach.ts";
import { endpointText } from "../../nvme/endpoint.ts";
import type { NodeContext } from "../context.ts";

/** What is wrong between this node and the RDS, whichever volume is used. */
export interface StorageTrouble {
  /** The storage address does not answer; else it answers, and something is missing. */
  readonly unreachable: boolean;
  /** One word in CamelCase, stable. */
  readonly reason: string;
  readonly message: string;
}

/** A TCP connect to one port. Beyond the kernel's own 3 s for a neighbour that does not answer, whose error tells more than silence. */
const CONNECT_MS = 4_000;
/** A TCP connect that takes longer is slow: its first packet was lost. Milliseconds. */
const SLOW_MS = 1_000;
/** Ports that are tried: a RDS has one storage address, and a former one after a change. */
const MOST_PORTS = 8;
/** The port of exports unless `--nvme-port` says otherwise, which a node does not know before its first volume. */
const USUAL_PORT = 4_420;
/** Errors that say that nobody answers at the address, whatever its port. */
const NO_ROUTE: ReadonlySet<string> = new Set(["EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EHOSTDOWN"]);

/**
 * Whether the node's way to the RDS works: the states of its connections, as the kernel shows them, and one TCP connect to each port
 * that they use; without a connection, to the configured storage addresses. Takes a few seconds at most, and waits for no device.
 * @param reach for tests
 * @returns empty when nothing adverse is known
 * @throws nodeStateUnknown
 */
export async function storageHealth(
  node: NodeContext,
  signal?: AbortSignal,
  reach: typeof reachOf = reachOf,
): Promise<readonly StorageTrouble[]> {
  const connections = await node.dataPath.list(signal);
  const used = portsOf(connections);
  const configured = (node.storageAddresses ?? []).map((address) => ({ address, port: USUAL_PORT }));
  const ports = (used.length > 0 ? used : configured).slice(0, MOST_PORTS);
  const { monotonic } = node.system.clock;
  const reached = await Promise.all(
    ports.map(async (port) => ({ port, reach: await reach(port, CONNECT_MS, monotonic, signal) })),
  );
  signal?.throwIfAborted();
  const away = reached.filter(({ reach }) => isAway(reach, used.length > 0));
  const slow = reached.filter(({ reach }) => reach.kind === "reached" && reach.milliseconds >= SLOW_MS);
  // One volume whose export is off is that volume's trouble.
  const volumes = new Set(connections.map(({ slot }) => slot)).size;
  const lost = new Set(connections.filter((each) => !isLive(each)).map(({ slot }) => slot)).size;
  const troubles: StorageTrouble[] = [];
  if (away.length > 0) {
    const isAll = away.length === reached.length;
    const what = away.map((each) => `${endpointText(each.port)}: ${said(each.reach)}`).join(", ");
    const reason = isAll ? "StorageUnreachable" : "StorageAddressUnreachable";
    const message = `the storage address of the RDS does not answer to this node (${what})`;
    troubles.push({ unreachable: isAll, reason, message });
  }
  if (slow.length > 0) {
    const what = slow.map((each) => `${endpointText(each.port)}: ${said(each.reach)}`).join(", ");
    const message = `the storage address of the RDS answers slowly to this node (${what})`;
    troubles.push({ unreachable: false, reason: "StorageSlow", message });
  }
  if (lost > 1 && away.length === 0) {
    const message = `${lost} of ${volumes} volumes on this node have no live NVMe connection`;
    troubles.push({ unreachable: false, reason: "ConnectionsNotLive", message });
  }
  return troubles;
}

/** The ports of some connections, each once. */
function portsOf(connections: readonly Connection[]): readonly StoragePort[] {
  const ports = connections.flatMap((each) => each.ports ?? []);
  return [...new Map(ports.map((port) => [endpointText(port), port])).values()];
}

/** Whether an answer proves that the RDS is away. A refusal comes from the RDS. @param isUsed a port that no volume uses may be filtered */
function isAway(reach: Reach, isUsed: boolean): boolean {
  return reach.kind === "failed" ? NO_ROUTE.has(reach.code) : reach.kind === "silent" && isUsed;
}

function said(reach: Reach): string {
  if (reach.kind === "failed") return reach.code;
  const seconds = Math.round(reach.milliseconds / 100) / 10;
  return reach.kind === "silent" ? `no answer within ${seconds} s` : `connected after ${seconds} s`;
}
