import { connect } from "node:net";
import { endpointText, sameEndpoint } from "../../nvme/endpoint.ts";
import type { DiagnoseContext } from "../context.ts";
import { type RouteFacts, routeTo } from "./routes.ts";

export interface StorageAddress {
  readonly address: string;
  readonly port: number;
}

/** One storage address: the way to it, and what a TCP connect said. */
export interface StorageFacts extends StorageAddress {
  /** Who named it: an option, connections, VolumeAttachments. */
  readonly sources: readonly string[];
  readonly route: RouteFacts;
  readonly reach:
    | { readonly kind: "reached"; readonly milliseconds: number; readonly from: string | undefined }
    /** `code` is that of connect(2). */
    | { readonly kind: "failed"; readonly code: string; readonly milliseconds: number }
    | { readonly kind: "silent"; readonly milliseconds: number };
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
    reachOf(target, context.system.clock.monotonic, signal),
  ]);
  return { ...target, route, reach };
}

function reachOf(
  { address, port }: StorageAddress,
  monotonic: () => number,
  signal: AbortSignal,
): Promise<StorageFacts["reach"]> {
  const begun = monotonic();
  const taken = (): number => Math.round((monotonic() - begun) * 10) / 10;
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const done = (reach: StorageFacts["reach"]): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", silent);
      socket.destroy();
      resolve(reach);
    };
    const silent = (): void => done({ kind: "silent", milliseconds: taken() });
    const timer = setTimeout(silent, CONNECT_MS);
    signal.addEventListener("abort", silent, { once: true });
    socket.once("connect", () => done({ kind: "reached", milliseconds: taken(), from: socket.localAddress }));
    socket.once("error", (error: NodeJS.ErrnoException) =>
      done(
        error.code === "ETIMEDOUT"
          ? { kind: "silent", milliseconds: taken() }
          : { kind: "failed", code: error.code ?? error.message, milliseconds: taken() },
      ),
    );
  });
}
