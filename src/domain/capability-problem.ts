import { type Capability, FILESYSTEMS, type Filesystem } from "./access-mode.ts";
import { type DriverError, failure } from "./errors/driver-error.ts";

/**
 * Why a capability is unsupported; undefined when it is supported. Controller and node give the same answers.
 * RWX-01: ReadWriteMany with raw block is allowed; RWX-02: ReadWriteMany with a filesystem is not.
 *
 * Readers on several nodes are refused with any access type: the record has room for two nodes, a second node is for a live migration, and
 * a filesystem that one node may still change is read wrongly by another.
 */
export function capabilityProblem({ accessMode, accessType, fsType }: Capability): DriverError | undefined {
  if (accessMode === "MULTI_NODE_READER_ONLY" || accessMode === "MULTI_NODE_SINGLE_WRITER") {
    return failure("readersOnSeveralNodes", { mode: accessMode });
  }
  if (accessMode === "MULTI_NODE_MULTI_WRITER" && accessType === "mount") return failure("rwxFilesystem", {});
  if (accessType === "mount" && fsType !== "" && !isFilesystem(fsType)) {
    const reason = `filesystem ${JSON.stringify(fsType)} (supported: ${FILESYSTEMS.join(", ")})`;
    return failure("capabilityUnsupported", { reason });
  }
  return undefined;
}

function isFilesystem(text: string): text is Filesystem {
  return FILESYSTEMS.some((known) => known === text);
}
