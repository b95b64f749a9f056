import { randomBytes } from "node:crypto";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { Logger } from "../observability/log.ts";
import type { Command, CommandFailure, CommandResult, RouterOsClient } from "../routeros/client.ts";
import type { Disk } from "./disk.ts";
import { diskFromRow } from "./disk.ts";

/** How attached nodes are kept from writing once they lost their attachment. */
export type Fencing = "epoch" | "epoch+hosts" | "off";

/** What the operations on one RDS share. */
export interface RdsContext {
  readonly client: RouterOsClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** undefined: not known, every readable record counts as ours; only for commands that change nothing. */
  readonly clusterId: string | undefined;
  /** Awaited before the first command of a call; throws when the cluster id cannot be had. */
  readonly ready?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly nqnPrefix: string;
  /** TCP port of the NVMe/TCP export. */
  readonly nvmePort: number;
  readonly fencing: Fencing;
  /** Eight hex digits, new with each call: no two attachments share an NQN. Left out: randomNonce. */
  readonly nonce?: () => string;
}

/** A nonce of 32 random bits. */
export function randomNonce(): string {
  return randomBytes(4).toString("hex");
}

/** Runs a command whose runtime errors mean nothing special to the caller. */
export async function runChecked(context: RdsContext, command: Command): Promise<CommandResult> {
  const outcome = await context.client.run(command);
  if (!outcome.ok) throw commandFailure(command.what, outcome.failure);
  return outcome;
}

/** The rows of a command's listing as disks. */
export function disksOf(result: CommandResult): Disk[] {
  return result.rows.map(diskFromRow);
}

/** A RouterOS runtime error that the caller has no better name for. */
export function commandFailure(what: string, { kind, text }: CommandFailure): Error {
  switch (kind) {
    case "busy":
    case "transient":
      return failure("rdsBusy", { what, detail: text });
    default:
      return failure("commandRejected", { what, detail: text });
  }
}
