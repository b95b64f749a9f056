import { type Capability, FILESYSTEMS, type Filesystem } from "../domain/access-mode.ts";
import { type DriverError, failure } from "../domain/errors/driver-error.ts";

/**
 * Why a capability is unsupported; undefined when it is supported.
 * RWX-01: ReadWriteMany with raw block is allowed; RWX-02: ReadWriteMany with a filesystem is not.
 */
export function capabilityProblem({ accessMode, accessType, fsType }: Capability): DriverError | undefined {
  if (accessMode === "MULTI_NODE_READER_ONLY" || accessMode === "MULTI_NODE_SINGLE_WRITER") {
    return failure("capabilityUnsupported", { reason: `access mode ${accessMode}` });
  }
  if (accessMode === "MULTI_NODE_MULTI_WRITER" && accessType === "mount") return failure("rwxFilesystem", {});
  if (accessType === "mount" && fsType !== "" && !isFilesystem(fsType)) {
    const reason = `filesystem ${JSON.stringify(fsType)} (supported: ${FILESYSTEMS.join(", ")})`;
    return failure("capabilityUnsupported", { reason });
  }
  return undefined;
}

/** Requires that every capability is supported. @throws the first problem (INVALID_ARGUMENT) */
export function requireSupported(capabilities: readonly Capability[]): void {
  for (const capability of capabilities) {
    const problem = capabilityProblem(capability);
    if (problem !== undefined) throw problem;
  }
}

function isFilesystem(text: string): text is Filesystem {
  return FILESYSTEMS.some((known) => known === text);
}
