import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import type { Target } from "../host/data-path.ts";
import { complaint, type ExecResult } from "../host/exec.ts";

/**
 * What a failed `nvme connect` means. nvme-cli always exits with 1, so its text decides: measured with 2.3, read in the
 * sources of later ones (libnvme, `nvme_strerror` and `__nvmf_add_ctrl`). The kernel's reason, `Failed to write to
 * /dev/nvme-fabrics: …`, is printed by 2.x; 3.x keeps it for its verbose log, and most reasons become one text there. For a
 * text that is not known the call is worth repeating.
 * @param tcpLoaded whether the module nvme_tcp is there: `Invalid argument` means that it is not, or a bad route
 * @returns undefined for "already connected": look again
 */
export function connectFailure(
  result: ExecResult,
  target: Target,
  tcpLoaded: boolean,
): DriverError | undefined {
  const { nqn } = target;
  const address = `${target.address}:${target.port}`;
  const text = `${result.stderr}\n${result.stdout}`;
  if (/already connected|Operation already in progress/i.test(text)) return undefined;
  if (/open \/dev\/nvme-fabrics: No such (file|device)/.test(text)) {
    return failure("nvmeModuleMissing", { module: "nvme-fabrics" });
  }
  if (/nvme-fabrics: Invalid argument|invalid arguments\/configuration/.test(text) && !tcpLoaded) {
    return failure("nvmeModuleMissing", { module: "nvme-tcp" });
  }
  // The Connect command was answered with a refusal: unknown NQN or host not allowed; only the kernel log tells which.
  if (/nvme-fabrics: Input\/output error/.test(text)) return failure("subsystemNotOffered", { nqn, address });
  return failure("connectRefused", { nqn, address, reason: complaint(result) });
}
