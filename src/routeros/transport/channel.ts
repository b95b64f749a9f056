import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers";
import type { Client, ClientChannel } from "ssh2";
import type { Clock } from "../../domain/clock.ts";

/** How one exec request ended. */
export type ChannelOutcome =
  | {
      readonly kind: "answered";
      readonly stdout: string;
      readonly stderr: string;
      readonly exitCode: number | undefined;
    }
  /**
   * The exec request never left this machine, so the command certainly did not run. `isRefused`: the connection lives, and the
   * server refused the channel.
   */
  | { readonly kind: "notSent"; readonly reason: string; readonly isRefused: boolean }
  /** The server declined the exec request; the command did not run. */
  | { readonly kind: "refused"; readonly reason: string }
  /** The request was sent and the connection was lost before the channel closed: it may have run. */
  | { readonly kind: "lost"; readonly reason: string }
  | { readonly kind: "tooLong"; readonly limit: number }
  | { readonly kind: "abandoned" };

/** The outcome of a command that was given up. */
export type GivenUp = Extract<ChannelOutcome, { kind: "abandoned" | "tooLong" }>;

/** The user of one channel. */
export interface ChannelUse {
  /** Aborted when the last caller has left. */
  readonly abandon: AbortSignal;
  /** The server has answered the request for the channel: the next one may be asked for. Called once, or never if it was refused. */
  readonly onOpened: () => void;
  /** The command was given up, and its channel has not ended within the grace. It ends later, or with the connection. */
  readonly onStuck: (outcome: GivenUp, reason: string) => void;
}

/** The connection of a channel. */
export interface ChannelContext {
  readonly clock: Clock;
  readonly graceMs: number;
  readonly maxOutputBytes: number;
  readonly isOpen: () => boolean;
  readonly lostReason: () => string;
  /** Calls the listener once the connection is gone and closed. Returns the function that removes it. */
  readonly onGone: (listener: () => void) => () => void;
}

/**
 * Tells a request that was never sent from one that may have run. ssh2 sends the exec request as soon as the server
 * has confirmed the channel; if the connection ends before that, the error is "No response from server"; a refused
 * channel has a `reason`. "Unable to exec" means declined if the connection lives, and nothing otherwise.
 */
function classify(error: Error & { reason?: unknown }, open: boolean, lost: string): ChannelOutcome {
  if (error.reason !== undefined) return { kind: "notSent", reason: error.message, isRefused: open };
  if (/^(Not connected|No response from server|No free channels|Channel is not open)/.test(error.message)) {
    return { kind: "notSent", reason: open ? error.message : lost, isRefused: false };
  }
  if (open && error.message === "Unable to exec") return { kind: "refused", reason: "exec request declined" };
  return { kind: "lost", reason: open ? error.message : lost };
}

/**
 * Runs `line` on an exec channel of its own. Settles only when the channel is closed or the connection is gone and closed: until
 * then the command may still run. Never rejects. Standard input stays open, as an early end of file is untested on RouterOS.
 */
export function runCommand(
  client: Client,
  line: string,
  context: ChannelContext,
  use: ChannelUse,
): Promise<ChannelOutcome> {
  return new Promise((resolve) => {
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    let bytes = 0;
    let channel: ClientChannel | undefined;
    let forced: GivenUp | undefined;
    const done = new AbortController();

    const settle = (outcome: ChannelOutcome): void => {
      if (done.signal.aborted) return;
      done.abort();
      use.abandon.removeEventListener("abort", onAbandon);
      forgetGone();
      resolve(outcome);
    };
    // Channels report the end of their connection a moment later, and with more detail.
    const forgetGone = context.onGone(() =>
      setImmediate(() => settle(forced ?? { kind: "lost", reason: context.lostReason() })),
    );
    const giveUp = (outcome: GivenUp, reason: string): void => {
      if (forced !== undefined || done.signal.aborted) return;
      forced = outcome;
      output.length = 0;
      errors.length = 0;
      channel?.close();
      context.clock.sleep(context.graceMs, done.signal).then(
        () => {
          // The server may send no more than the window that is open.
          if (outcome.kind === "tooLong") channel?.pause();
          use.onStuck(outcome, reason);
        },
        () => {},
      );
    };
    const onAbandon = (): void => giveUp({ kind: "abandoned" }, "a command was given up and did not end");
    const take = (into: Buffer[]) => (chunk: Buffer) => {
      if (forced !== undefined) return;
      bytes += chunk.length;
      if (bytes > context.maxOutputBytes) {
        giveUp({ kind: "tooLong", limit: context.maxOutputBytes }, "the output of a command was too long");
      } else into.push(chunk);
    };
    const finish = (exitCode: number | null | undefined): void => {
      if (forced !== undefined) settle(forced);
      else if (typeof exitCode !== "number" && !context.isOpen()) {
        settle({ kind: "lost", reason: context.lostReason() });
      } else {
        settle({
          kind: "answered",
          stdout: Buffer.concat(output).toString("utf8"),
          stderr: Buffer.concat(errors).toString("utf8"),
          exitCode: exitCode ?? undefined,
        });
      }
    };

    use.abandon.addEventListener("abort", onAbandon, { once: true });
    if (use.abandon.aborted) return settle({ kind: "abandoned" });
    try {
      client.exec(line, (error, opened) => {
        if (error !== undefined && error !== null) {
          return settle(forced ?? classify(error, context.isOpen(), context.lostReason()));
        }
        channel = opened;
        opened.on("data", take(output));
        opened.stderr.on("data", take(errors));
        opened.on("error", () => {});
        opened.on("close", finish);
        if (forced !== undefined) opened.close();
        use.onOpened();
      });
    } catch (error) {
      settle(classify(error as Error, false, context.lostReason()));
    }
  });
}
