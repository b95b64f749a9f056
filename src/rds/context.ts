import { randomBytes } from "node:crypto";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { SharedWork } from "../domain/shared-work.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Logger } from "../observability/log.ts";
import { currentRequest } from "../observability/request-scope.ts";
import type {
  Command,
  CommandFailure,
  CommandOutcome,
  CommandResult,
  RouterOsClient,
} from "../routeros/client.ts";
import { ros, type Script } from "../routeros/script.ts";
import { type Disk, diskFromRow, disks } from "./disk.ts";

/** How attached nodes are kept from writing once they lost their attachment. */
export type Fencing = "epoch" | "epoch+hosts" | "off";

/** Shared by the operations on one RDS. */
export interface RdsContext {
  readonly client: RouterOsClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** undefined: unknown, so every readable record counts as ours. Only for commands that change nothing. */
  readonly clusterId: string | undefined;
  /** Awaited before the first command of a call; throws when the cluster id cannot be had. */
  readonly ready?: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Slot of the pool that most volumes are on, if that is known: it saves a command now and then. */
  readonly defaultPool?: string;
  readonly nqnPrefix: string;
  /** TCP port of the NVMe/TCP export. */
  readonly nvmePort: number;
  readonly fencing: Fencing;
  /** Bytes that stay free in each pool when a volume moves into a subvolume; left out: none. */
  readonly reserveBytes?: bigint;
  /** Eight hex digits, new with each call: no two attachments share an NQN. Left out: randomNonce. */
  readonly nonce?: () => string;
}

/** Reads that callers of this RDS share, at most so many at a time; the log says who shares whose. */
export function sharedReads({ logger }: RdsContext, most: number): SharedWork {
  const caller = () => currentRequest()?.requestId;
  return new SharedWork(most, caller, (sharedWith) =>
    logger.debug("read joined", { ...currentRequest(), sharedWith }),
  );
}

/** A nonce of 32 random bits. */
export function randomNonce(): string {
  return randomBytes(4).toString("hex");
}

/** How often a read is sent again when an item of its list has gone between the look for it and the read of its values. */
const READS_AGAIN = 2;

/** Runs a read. One during which an item of its list went is sent again. */
export async function runRead(
  { client }: Pick<RdsContext, "client">,
  command: Omit<Command, "purpose">,
): Promise<CommandOutcome> {
  for (let again = 0; ; again += 1) {
    const outcome = await client.run({ ...command, purpose: "read" });
    if (outcome.ok || outcome.failure.kind !== "absent" || again === READS_AGAIN) return outcome;
  }
}

/** A runtime error of RouterOS to a read, without a more exact meaning. */
export function readFailure(what: string, error: CommandFailure): Error {
  const { kind, text } = error;
  return kind === "absent" ? failure("rdsBusy", { what, detail: text }) : commandFailure(what, error);
}

/** Runs a command; a read as `runRead` does. @throws rdsBusy or commandRejected for a runtime error of RouterOS */
export async function runChecked(
  context: Pick<RdsContext, "client">,
  command: Command,
): Promise<CommandResult> {
  const isRead = command.purpose === "read";
  const outcome = await (isRead ? runRead(context, command) : context.client.run(command));
  if (outcome.ok) return outcome;
  throw (isRead ? readFailure : commandFailure)(command.what, outcome.failure);
}

/** The disks of rows that several callers share. */
const sharedDisks = new WeakMap<CommandResult["rows"], readonly Disk[]>();

/** The rows of a command's listing as disks: frozen, as callers whose reads were joined share them. */
export function disksOf({ rows }: Pick<CommandResult, "rows">): readonly Disk[] {
  const known = sharedDisks.get(rows);
  if (known !== undefined) return known;
  const disks = Object.freeze(rows.map((row) => Object.freeze(diskFromRow(row))));
  sharedDisks.set(rows, disks);
  return disks;
}

/** The outcome of a change of one disk. */
export type ChangeOutcome =
  | { readonly ok: true; readonly disk: Disk | undefined }
  | { readonly ok: false; readonly failure: CommandFailure };

/** Runs a command that changes the disk with a slot, and reads the disk back in the same line. Changes of one disk keep their order. */
export async function changeDisk(
  { client }: RdsContext,
  what: string,
  purpose: "attach" | "change",
  id: VolumeId,
  script: Script,
  signal: AbortSignal,
): Promise<ChangeOutcome> {
  const listing = disks(ros`slot=${id}`);
  const body = (rows: Script): Script => ros`${script}; ${rows}`;
  const outcome = await client.run({ what, purpose, orderKey: id, listing, body, signal });
  return outcome.ok ? { ok: true, disk: diskIn(id, disksOf(outcome)) } : outcome;
}

/** A runtime error of RouterOS without a more exact meaning. */
export function commandFailure(what: string, { kind, text }: CommandFailure): Error {
  switch (kind) {
    case "busy":
    case "transient":
      return failure("rdsBusy", { what, detail: text });
    default:
      return failure("commandRejected", { what, detail: text });
  }
}

/** The disk of a list that was asked for by its slot alone. Rows of other slots are no absence. @throws replyUnreadable */
export function diskIn(id: VolumeId, found: readonly Disk[]): Disk | undefined {
  const other = found.find(({ slot }) => slot !== id);
  if (other !== undefined) {
    const detail = `a row of slot ${JSON.stringify(other.slot.slice(0, 64))}`;
    throw failure("replyUnreadable", { what: `read disk ${id}`, detail });
  }
  return onlyDisk(id, found);
}

/** The one disk that may have a slot. */
export function onlyDisk(id: VolumeId, found: readonly Disk[]): Disk | undefined {
  const matching = found.filter((disk) => disk.slot === id);
  if (matching.length > 1) {
    throw failure("replyUnreadable", {
      what: `read disk ${id}`,
      detail: `${matching.length} disks share the slot`,
    });
  }
  return matching[0];
}
