import { connect } from "node:net";

/** An address and port at which a RDS offers NVMe/TCP. */
export interface StoragePort {
  readonly address: string;
  readonly port: number;
}

/** What a TCP connect said. */
export type Reach =
  | { readonly kind: "reached"; readonly milliseconds: number; readonly from: string | undefined }
  /** `code` is that of connect(2). */
  | { readonly kind: "failed"; readonly code: string; readonly milliseconds: number }
  | { readonly kind: "silent"; readonly milliseconds: number };

/**
 * Opens a TCP connection, which is closed at once: nothing is sent. Never throws, and never takes longer than `withinMs`: then, or when
 * `signal` aborts, the port counts as silent.
 */
export function reachOf(
  { address, port }: StoragePort,
  withinMs: number,
  monotonic: () => number,
  signal?: AbortSignal,
): Promise<Reach> {
  const begun = monotonic();
  const taken = (): number => Math.round((monotonic() - begun) * 10) / 10;
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const done = (reach: Reach): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", silent);
      socket.destroy();
      resolve(reach);
    };
    const silent = (): void => done({ kind: "silent", milliseconds: taken() });
    const timer = setTimeout(silent, withinMs);
    signal?.addEventListener("abort", silent, { once: true });
    if (signal?.aborted) return silent();
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
