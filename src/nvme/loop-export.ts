import { readFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import type { Target } from "../host/data-path.ts";
import { readIfPresent } from "../host/files.ts";

/**
 * An exported disk, as the simulator writes it to `<exportsDir>/<nqn>.json`. The file exists exactly as long as the export.
 */
export interface LoopExport {
  readonly nqn: string;
  /** NVMe/TCP port that the export claims to listen on. */
  readonly port: number;
  /** Absolute path of the image file. */
  readonly path: string;
  /** Size that hosts see, in bytes: not always that of the file (the simulator's switch online-resize). */
  readonly sizeBytes: bigint;
  readonly slot: string;
  /** Host NQNs that may connect; empty = any. */
  readonly allowHosts: readonly string[];
}

/**
 * The export of an NQN; undefined while there is none.
 * @throws nodeStateUnknown
 */
export async function readExport(exportsDir: string, nqn: string): Promise<LoopExport | undefined> {
  const path = `${exportsDir}/${nqn}.json`;
  const text = await readIfPresent(path, () => readFile(path, "utf8"), ["ENOENT"]);
  return text === undefined ? undefined : parse(text, path);
}

/**
 * Finds the export of a target, with the refusals of a real one.
 * @throws connectRefused (no export, other port), subsystemNotOffered (host not allowed), nodeStateUnknown
 */
export async function openExport(exportsDir: string, target: Target): Promise<LoopExport> {
  const { nqn, port } = target;
  const address = `${target.address}:${port}`;
  const found = await readExport(exportsDir, nqn);
  if (found === undefined) {
    throw failure("connectRefused", { nqn, address, reason: "connection refused (not exported)" });
  }
  if (found.nqn !== nqn || found.port !== port) {
    const reason = `the export is ${found.nqn} on port ${found.port}`;
    throw failure("connectRefused", { nqn, address, reason });
  }
  if (found.allowHosts.length > 0 && !found.allowHosts.includes(target.hostNqn)) {
    throw failure("subsystemNotOffered", { nqn, address });
  }
  return found;
}

function parse(text: string, path: string): LoopExport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw failure("nodeStateUnknown", { what: path, detail: "it is not JSON" }, error);
  }
  const { nqn, port, path: image, sizeBytes, slot, allowHosts } = (value ?? {}) as Record<string, unknown>;
  if (
    typeof nqn !== "string" ||
    typeof port !== "number" ||
    typeof image !== "string" ||
    !image.startsWith("/") ||
    typeof sizeBytes !== "string" ||
    !/^\d{1,19}$/.test(sizeBytes) ||
    typeof slot !== "string" ||
    !Array.isArray(allowHosts) ||
    !allowHosts.every((host) => typeof host === "string")
  ) {
    throw failure("nodeStateUnknown", { what: path, detail: "it does not have the fields of an export" });
  }
  return { nqn, port, path: image, sizeBytes: BigInt(sizeBytes), slot, allowHosts };
}
