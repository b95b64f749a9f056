import { SimulatorError } from "../../errors.ts";
import { ConfigfsError } from "./configfs.ts";

/** Where the target's configuration is, and where it listens; for messages. */
export interface TargetPlace {
  /** Directory of the NVMe target in configfs. */
  readonly root: string;
  /** IP address on which it listens. */
  readonly address: string;
}

/**
 * A refusal of the kernel as a message with its remedy; any other error as it is.
 * Sources: drivers/nvme/target/configfs.c and tcp.c, measured on Linux 6.1.
 */
export function explained(error: unknown, place: TargetPlace): unknown {
  if (!(error instanceof ConfigfsError)) return error;
  return new SimulatorError(
    `the kernel's NVMe target refuses a step (${error.message}): ${remedy(error, place)}`,
  );
}

function remedy({ action, code, file }: ConfigfsError, { root, address }: TargetPlace): string {
  const port = action === "link" && file.startsWith(`${root}/ports/`);
  if (port && code === "EADDRINUSE") {
    return `another listener has that TCP port of ${address}; find it with 'ss -ltnp' (a kernel target has no process there) or use another --nvmet-address or another port of the disk`;
  }
  if (port && code === "EADDRNOTAVAIL")
    return `${address} is no address of this machine; correct --nvmet-address`;
  if (port && code === "EAFNOSUPPORT")
    return `this kernel has no address family of ${address}; correct --nvmet-address`;
  if (port && code === "EINVAL") return "the transport is missing; load it with 'modprobe nvmet-tcp'";
  if (code === "EACCES" || code === "EPERM") return "it takes root; run the simulator as root";
  if (code === "EROFS")
    return `configfs is read-only here; mount it writable at ${root.replace(/\/nvmet$/, "")}`;
  if (code === "ENOENT" && action === "list") {
    return "it is not there; load it with 'modprobe -a nvmet nvmet-tcp', and if configfs is not mounted, 'mount -t configfs none /sys/kernel/config'";
  }
  if (code === "ENOENT" && action === "write" && file.endsWith("/enable"))
    return "the image file is gone; look at --dir";
  if (code === "EINVAL" && action === "make")
    return "it does not take that name; the NQNs of discovery are its own";
  return "look into the kernel's log ('dmesg') for its reason";
}
