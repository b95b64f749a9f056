import { failure } from "../domain/errors/driver-error.ts";
import { complaint } from "../host/exec.ts";
import type { NodeSystem } from "../host/system.ts";
import { controllersWithSubsystem } from "./sysfs.ts";
import { singleDevice, type View, viewOf } from "./view.ts";

const DEADLINE_MS = 20_000;
const ATTEMPTS = 4;
const POLL_MS = 100;

/**
 * Disconnects exactly this NQN and proves that it is gone; absent is success. nvme-cli finds a controller through its
 * subsystem; one that has none is ended by its own `delete_controller`, as nothing else would ever end it.
 * @param nqn one of the driver's own
 * @param goneMs how long the proof is waited for, in milliseconds
 * @throws deviceAmbiguous (FAILED_PRECONDITION); disconnectNotProven, nodeStateUnknown (UNAVAILABLE)
 */
export async function disconnectNqn(
  system: NodeSystem,
  nqn: string,
  goneMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const { clock, sysRoot } = system;
  const before = await viewOf(sysRoot, nqn);
  if (isEmpty(before)) return;
  // The caller proved one device unused; disconnecting the NQN takes every device of the subsystem.
  singleDevice(nqn, before.namespaces);
  const args = ["disconnect", `--nqn=${nqn}`];
  let result = await system.exec({ program: "nvme", args, deadlineMs: DEADLINE_MS, signal });
  // nvme-cli looks at all controllers of the node first, and may crash when another one vanishes meanwhile (2.3: double
  // free, seen with 10 volumes at a time). By its name nothing else can be hit, so it is simply run again.
  for (let crash = 1; result.code === null && crash < ATTEMPTS; crash += 1) {
    system.logger.warn("nvme disconnect crashed and is run again", { nqn, detail: complaint(result) });
    result = await system.exec({ program: "nvme", args, deadlineMs: DEADLINE_MS, signal });
  }
  const told = result.code === 0 ? await endLoose(system, nqn, signal) : [];
  const until = clock.monotonic() + goneMs;
  // Its exit code says nothing: 0 also for "disconnected 0 controller(s)".
  for (;;) {
    const now = await viewOf(sysRoot, nqn);
    if (isEmpty(now)) return;
    if (clock.monotonic() > until || result.code !== 0) {
      const devices = now.namespaces.map(({ device }) => device);
      const left = [...now.controllers, ...devices].map(({ name }) => name).join(", ");
      const detail = [`${left} left`, `nvme said: ${complaint(result)}`, ...told].join("; ");
      throw failure("disconnectNotProven", { nqn, detail });
    }
    await clock.sleep(POLL_MS, signal);
  }
}

/**
 * Ends the controllers of an NQN that have no subsystem.
 * @returns what did not work, for people
 */
async function endLoose(system: NodeSystem, nqn: string, signal?: AbortSignal): Promise<readonly string[]> {
  const { controllers } = await viewOf(system.sysRoot, nqn);
  if (controllers.length === 0) return [];
  const known = await controllersWithSubsystem(system.sysRoot);
  const problems: string[] = [];
  for (const { name, state, address } of controllers) {
    if (known.has(name) || state.startsWith("deleting")) continue;
    system.logger.warn("ending a controller that has no subsystem", {
      nqn,
      controller: name,
      state,
      address,
    });
    const ended = await system.helper.endController(system.sysRoot, name, nqn, signal);
    if (ended.kind !== "told") problems.push(`delete_controller of ${name}: ${ended.detail}`);
  }
  return problems;
}

function isEmpty({ controllers, namespaces }: View): boolean {
  return controllers.length === 0 && namespaces.length === 0;
}
