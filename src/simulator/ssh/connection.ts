import type { Socket } from "node:net";
import type { Connection, ServerChannel } from "ssh2";
import { Mutex } from "../mutex.ts";
import type { LoggedIn } from "./authentication.ts";

/** The address of the other end, IPv4 in its own form; "" when it has left already. */
export function addressOf(socket: Socket): string {
  return (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/i, "");
}

/** One TCP connection of a client, from accept to close. */
export class ClientConnection {
  readonly number: number;
  /** Aborted when the connection is closed. */
  readonly closed = new AbortController();
  /** For the switch `parallel-channels`: commands of this connection, one after the other. */
  readonly turn = new Mutex();
  /** For the same switch: confirmations of channels, one after the other. */
  readonly confirmations = new Mutex();
  user: LoggedIn | undefined;
  channels = 0;
  /** Commands running at present. */
  running = 0;
  readonly #socket: Socket;

  constructor(number: number, socket: Socket) {
    this.number = number;
    this.#socket = socket;
    socket.once("close", () => this.closed.abort(new Error("the client has left")));
  }

  /** The client's address; "" when it has left already. */
  get remoteAddress(): string {
    return addressOf(this.#socket);
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }

  /** Ends the connection without a word, as a cut link does. */
  drop(): void {
    this.#socket.destroy();
  }
}

/** Stops answers to global requests, which is how clients send keepalives. */
export function muteKeepalives(connection: Connection): void {
  // ssh2 has no public hook for this: it answers unknown global requests itself.
  const inner = connection as unknown as { _protocol?: { requestFailure?: () => void } };
  if (inner._protocol !== undefined) inner._protocol.requestFailure = () => {};
}

/** The channel window of the client: bytes that it takes before it opens the window further. */
export function windowOf(channel: ServerChannel): number {
  // The types of ssh2 leave the field out.
  const { outgoing } = channel as unknown as { outgoing?: { window?: number } };
  return outgoing?.window ?? Number.POSITIVE_INFINITY;
}
