import { backoffDelay } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { isFailure } from "../domain/errors/driver-error.ts";
import type { OwnNode } from "../kubernetes/own-node.ts";
import type { Logger } from "../observability/log.ts";

/** Pause between two attempts. */
const PAUSE = { firstMs: 1_000, maxMs: 30_000 };
/** Between two looks at readiness, milliseconds; a look costs nothing. */
const READINESS_PAUSE_MS = 1_000;
/** With these pauses about half an hour: kubelet registers within seconds, an API server may be away for longer. */
const ATTEMPTS = 64;

export interface StartupTaintDeps {
  readonly node: OwnNode;
  readonly driverName: string;
  /** Why the node cannot serve volumes yet, as `/readyz` answers; empty: it can. */
  readonly notReadyReasons: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The taint that keeps pods from a node until the driver can serve them there, as its administrator sets it. */
export function startupTaintKey(driverName: string): string {
  return `${driverName}/agent-not-ready`;
}

/**
 * Removes the start-up taint from this node once the node is ready and kubelet has registered the driver. Waits for
 * readiness as long as it takes. Ends when the taint is gone, when the API server forbids it, after 64 attempts, or when
 * the signal aborts. Never throws: the node serves all the same.
 */
export async function removeStartupTaint(deps: StartupTaintDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  const fields = { taint: startupTaintKey(deps.driverName) };
  let waitingFor = "";
  for (let attempt = 1; attempt <= ATTEMPTS && !signal.aborted; attempt += 1) {
    try {
      waitingFor = await step(deps, fields.taint, signal);
      if (waitingFor === "") return;
    } catch (error) {
      if (signal.aborted) return;
      waitingFor = (error as Error).message;
      if (isFailure(error, "kubernetesForbidden")) break;
    }
    logger.debug("the start-up taint stays for now", { ...fields, waitingFor });
    await clock.sleep(backoffDelay(attempt, PAUSE), signal).catch(() => {});
  }
  if (signal.aborted) return;
  const remedy =
    "remove it by hand if it is there, grant get and patch of nodes and get of csinodes, or set --remove-startup-taint false";
  logger.warn("the start-up taint was not removed", { ...fields, reason: waitingFor, remedy });
}

/** One attempt, after the wait for readiness. @returns the reason to try again; "" when nothing is left to do */
async function step(deps: StartupTaintDeps, taint: string, signal: AbortSignal): Promise<string> {
  const { node, logger } = deps;
  // Most nodes have no taint: they cost one call.
  if (!(await node.hasTaint(taint, signal))) return "";
  // The taint or the registration may have changed during a wait.
  if (await waitedForReadiness(deps, taint, signal)) return step(deps, taint, signal);
  if (!(await node.isRegistered(signal))) return "kubelet has not registered the driver yet";
  if (await waitedForReadiness(deps, taint, signal)) return step(deps, taint, signal);
  if (!(await node.removeTaint(taint, signal))) return "the taints of the node were changed at the same time";
  logger.info("removed the start-up taint", { taint });
  return "";
}

/**
 * Waits until the node is ready, without a call to the API server.
 * @returns whether it had to wait
 * @throws the abort reason
 */
async function waitedForReadiness(
  { notReadyReasons, clock, logger }: StartupTaintDeps,
  taint: string,
  signal: AbortSignal,
): Promise<boolean> {
  const reasons = notReadyReasons();
  if (reasons.length === 0) return false;
  // Without the taint pods are bound to this node, and their volumes cannot be staged on it.
  logger.warn("the start-up taint stays until the node is ready", { taint, reasons });
  do await clock.sleep(READINESS_PAUSE_MS, signal);
  while (notReadyReasons().length > 0);
  return true;
}
