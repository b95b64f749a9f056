import { constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { poll } from "../domain/poll.ts";
import { readAttribute } from "../host/block-device.ts";
import { complaint } from "../host/exec.ts";
import type { NodeSystem } from "../host/system.ts";
import { controllersWithSubsystem, type SubsystemState, singleDevice, subsystemState } from "./sysfs.ts";

const DEADLINE_MS = 20_000;
const ATTEMPTS = 4;
const POLL_MS = 100;
/** Longest wait for the proof that a disconnect has ended. */
const GONE_MS = 15_000;
/** One attempt to reconnect, beyond the delay before it. */
const ATTEMPT_MS = 10_000;
/** The kernel's own default, for a kernel that shows none. Source: Linux, drivers/nvme/host/fabrics.h, NVMF_DEF_RECONNECT_DELAY. */
const DEFAULT_RECONNECT_DELAY = 10;

/**
 * Disconnects exactly this NQN and proves that it is gone; absent is success. nvme-cli finds a controller through its
 * subsystem. A controller without one is ended by its own `delete_controller`, as nothing else would ever end it.
 * @param nqn one of the driver's own
 * @throws deviceAmbiguous (FAILED_PRECONDITION); disconnectNotProven, nodeStateUnknown (UNAVAILABLE)
 */
export async function disconnectNqn(system: NodeSystem, nqn: string, signal?: AbortSignal): Promise<void> {
  const { clock, sysRoot } = system;
  const before = await subsystemState(sysRoot, nqn);
  if (isEmpty(before)) return;
  // The caller proved one device unused; disconnecting the NQN takes every device of the subsystem.
  singleDevice(nqn, before.namespaces);
  const args = ["disconnect", `--nqn=${nqn}`];
  let result = await system.exec({ program: "nvme", args, deadlineMs: DEADLINE_MS, signal });
  // nvme-cli first looks at all controllers of the node, and may crash when another one vanishes during that (2.3: double
  // free, seen with 10 volumes at a time). A second run is safe: the NQN names nothing else.
  for (let crash = 1; result.code === null && crash < ATTEMPTS; crash += 1) {
    system.logger.warn("nvme disconnect crashed and is run again", { nqn, detail: complaint(result) });
    result = await system.exec({ program: "nvme", args, deadlineMs: DEADLINE_MS, signal });
  }
  const problems = result.code === 0 ? await endLoose(system, nqn, signal) : [];
  let left = before;
  // The exit code proves nothing: it is 0 also for "disconnected 0 controller(s)".
  const gone = await poll(
    clock,
    { everyMs: POLL_MS, withinMs: GONE_MS },
    async () => {
      left = await subsystemState(sysRoot, nqn);
      if (isEmpty(left)) return true;
      return result.code === 0 ? undefined : false;
    },
    signal,
  );
  if (gone === true) return;
  const names = [...left.controllers, ...left.namespaces.map(({ device }) => device)].map(({ name }) => name);
  const detail = [`${names.join(", ")} left`, `nvme said: ${complaint(result)}`, ...problems].join("; ");
  throw failure("disconnectNotProven", { nqn, detail });
}

/**
 * Ends the controllers of an NQN that have no subsystem.
 * @returns for each controller that could not be ended the reason, in words
 */
async function endLoose(system: NodeSystem, nqn: string, signal?: AbortSignal): Promise<readonly string[]> {
  const { controllers } = await subsystemState(system.sysRoot, nqn);
  if (controllers.length === 0) return [];
  const known = await controllersWithSubsystem(system.sysRoot);
  const problems: string[] = [];
  for (const { name, state, address } of controllers) {
    if (known.has(name) || state.startsWith("deleting")) continue;
    const about = { nqn, controller: name, state, address };
    system.logger.warn("ending a controller that has no subsystem", about);
    const ended = await system.helper.endController(system.sysRoot, name, nqn, signal);
    if (ended.kind !== "written") problems.push(`delete_controller of ${name}: ${ended.detail}`);
  }
  return problems;
}

function isEmpty({ controllers, namespaces }: SubsystemState): boolean {
  return controllers.length === 0 && namespaces.length === 0;
}

/**
 * Takes the remaining reconnects from the controllers of an NQN that are not live: at its next failed attempt the kernel
 * removes such a controller, and everything that is blocked on it fails. (fast_io_fail_tmo cannot do this: it counts from
 * the loss of the connection, which is over.) A live controller keeps its reconnects, also one that has just come back.
 * Waits until the controllers have gone or are live, at most one reconnect delay and ten seconds. A timeout is not an error.
 * Source: Linux, drivers/nvme/host/sysfs.c, nvme_ctrl_loss_tmo_store; tcp.c, nvme_tcp_reconnect_or_remove.
 * @throws cancelled, nodeStateUnknown
 */
export async function abandonControllers(
  { sysRoot, clock, logger }: Pick<NodeSystem, "sysRoot" | "clock" | "logger">,
  nqn: string,
  signal?: AbortSignal,
): Promise<void> {
  const waiting = async () =>
    (await subsystemState(sysRoot, nqn)).controllers.filter(({ state }) => state !== "live");
  let delay = 0;
  for (const { name, state } of await waiting()) {
    const base = `${sysRoot}/class/nvme/${name}`;
    logger.warn("giving up a connection whose attachment was replaced", { nqn, controller: name, state });
    try {
      await writeFile(`${base}/ctrl_loss_tmo`, "0\n", { flag: constants.O_WRONLY | constants.O_TRUNC });
    } catch (error) {
      // The controller has just gone, or the kernel is too old (before 5.13). The caller's next step names what is left.
      logger.debug("ctrl_loss_tmo cannot be changed", { nqn, controller: name, error });
    }
    const shown = Number((await readAttribute(`${base}/reconnect_delay`)) ?? DEFAULT_RECONNECT_DELAY);
    delay = Math.max(delay, Number.isFinite(shown) ? shown : DEFAULT_RECONNECT_DELAY);
  }
  const limits = { everyMs: POLL_MS, withinMs: delay * 1_000 + ATTEMPT_MS };
  await poll(clock, limits, async () => ((await waiting()).length === 0 ? true : undefined), signal);
}
