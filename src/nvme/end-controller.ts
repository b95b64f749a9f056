import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import type { EndedController } from "../host/helper-answers.ts";

/**
 * Tells the kernel to delete one controller, by its own `delete_controller`, if it is one of NVMe/TCP with exactly this NQN.
 * The file is opened before the proof is read: should another controller get the name meanwhile, what is open still belongs
 * to the one that has gone, and the kernel refuses the write (ENODEV). The write blocks until the controller has been
 * deleted, which may take for ever: for the helper process only.
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
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return ["ENOENT", "ENODEV", "ENXIO"].includes(code);
}
