import type { DriverError } from "../../domain/errors/driver-error.ts";
import type { ChannelLimits } from "./channel-limit.ts";
import { type ConnectFailure, type Connection, endConnection } from "./connection.ts";
import { Connector, type ConnectorOptions } from "./connector.ts";
import { type ConnectionOwner, type ReplaceReason, SharedConnection } from "./shared-connection.ts";

export interface LinkOptions extends ConnectorOptions {
  readonly limits: ChannelLimits;
  /** A lost connection is back. */
  readonly onReconnect: () => void;
}

/** The user of a link. */
export interface LinkUser {
  /** Whether somebody waits for a connection. */
  isWanted(): boolean;
  /** There is a connection, or there may be one again. */
  changed(): void;
  /** There is a new connection. `ended` aborts when it takes no more commands. */
  adopted(ended: AbortSignal): void;
  /** A connection could not be made. `fatal`: only a person can cure that. */
  failed(error: DriverError, fatal: boolean): void;
}

/**
 * The connections of one lane: one that takes new commands, opened when it is asked for and opened again with back-off while somebody
 * waits; and those that a hung command or a refused channel has made useless, until their other commands have ended.
 */
export class Link implements ConnectionOwner {
  readonly #options: LinkOptions;
  readonly #user: LinkUser;
  readonly #connector: Connector;
  readonly #stop = new AbortController();
  readonly #all = new Set<SharedConnection>();
  #current: SharedConnection | undefined;
  #connecting: Promise<void> | undefined;
  #wasConnected = false;

  constructor(options: Omit<LinkOptions, "onFailed">, user: LinkUser) {
    const onFailed = ({ error }: ConnectFailure): void => {
      options.limits.lost();
      user.failed(error, false);
    };
    this.#options = { ...options, onFailed };
    this.#user = user;
    this.#connector = new Connector(this.#options);
  }

  /** The connection that takes new commands. */
  get current(): SharedConnection | undefined {
    return this.#current;
  }

  get isOpen(): boolean {
    return this.#current?.connection.open === true;
  }

  /** Why the latest attempt to connect failed; undefined after one that succeeded. */
  get lastFailure(): ConnectFailure | undefined {
    return this.#connector.lastFailure;
  }

  worked(): void {
    this.#connector.worked();
  }

  /** Opens a connection, unless there is one or one is being opened. */
  open(): void {
    if (this.#stop.signal.aborted || this.#current !== undefined) return;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
      this.#user.changed();
    });
  }

  replace(shared: SharedConnection, reason: string, why: ReplaceReason): void {
    const { observer, purpose, logger, address, limits } = this.#options;
    if (why === "silent") limits.lost();
    shared.drain(reason);
    // A connection without other commands is being dropped, which is reported when it is gone.
    if (this.#current !== shared || !shared.connection.open) return;
    this.#current = undefined;
    // A server that gives no channel would be called without pause.
    if (why === "refused") this.#connector.failed(false);
    observer.onDisconnected(purpose, reason);
    logger.warn("connection to the RDS is being replaced; its other commands go on", {
      ...{ purpose, address, reason },
    });
    this.#user.changed();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#connecting;
    await Promise.all([...this.#all].map(({ connection }) => endConnection(connection, this.#options.clock)));
  }

  async #connect(): Promise<void> {
    const result = await this.#connector.connect(() => this.#user.isWanted(), this.#stop.signal);
    if (result?.kind === "connected") this.#adopt(result);
    else if (result !== undefined) {
      this.#options.limits.lost();
      this.#user.failed(result.error, true);
    }
  }

  #adopt(connection: Connection): void {
    const { purpose, observer, limits, onReconnect } = this.#options;
    const again = this.#wasConnected;
    const shared = new SharedConnection(connection, limits.current, this);
    this.#current = shared;
    this.#all.add(shared);
    this.#wasConnected = true;
    const gone = new AbortController();
    this.#user.adopted(AbortSignal.any([gone.signal, shared.draining, this.#stop.signal]));
    void connection.closed.then((reason) => {
      gone.abort();
      this.#ended(shared, reason);
    });
    if (!again) return;
    observer.onReconnect(purpose);
    onReconnect();
  }

  #ended(shared: SharedConnection, reason: string): void {
    const { purpose, observer, logger, address, limits } = this.#options;
    this.#all.delete(shared);
    if (this.#current !== shared) return;
    this.#current = undefined;
    // A connection that takes no new commands ends by our own hand, from the same device.
    if (!shared.isDraining) limits.lost();
    observer.onDisconnected(purpose, reason);
    if (!this.#stop.signal.aborted) {
      logger.warn("connection to the RDS lost", { purpose, address, reason });
      // Counts as a failure, else a server that accepts and hangs up would be called without pause.
      this.#connector.failed(false);
    }
    this.#user.changed();
  }
}
