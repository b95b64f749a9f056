import { type Reach, reachOf, type StoragePort } from "../../host/reach.ts";
import { endpointText, sameEndpoint } from "../../nvme/endpoint.ts";
import type { DiagnoseContext } from "../context.ts";
import { type RouteFacts, routeTo } from "./routes.ts";

export type StorageAddress = StoragePort;

/** One storage address: the way to it, and what a TCP connect said. */
export interface StorageFacts extends StorageAddress {
  /** Who named it: an option, connections, VolumeAttachments. */
  readonly sources: readonly string[];
  readonly route: RouteFacts;
  readonly reach: Reach;
}

const CONNECT_MS = 2_500;

/** Joins what several places say about storage addresses. */
export function mergeAddresses(
  named: readonly (StorageAddress & { readonly source: string })[],
): readonly (StorageAddress & { readonly sources: readonly string[] })[] {
  const merged: (StorageAddress & { sources: string[] })[] = [];
  for (const { address, port, source } of named) {
    const known = merged.find((each) =>
      sameEndpoint({ address, port: String(port) }, { address: each.address, port: String(each.port) }),
    );
    if (known === undefined) merged.push({ address, port, sources: [source] });
    else if (!known.sources.includes(source)) known.sources.push(source);
  }
  return merged.toSorted((a, b) => (endpointText(a) < endpointText(b) ? -1 : 1));
}

/** Looks at the way to an address and opens a TCP connection, which is closed at once: nothing is sent. */
export async function storageFacts(
  context: DiagnoseContext,
  target: StorageAddress & { readonly sources: readonly string[] },
  signal: AbortSignal,
): Promise<StorageFacts> {
  const [route, reach] = await Promise.all([
    routeTo(context, target.address),
    reachOf(target, CONNECT_MS, context.system.clock.monotonic, signal),
  ]);
  return { ...target, route, reach };
}
