import { constants } from "node:fs";
import { writeFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readAttribute } from "../host/block-device.ts";
import type { Target } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";

/**
 * Gives a controller the target's reconnect_delay, ctrl_loss_tmo and fast_io_fail_tmo where they differ, and reads them
 * back. nvme-cli 2.3 cannot set the third at all, and an existing connection may have other values: it may be older, or the
 * process that made it was killed before this step. Queues of a live connection cannot be changed.
 * An attribute that the kernel does not have (before 5.13) is logged and passed over.
 * @param controller e.g. `nvme0`
 * @throws connectionNotTuned (UNAVAILABLE), nodeStateUnknown
 */
export async function tuneController(
  { sysRoot, logger }: Pick<NodeSystem, "sysRoot" | "logger">,
  controller: string,
  target: Target,
): Promise<void> {
  const { nqn, reconnectDelay, ctrlLossTmo, fastIoFailTmo } = target;
  const wishes = [
    // First: the kernel keeps ctrl_loss_tmo as a number of reconnects.
    { attribute: "reconnect_delay", wanted: reconnectDelay, shown: reconnectDelay },
    { attribute: "ctrl_loss_tmo", wanted: ctrlLossTmo, shown: shownLossTmo(ctrlLossTmo, reconnectDelay) },
    { attribute: "fast_io_fail_tmo", wanted: fastIoFailTmo, shown: fastIoFailTmo },
  ];
  for (const { attribute, wanted, shown } of wishes) {
    const path = `${sysRoot}/class/nvme/${controller}/${attribute}`;
    const before = await readSeconds(path);
    if (before === shown) continue;
    if (before === undefined) {
      if (attribute !== "fast_io_fail_tmo" || wanted !== -1) {
        logger.warn("this kernel does not show a parameter of a connection", { nqn, controller, attribute });
      }
      continue;
    }
    const refuse = (detail: string, error?: unknown): Error => {
      const found = text(before);
      return failure(
        "connectionNotTuned",
        { nqn, controller, attribute, wanted: text(wanted), found, detail },
        error,
      );
    };
    try {
      // Without O_CREAT, which sysfs refuses with another error than "does not exist".
      await writeFile(path, `${wanted}\n`, { flag: constants.O_WRONLY | constants.O_TRUNC });
    } catch (error) {
      throw refuse(String(error), error);
    }
    const after = await readSeconds(path);
    if (after !== shown && after !== wanted) throw refuse(`it is still ${text(after)} after writing`);
    logger.info("changed a parameter of a connection", { nqn, controller, attribute, before, wanted });
  }
}

/**
 * The value that the kernel shows for a ctrl_loss_tmo: it counts whole reconnects. Seconds; -1 = off.
 * Source: Linux, drivers/nvme/host/sysfs.c, nvme_ctrl_loss_tmo_store and _show.
 */
export function shownLossTmo(ctrlLossTmo: number, reconnectDelay: number): number {
  return ctrlLossTmo < 0 ? -1 : Math.ceil(ctrlLossTmo / reconnectDelay) * reconnectDelay;
}

/** `off` is -1. NaN for a text that is no number: it differs from every wanted value. */
async function readSeconds(path: string): Promise<number | undefined> {
  const value = await readAttribute(path);
  if (value === undefined) return undefined;
  if (value === "off") return -1;
  return /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
}

function text(seconds: number | undefined): string {
  return seconds === undefined ? "missing" : seconds === -1 ? "off" : String(seconds);
}
