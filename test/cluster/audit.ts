import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { cluster } from "./world.ts";

const AUDIT_LOG = join(cluster.control.directory, "audit.log");

/** A request of an account of the driver, as the API server's log of audits has it. */
export interface Audited {
  readonly verb: string;
  readonly stage: string;
  readonly userAgent?: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
}

/** How long the log is: where the next look begins. */
export async function auditMark(): Promise<number> {
  return (await stat(AUDIT_LOG)).size;
}

/** The requests of the driver's accounts since a mark, watches included, which are logged when they begin and when they end. */
export async function auditedSince(mark: number): Promise<Audited[]> {
  const log = await readFile(AUDIT_LOG);
  const lines = log.subarray(mark).toString("utf8").split("\n");
  // The last line may be in the making.
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

/** The requests that were refused since a mark: account, verb and path. */
export async function refusedSince(mark: number): Promise<string[]> {
  const refused = (await auditedSince(mark)).filter(({ responseStatus }) => responseStatus?.code === 403);
  return refused.map(({ user, verb, requestURI }) => `${user.username} ${verb} ${requestURI}`);
}

/**
 * Counts the requests of the driver's accounts since a mark, by program, verb and resource. Renewing Leases, and watches, which begin
 * anew every few minutes, belong to the time and not to the work, and are left out.
 */
export async function countRequests(mark: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { verb, objectRef, userAgent = "", stage } of await auditedSince(mark)) {
    if (stage !== "ResponseComplete" || verb === "watch" || objectRef?.resource === "leases") continue;
    const resource = [objectRef?.resource, objectRef?.subresource]
      .filter((each) => each !== undefined)
      .join("/");
    const name = `${userAgent.split(/[/ ]/)[0]} ${verb} ${resource}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
