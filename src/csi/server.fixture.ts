import { systemClock } from "../domain/clock.ts";
import { identityService } from "./identity.ts";
import type { RpcContext } from "./rpc.ts";

export const identity = identityService({
  name: "rds.csi.srvlab.io",
  vendorVersion: "1",
  isReady: () => true,
});

export async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await systemClock.sleep(2);
}

/** A handler that hangs and notes its contexts. */
export function hanging(seen: RpcContext[], honoursAbort: boolean) {
  return (_request: unknown, context: RpcContext) => {
    seen.push(context);
    return new Promise<never>((_, reject) => {
      if (honoursAbort) context.signal.addEventListener("abort", () => reject(context.signal.reason));
    });
  };
}
