import type { Buffer } from "node:buffer";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

/** A cable between a machine and the switch; a test pulls it, delays it, loses frames on it. */
export class Cable {
  /** Whether frames pass at all. */
  up = true;
  /** Milliseconds that a frame takes, in each direction. */
  delayMs = 0;
  /** Every nth frame is lost; 0 = none. Counted, not drawn, so that a run can be repeated. */
  loseEvery = 0;
  frames = 0;
  dropped = 0;
  /** UDP port of the machine's end, on 127.0.0.1. */
  readonly machinePort: number;
  readonly #socket: Socket;
  /** Deliveries of frames that are on the cable. */
  readonly #underway = new Set<ReturnType<typeof setTimeout>>();
  #closed = false;

  constructor(socket: Socket, machinePort: number) {
    this.#socket = socket;
    this.machinePort = machinePort;
  }

  /** UDP port of the switch's end, on 127.0.0.1. */
  get switchPort(): number {
    return this.#socket.address().port;
  }

  /** Whether a frame gets through, and then after what time. */
  carry(deliver: () => void): void {
    this.frames += 1;
    if (!this.up || (this.loseEvery > 0 && this.frames % this.loseEvery === 0)) {
      this.dropped += 1;
    } else if (this.delayMs > 0) {
      // A cable that was pulled meanwhile loses what is on it.
      const timer = setTimeout(() => {
        this.#underway.delete(timer);
        if (this.up) deliver();
      }, this.delayMs);
      this.#underway.add(timer);
    } else {
      deliver();
    }
  }

  /** Whole again: up, without delay and loss. */
  mend(): void {
    this.up = true;
    this.delayMs = 0;
    this.loseEvery = 0;
  }

  /** Nothing after {@link close}: a frame that was delayed on another cable may still arrive here. */
  send(frame: Buffer): void {
    if (this.#closed) return;
    this.#socket.send(frame, this.machinePort, "127.0.0.1");
  }

  /** Loses what is on it. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#underway) clearTimeout(timer);
    this.#underway.clear();
    this.#socket.close();
  }
}

const BROADCAST_BIT = 1;
const BUFFER_BYTES = 4 << 20;

/**
 * An Ethernet switch in this process, on loopback UDP: a datagram is a frame. It learns which addresses are behind which
 * cable.
 */
export class Switch {
  readonly #cables = new Set<Cable>();
  readonly #places = new Map<string, Cable>();

  async plug(): Promise<Cable> {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    socket.setRecvBufferSize(BUFFER_BYTES);
    socket.setSendBufferSize(BUFFER_BYTES);
    const cable = new Cable(socket, await freePort());
    // A machine that was switched off refuses what is sent to it.
    socket.on("error", () => {});
    socket.on("message", (frame) => this.#forward(cable, frame));
    this.#cables.add(cable);
    return cable;
  }

  close(): void {
    for (const cable of this.#cables) cable.close();
  }

  #forward(from: Cable, frame: Buffer): void {
    from.carry(() => {
      this.#places.set(frame.toString("latin1", 6, 12), from);
      const to = this.#places.get(frame.toString("latin1", 0, 6));
      const broadcast = ((frame[0] ?? 0) & BROADCAST_BIT) !== 0;
      for (const cable of to === undefined || broadcast ? this.#cables : [to]) {
        if (cable !== from) cable.carry(() => cable.send(frame));
      }
    });
  }
}

/** A UDP port that nobody has; it is taken a moment later by the machine. */
async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}
