import type { ChannelOutcome, ChannelUse } from "./channel.ts";
import type { ChannelLimit } from "./channel-limit.ts";
import type { Connection } from "./connection.ts";
import type { Priority } from "./transport.ts";

/** Why a connection is replaced: a command hangs, or gets no channel, or the other side gives no sign of life. */
export type ReplaceReason = "hangs" | "refused" | "silent";

/** The link that opened a connection. */
export interface ConnectionOwner {
  /** New commands go over another connection. */
  replace(shared: SharedConnection, reason: string, why: ReplaceReason): void;
  /** A command was answered: the RDS is well. */
  worked(): void;
}

/** A connection with the commands that run on it. */
export class SharedConnection {
  readonly connection: Connection;
  readonly owner: ConnectionOwner;
  readonly #limit: ChannelLimit;
  /** Channels that were asked for and have not ended. */
  #channels = 0;
  /** Those among them that the server has not given yet. */
  #opening = 0;
  /** Background commands among them. */
  #background = 0;
  /** Commands whose answer is still waited for. */
  #wanted = 0;
  /** Whether the device is being asked here if it runs channels at the same time: no command is sent meanwhile. */
  #isAsked = false;
  /** Whether the server has refused the only channel, and has given none since: its refusals say nothing about the number. */
  #givesNone = false;
  readonly #draining = new AbortController();

  constructor(connection: Connection, limit: ChannelLimit, owner: ConnectionOwner) {
    this.connection = connection;
    this.owner = owner;
    this.#limit = limit;
  }

  /** Channels in use. */
  get channels(): number {
    return this.#channels;
  }

  /** Aborted when the connection takes no new commands. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Whether it is unknown if several commands may run at once. */
  get isUnproven(): boolean {
    return this.#limit.isOpen;
  }

  get isDraining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Whether one more command may be sent now. */
  get hasRoom(): boolean {
    if (this.isDraining || this.#isAsked || !this.connection.open) return false;
    if (this.#channels >= this.#limit.now) return false;
    return this.#opening === 0 || this.#channels < this.#limit.proven;
  }

  /** Whether one channel is left when one more command is sent now. */
  get hasSpare(): boolean {
    return this.hasRoom && this.#channels < this.#limit.now - 1;
  }

  /** Whether a channel for interactive commands is left when one more background command runs, or there is only one. */
  get mayRunBackground(): boolean {
    const most = this.#limit.now - 1;
    return most < 1 || (this.#background < most && this.#channels < most);
  }

  /**
   * Asks the device whether it runs channels at the same time, while no command runs here.
   * @param changed is called when commands may be sent again: the question has its answer, or one of its channels has ended
   * @returns whether it is asked now
   */
  ask(changed: () => void): boolean {
    const asked = this.#limit.ask(async (line, { abandon, onOpened }) => {
      const { outcome } = await this.#occupy(line, {
        abandon: AbortSignal.any([abandon, this.#draining.signal]),
        onOpened,
        onStuck: (_given, reason) => this.owner.replace(this, reason, "hangs"),
      });
      changed();
      return outcome;
    });
    if (asked === undefined) return false;
    this.#isAsked = true;
    void asked.then(() => {
      this.#isAsked = false;
      changed();
    });
    return true;
  }

  /**
   * Runs a command, as `Connection.run`.
   * @returns also how many channels were in use when its own was asked for
   */
  async run(
    line: string,
    priority: Priority,
    use: ChannelUse,
  ): Promise<{ readonly outcome: ChannelOutcome; readonly others: number }> {
    const background = priority === "background" ? 1 : 0;
    this.#background += background;
    this.#wanted += 1;
    let isWanted = true;
    const unwanted = (): void => {
      if (isWanted) this.#wanted -= 1;
      isWanted = false;
    };
    const ended = await this.#occupy(line, {
      ...use,
      onStuck: (given, reason) => {
        unwanted();
        use.onStuck(given, reason);
      },
    });
    unwanted();
    this.#background -= background;
    this.#dropIfUnwanted("its last command has ended");
    return ended;
  }

  /** Takes no new commands. The running ones end undisturbed, then the connection is dropped. */
  drain(reason: string): void {
    this.#draining.abort();
    this.#dropIfUnwanted(reason);
  }

  #dropIfUnwanted(reason: string): void {
    if (this.isDraining && this.#wanted === 0) this.connection.drop(reason);
  }

  async #occupy(
    line: string,
    use: ChannelUse,
  ): Promise<{ readonly outcome: ChannelOutcome; readonly others: number }> {
    const others = this.#channels;
    let isOpening = true;
    const opened = (): void => {
      if (isOpening) this.#opening -= 1;
      isOpening = false;
    };
    this.#channels += 1;
    this.#opening += 1;
    const outcome = await this.connection.run(line, {
      ...use,
      onOpened: () => {
        opened();
        this.#givesNone = false;
        this.#limit.opened(this.#channels - this.#opening);
        use.onOpened();
      },
    });
    opened();
    this.#channels -= 1;
    const isRefused = outcome.kind === "refused" || (outcome.kind === "notSent" && outcome.isRefused);
    if (isRefused && others === 0) this.#givesNone = true;
    else if (isRefused && !this.#givesNone) this.#limit.refused(others);
    return { outcome, others };
  }
}
