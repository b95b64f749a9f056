import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";
import type { DiagnoseContext } from "../context.ts";
import { textOf } from "./files.ts";

/** A message of the kernel. */
export interface KernelMessage {
  /** How long ago, seconds. */
  readonly ageSeconds: number;
  readonly text: string;
}

/** The longest record that /dev/kmsg gives. Source: Linux, Documentation/ABI/testing/dev-kmsg. */
const RECORD_BYTES = 8_192;
/** A ring buffer holds fewer; only a bound. */
const MOST_RECORDS = 200_000;
/** What is kept: the newest. */
const KEPT = 200;
/** A message about NVMe, a hung task, or a filesystem on an NVMe device. */
const OF_INTEREST = /nvme|blocked for more than \d+ seconds|(EXT4-fs|XFS|JBD2|Buffer I\/O|I\/O error).*nvme/i;
/** What a target does not offer is no error of its, and is reported for every attempt. */
const NOISE = /ONCS Not Supported|operation not supported error/i;

/**
 * The kernel's newest messages about NVMe, oldest first. Reads /dev/kmsg without waiting for further ones.
 * @throws when it may not be opened
 */
export async function kernelMessages({
  system,
  devRoot,
}: DiagnoseContext): Promise<readonly KernelMessage[]> {
  const uptime = Number((await textOf(`${system.procRoot}/uptime`))?.split(" ")[0] ?? 0);
  const descriptor = openSync(`${devRoot}/kmsg`, constants.O_RDONLY | constants.O_NONBLOCK);
  const kept: KernelMessage[] = [];
  const take = (record: string): void => {
    const message = parseKernelRecord(record, uptime);
    if (message === undefined || !OF_INTEREST.test(message.text) || NOISE.test(message.text)) return;
    kept.push(message);
    if (kept.length > KEPT) kept.shift();
  };
  try {
    const buffer = Buffer.alloc(RECORD_BYTES);
    for (let count = 0; count < MOST_RECORDS; count += 1) {
      let size: number;
      try {
        size = readSync(descriptor, buffer, 0, buffer.length, null);
      } catch (error) {
        // EPIPE: messages were overwritten while they were read; the next read goes on behind them.
        if (error instanceof Error && "code" in error && error.code === "EPIPE") continue;
        break;
      }
      if (size === 0) break;
      // A regular file (in tests) gives many records at once.
      for (const record of buffer.toString("utf8", 0, size).split("\n")) take(record);
    }
  } finally {
    closeSync(descriptor);
  }
  return kept;
}

/**
 * Reads `priority,sequence,microseconds since boot,flags;text`. undefined for a line of another form.
 * Source: Linux, Documentation/ABI/testing/dev-kmsg.
 */
export function parseKernelRecord(record: string, uptimeSeconds: number): KernelMessage | undefined {
  const found = /^\d+,\d+,(\d+),[^;]*;(.*)$/.exec(record);
  if (found === null) return undefined;
  const ageSeconds = Math.max(0, uptimeSeconds - Number(found[1]) / 1_000_000);
  return { ageSeconds: Math.round(ageSeconds * 10) / 10, text: (found[2] ?? "").slice(0, 500) };
}

/** When a controller came to be what it is, by the kernel's messages. */
export interface ControllerHistory {
  /** How long ago it was connected, or connected again; undefined: not in the log. */
  readonly liveSeconds: number | undefined;
  /** How long ago it was lost after that; undefined: it was not, or the log does not say. */
  readonly lostSeconds: number | undefined;
  /** What the target said to the last connect, if it refused. */
  readonly refusal: "nqn" | "host" | undefined;
}

const REFUSED = /is not allowed, hostnqn|Connect Invalid Data Parameter/;
const CAME = /new ctrl:|Successfully reconnected|creating \d+ I\/O queues/;
const LOST =
  /starting error recovery|failed nvme_keep_alive|Reconnecting in|queue \d+: timeout|I\/O \d+ .*timeout|keep-alive timed out|failed to connect socket|Failed reconnect/i;

/** Source: Linux 6.1 to 6.12, drivers/nvme/host/{core,fabrics,tcp}.c; messages recorded in the lab. */
export function historyOf(controller: string, messages: readonly KernelMessage[]): ControllerHistory {
  const mine = messages.filter(({ text }) => text.startsWith(`nvme ${controller}: `));
  const came = mine.findLastIndex(({ text }) => CAME.test(text));
  const since = mine.slice(came + 1);
  const refused = since.findLast(({ text }) => REFUSED.test(text))?.text;
  return {
    liveSeconds: mine[came]?.ageSeconds,
    lostSeconds: since.find(({ text }) => LOST.test(text))?.ageSeconds,
    refusal: refused === undefined ? undefined : refused.includes("is not allowed, hostnqn") ? "host" : "nqn",
  };
}
