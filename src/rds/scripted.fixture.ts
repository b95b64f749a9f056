import { systemClock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { silentLogger } from "../observability/log.ts";
import { RouterOsClient } from "../routeros/client.ts";
import type { Transport } from "../routeros/transport/transport.ts";
import type { RdsContext } from "./context.ts";

/** The nonce of each fresh export name. */
export const NONCE = "0a1b2c3d";

/** A line that it was sent. */
export interface Sent {
  readonly line: string;
  readonly purpose: string;
  readonly lane: string;
}

export interface Scripted extends RdsContext {
  /** How many commands it was asked from the first change on. */
  asked(): number;
  /** These commands. */
  sent(): readonly Sent[];
}

/**
 * A RouterOS that answers each command with the next rows, or error text; the last one again and again. The read that a
 * client sends before its first change gets no rows and counts for nothing.
 */
export function scripted(answers: readonly (readonly object[] | string)[]): Scripted {
  const sent: Sent[] = [];
  let asked = 0;
  let isChanged = false;
  const transport: Transport = {
    address: "scripted",
    exec: async (line, { purpose, lane = purpose }) => {
      const nonce = /~ok:([0-9a-f]+)~/.exec(line)?.[1] ?? "";
      isChanged ||= purpose !== "read";
      const rows = isChanged ? (answers[Math.min(asked, answers.length - 1)] ?? []) : [];
      if (isChanged) {
        asked += 1;
        sent.push({ line, purpose, lane });
      }
      if (typeof rows === "string") return { stdout: `~err:${nonce}~${rows}`, stderr: "", exitCode: 0, line };
      // A removal leaves nothing.
      const left = line.includes(":left~") ? `~p:${nonce}:left~0~e:${nonce}~\r\n` : "";
      return {
        stdout: `${left}~p:${nonce}:disks~${JSON.stringify(rows)}~e:${nonce}~\r\n~ok:${nonce}~\r\n`,
        stderr: "",
        exitCode: 0,
        line,
      };
    },
    close: async () => {},
    connected: () => true,
    whyNoAnswer: () => failure("internal", { what: "never asked" }),
    onReconnect: () => () => {},
  };
  let now = 0;
  return {
    client: new RouterOsClient(transport),
    clock: {
      ...systemClock,
      monotonic: () => now,
      sleep: async (ms) => {
        now += ms;
      },
    },
    logger: silentLogger,
    clusterId: "test",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
    nvmePort: 4420,
    fencing: "epoch",
    nonce: () => NONCE,
    asked: () => asked,
    sent: () => sent,
  };
}
