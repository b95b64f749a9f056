import { complaint } from "../host/exec.ts";
import { exists } from "../host/files.ts";
import type { NodeSystem } from "../host/system.ts";

/** Loading takes parts of a second. */
const DEADLINE_MS = 20_000;

/** The kernel module nvme-tcp, and the problem with it. */
export interface KernelModule {
  /** Loads it if it is not loaded. Never throws: a failure is part of the problem. */
  load(): Promise<void>;
  /** The reason for which it is not loaded, with the remedy; undefined when it is loaded. */
  problem(): Promise<string | undefined>;
}

/**
 * nvme-tcp, with the modules that it needs, by `modprobe`: that takes CAP_SYS_MODULE, and the node's own /lib/modules. Source:
 * modprobe(8); a module that is loaded, or built in and has parameters, is in /sys/module.
 */
export function createKernelModule({ exec, logger, sysRoot }: NodeSystem): KernelModule {
  let failed: string | undefined;
  const loaded = () => exists(`${sysRoot}/module/nvme_tcp`);
  return {
    load: async () => {
      if (await loaded()) return;
      const before = failed;
      failed = await exec({ program: "modprobe", args: ["nvme-tcp"], deadlineMs: DEADLINE_MS }).then(
        (result) => (result.code === 0 ? undefined : complaint(result)),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      if (failed === undefined) logger.info("kernel module loaded", { module: "nvme-tcp" });
      else if (failed !== before)
        logger.warn("kernel module not loaded", { module: "nvme-tcp", detail: failed });
    },
    problem: async () => {
      if (await loaded()) return undefined;
      const found = failed === undefined ? "" : `, and modprobe cannot load it: ${failed}`;
      return `the kernel module nvme-tcp is not loaded${found}. ${REMEDY}`;
    },
  };
}

const REMEDY =
  "Install the package of this kernel that has it (Debian: linux-image, Ubuntu: linux-modules-extra), mount the host's " +
  "/lib/modules into this container, or load it on the host: `modprobe nvme-tcp`, and for good in /etc/modules-load.d";
