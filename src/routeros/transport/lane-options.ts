import type { Command } from "./command.ts";
import type { CommandOrder } from "./command-order.ts";
import type { LinkOptions } from "./link.ts";
import type { SharedConnection } from "./shared-connection.ts";

/** The other lanes to the same device. */
export interface Neighbours {
  readonly order: CommandOrder<Command>;
  /** Another command may have become the first of its order, or connections may run more commands at once. */
  changed(): void;
  /** A connection of a lane without waiting commands, on which an attach leaves a channel for that lane. */
  spare(): SharedConnection | undefined;
}

export interface LaneOptions extends Omit<LinkOptions, "onFailed"> {
  readonly neighbours: Neighbours;
  readonly queueLimit: number;
  /** How long a command waits to be sent, in milliseconds. */
  readonly queueMs: number;
  /** How long a command waits for a connection that cannot be made, in milliseconds. */
  readonly patienceMs: number;
  /** Idle time after which the connection is asked for a sign of life, and the time for its answer. Milliseconds. */
  readonly idleCheckMs: number;
  readonly idleAnswerMs: number;
}
