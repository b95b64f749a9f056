import { readFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import type { Target } from "../node/data-path.ts";

/**
 * What the simulator writes to `<exportsDir>/<nqn>.json` while a disk is exported: the file exists exactly as long as
 * the export. It holds more (its size), which is not needed here.
 */
export interface LoopExport {
  readonly nqn: string;
  /** NVMe/TCP port that the export claims to listen on. */
  readonly port: number;
  /** Absolute path of the image file. */
  readonly path: string;
  readonly slot: string;
  /** Host NQNs that may connect; empty = any. */
  readonly allowHosts: readonly string[];
}

/**
 * Finds the export of a target, with the refusals of a real one.
 * @throws connectRefused (no export, other port), subsystemNotOffered (host not allowed), nodeStateUnknown
 */
export async function openExport(exportsDir: string, target: Target): Promise<LoopExport> {
  const { nqn, port } = target;
  const address = `${target.address}:${port}`;
  const path = `${exportsDir}/${nqn}.json`;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw failure("connectRefused", { nqn, address, reason: "connection refused (not exported)" });
    }
    throw failure("nodeStateUnknown", { what: path, detail: String(error) }, error);
  }
  const found = parse(text, path);
  if (found.nqn !== nqn || found.port !== port) {
    throw failure("connectRefused", {
      nqn,
      address,
      reason: `the export is ${found.nqn} on port ${found.port}`,
    });
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
  const { nqn, port, path: image, slot, allowHosts } = (value ?? {}) as Partial<LoopExport>;
  if (
    typeof nqn !== "string" ||
    typeof port !== "number" ||
    typeof image !== "string" ||
    !image.startsWith("/") ||
    typeof slot !== "string" ||
    !Array.isArray(allowHosts) ||
    !allowHosts.every((host) => typeof host === "string")
  ) {
    throw failure("nodeStateUnknown", { what: path, detail: "it does not have the fields of an export" });
  }
  return { nqn, port, path: image, slot, allowHosts };
}
