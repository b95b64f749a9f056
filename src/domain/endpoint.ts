import { Buffer } from "node:buffer";
import { resolve } from "node:path";
import { failure } from "./errors/driver-error.ts";

/** Longest path of a unix socket in bytes: `sun_path` holds 108 with its terminating zero (unix(7)). */
export const SOCKET_PATH_LIMIT = 107;

/**
 * Reads a CSI endpoint: `unix:///run/csi.sock`, `unix:/run/csi.sock`, `unix:csi.sock` or `/run/csi.sock`.
 * @returns the absolute path of the socket
 * @throws fieldMissing, fieldInvalid or fieldTooLong naming `endpoint`
 */
export function parseEndpoint(endpoint: string): string {
  const field = "endpoint";
  if (endpoint === "") throw failure("fieldMissing", { field });
  const path = socketPath(endpoint);
  if (path === undefined || path === "" || path.endsWith("/") || path.includes("\0")) {
    throw failure("fieldInvalid", {
      field,
      reason: `${JSON.stringify(endpoint)} is not of the form unix:///path, unix:path or /path`,
    });
  }
  const absolute = resolve(path);
  const bytes = Buffer.byteLength(absolute, "utf8");
  if (bytes > SOCKET_PATH_LIMIT) throw failure("fieldTooLong", { field, bytes, limit: SOCKET_PATH_LIMIT });
  return absolute;
}

function socketPath(endpoint: string): string | undefined {
  if (endpoint.startsWith("/")) return endpoint;
  if (endpoint.startsWith("unix://")) return endpoint.startsWith("unix:///") ? endpoint.slice(7) : undefined;
  return endpoint.startsWith("unix:") ? endpoint.slice(5) : undefined;
}
