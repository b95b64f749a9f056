import { failure } from "../domain/errors/driver-error.ts";

/** Where the HTTP server listens; an empty host means all addresses. */
export type HttpAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

const TCP = /^(?:\[(?<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?)\]|(?<host>[A-Za-z0-9._-]*)):(?<port>\d{1,5})$/;

/**
 * Reads `host:port`, `:port`, `[v6]:port`, `/path` or `unix:/path`.
 * @throws fieldInvalid naming `metrics address`
 */
export function parseHttpAddress(text: string): HttpAddress {
  const path = text.startsWith("unix:") ? text.slice(5).replace(/^\/\/(?=\/)/, "") : text;
  if (path.startsWith("/") && !path.endsWith("/") && !path.includes("\0")) return { kind: "unix", path };
  const found = TCP.exec(text)?.groups;
  const port = Number(found?.port);
  if (found === undefined || port > 65_535) {
    throw failure("fieldInvalid", {
      field: "metrics address",
      reason: `${JSON.stringify(text)} is not of the form host:port, :port, [v6]:port or /path`,
    });
  }
  return { kind: "tcp", host: found.six ?? found.host ?? "", port };
}
