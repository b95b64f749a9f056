import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { isCode } from "../host/files.ts";
import type { EndedController } from "../host/helper-answers.ts";

/**
 * Has the kernel delete one controller, by its own `delete_controller`, if it is one of NVMe/TCP with exactly this NQN. The
 * file is opened before the proof is read. Should another controller get the name in between, the open file still belongs to
 * the one that has gone, and the kernel refuses the write (ENODEV). The write blocks until the controller has been deleted,
 * which may take for ever: for the helper process only.
 * Source: Linux, drivers/nvme/host/sysfs.c, nvme_sysfs_delete.
 * @param name e.g. `nvme0`
 */
export function endController(sysRoot: string, name: string, nqn: string): EndedController {
  const base = `${sysRoot}/class/nvme/${name}`;
  const attribute = (each: string) => readFileSync(`${base}/${each}`, "utf8").trimEnd();
  let fd: number;
  try {
    fd = openSync(`${base}/delete_controller`, constants.O_WRONLY);
  } catch (error) {
    return { kind: isGone(error) ? "other" : "failed", detail: String(error) };
  }
  try {
    const [found, transport] = [attribute("subsysnqn"), attribute("transport")];
    if (found !== nqn || transport !== "tcp") {
      return { kind: "other", detail: `${name} is ${found} over ${transport}` };
    }
    writeSync(fd, "1\n");
    return { kind: "written" };
  } catch (error) {
    return { kind: isGone(error) ? "other" : "failed", detail: String(error) };
  } finally {
    closeSync(fd);
  }
}

function isGone(error: unknown): boolean {
  return isCode(error, "ENOENT", "ENODEV", "ENXIO");
}
