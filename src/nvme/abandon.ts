import { constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { readAttribute } from "../host/block-device.ts";
import type { NodeSystem } from "../host/system.ts";
import { viewOf } from "./view.ts";

const POLL_MS = 100;
/** One attempt to reconnect, beyond the delay before it. */
const ATTEMPT_MS = 10_000;
/** When the kernel does not say, its own default. Source: Linux, drivers/nvme/host/fabrics.h, NVMF_DEF_RECONNECT_DELAY. */
const DEFAULT_RECONNECT_DELAY = 10;

/**
 * Takes the remaining reconnects from the controllers of an NQN that are not live: at its next failed attempt the kernel
 * removes such a controller, and everything that is blocked on it fails. (fast_io_fail_tmo would not do: it counts from
 * the loss of the connection, which has been.) A controller that is live, also one that has just come back, keeps its own.
 * Source: Linux, drivers/nvme/host/sysfs.c, nvme_ctrl_loss_tmo_store; tcp.c, nvme_tcp_reconnect_or_remove.
 * @throws cancelled, nodeStateUnknown
 */
export async function abandonControllers(
  { sysRoot, clock, logger }: Pick<NodeSystem, "sysRoot" | "clock" | "logger">,
  nqn: string,
  signal?: AbortSignal,
): Promise<void> {
  const waiting = async () =>
    (await viewOf(sysRoot, nqn)).controllers.filter(({ state }) => state !== "live");
  let delay = 0;
  for (const { name, state } of await waiting()) {
    const base = `${sysRoot}/class/nvme/${name}`;
    logger.warn("giving up a connection whose attachment was replaced", { nqn, controller: name, state });
    try {
      await writeFile(`${base}/ctrl_loss_tmo`, "0\n", { flag: constants.O_WRONLY | constants.O_TRUNC });
    } catch (error) {
      // It has just gone, or the kernel is too old (before 5.13): what follows then says what is in the way.
      logger.debug("ctrl_loss_tmo cannot be changed", { nqn, controller: name, error });
    }
    const shown = Number((await readAttribute(`${base}/reconnect_delay`)) ?? DEFAULT_RECONNECT_DELAY);
    delay = Math.max(delay, Number.isFinite(shown) ? shown : DEFAULT_RECONNECT_DELAY);
  }
  const until = clock.monotonic() + delay * 1_000 + ATTEMPT_MS;
  while ((await waiting()).length > 0 && clock.monotonic() < until) await clock.sleep(POLL_MS, signal);
}
