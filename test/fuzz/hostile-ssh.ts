import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { TestConsole } from "../support/simulator-console.ts";
import type { ServedCommand } from "../support/ssh-server.ts";
import type { Random } from "./random.ts";

/** Longest reply that is made up, bytes. */
const REPLY_LIMIT = 1024 * 1024;

const RECORDS = [
  "rds1;n=a;c=test;t=999999999999999",
  "rds1;n=%1B[2J;c=test;t=1",
  "rds1;n=a;c=test;t=1;a=%1B,q,0,mw,1",
  "rds1;n=a;c=test;t=1;a=n,q,0,mw,1|o,q,0,mw,1;m=253402300799,1,%E2%80%AE,",
  `rds1;${"x=1|".repeat(500)}`,
  "rds9;n=a",
  "\u001b[31mrds1;n=a;c=test;t=1",
];

/** What a device answers instead of the truth. */
function untrue(random: Random, line: string, truth: string): Buffer {
  const nonce = /~ok:([^~]+)~/.exec(line)?.[1] ?? "";
  const strings = [...truth.matchAll(/"((?:[^"\\]|\\.){0,400})"/g)];
  const replaced = (text: string) => {
    const found = strings.length === 0 ? undefined : random.pick(strings);
    if (found === undefined) return truth + text;
    return `${truth.slice(0, found.index)}${JSON.stringify(text)}${truth.slice(found.index + found[0].length)}`;
  };
  switch (random.int(10)) {
    case 0:
      return Buffer.from(replaced(random.text()));
    case 1:
      return Buffer.from(replaced(random.pick(RECORDS)));
    case 2:
      return Buffer.from(`~err:${nonce}~${random.text()} (/disk/add; line 1)\r\n`);
    case 3:
      return Buffer.from(
        `${random.pick(["bad command name ", "syntax error ", "expected "])}${random.text()} (line 1 column 2)`,
      );
    case 4:
      return Buffer.from(truth).subarray(0, random.int(truth.length + 1));
    case 5:
      return Buffer.from(truth + truth);
    case 6: {
      const filler = random.pick(["[", '{"a":', '"', " ", "\n", "fs=\n", "\\", "\u001b["]);
      const at = random.int(truth.length + 1);
      return Buffer.from(truth.slice(0, at) + filler.repeat(REPLY_LIMIT / filler.length) + truth.slice(at));
    }
    case 7:
      return Buffer.from(truth.replaceAll(nonce || "~", random.text()));
    case 8:
      return Buffer.alloc(0);
    default:
      return random.mutated(Buffer.from(truth), 12);
  }
}

/** Answers one command: with what the simulator says of it, with something like it, or not at all. */
export async function answerSomehow(
  random: Random,
  device: TestConsole,
  command: ServedCommand,
): Promise<void> {
  const { channel } = command;
  if (random.chance(0.03)) return command.cut();
  const { output, error, outcome } = await device.line(command.line);
  const said = [...output, ...(error === undefined ? [] : [error])].map((line) => `${line}\r\n`).join("");
  const reply = random.chance(0.55) ? Buffer.from(said, "latin1") : untrue(random, command.line, said);
  if (channel.destroyed) return;
  if (random.chance(0.1)) channel.stderr.write(random.text());
  const half = random.chance(0.2) ? random.int(reply.length + 1) : reply.length;
  channel.write(reply.subarray(0, half));
  if (random.chance(0.03)) return command.cut();
  if (random.chance(0.02)) return; // never ends
  channel.write(reply.subarray(half));
  if (random.chance(0.9)) {
    if (random.chance(0.03)) channel.exit("KILL", false, random.text());
    else channel.exit(outcome === "ok" ? 0 : random.int(256));
  }
  channel.end();
}

/** A packet before any encryption. Source: RFC 4253, 6. */
function packet(payload: Buffer, length?: number): Buffer {
  const padding = 8 - ((payload.length + 5) % 8) + 8;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length ?? payload.length + padding + 1, 0);
  head.writeUInt8(padding, 4);
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([head, bytes]);
}

/** What ends a connection with a text, before any key is exchanged. Source: RFC 4253, 11.1. */
export function disconnectPacket(description: string): Buffer {
  return packet(Buffer.concat([Buffer.from([1, 0, 0, 0, 2]), text(description), text("")]));
}

/** What a server without any key may say to whoever connects. */
export function randomGreeting(random: Random): Buffer {
  const banner = random.pick([
    "SSH-2.0-ROSSSH\r\n",
    "SSH-2.0-ROSSSH\r\n",
    "SSH-2.0-ROSSSH\r\n",
    `SSH-2.0-${random.text()}\r\n`,
    `SSH-1.5-${random.text()}\n`,
    `${random.text()}\r\nSSH-2.0-x\r\n`,
    random.text(),
    "x".repeat(REPLY_LIMIT),
  ]);
  const packets = Array.from({ length: random.int(4) }, () => {
    switch (random.int(6)) {
      case 0:
        return disconnectPacket(random.text() + random.text());
      case 1:
        return packet(Buffer.concat([Buffer.from([4, 1]), text(random.text()), text("")]));
      case 2:
        return packet(
          Buffer.concat([
            Buffer.from([20]),
            random.bytes(16),
            ...Array.from({ length: 10 }, () => text(random.text())),
          ]),
        );
      case 3:
        return packet(random.bytes(random.int(200)), random.pick([0, 1, 35_000, 2 ** 31, 2 ** 32 - 1]));
      case 4:
        return packet(Buffer.concat([Buffer.from([random.int(256)]), text(random.text())]));
      default:
        return random.bytes(random.int(400));
    }
  });
  const all = Buffer.concat([Buffer.from(banner), ...packets]);
  return random.chance(0.7) ? all : random.mutated(all);
}

/** A TCP server that greets everybody so. */
export interface Greeter {
  readonly port: number;
  close(): Promise<void>;
}

export async function startGreeter(greet: (socket: Socket) => void): Promise<Greeter> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.resume();
    greet(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
