import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect } from "node:net";
import type { Random } from "./random.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const [DATA, HEADERS, , RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [
  ...Array(10).keys(),
];

/** A frame of HTTP/2. Source: RFC 9113, 4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** A literal field without indexing. Source: RFC 7541, 6.2.2. */
function field(name: string, value: string): Buffer {
  const text = (each: string) => {
    const bytes = Buffer.from(each).subarray(0, 126);
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  };
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function headers(random: Random, path: string): Buffer {
  const fields = [
    field(":method", random.pick(["POST", "POST", "POST", "GET", ""])),
    field(":scheme", "http"),
    field(":path", random.chance(0.8) ? path : `/${random.text()}`),
    field(":authority", random.chance(0.8) ? "localhost" : random.text()),
    field("content-type", random.pick(["application/grpc", "application/grpc", "text/plain", ""])),
    field("te", "trailers"),
    ...(random.chance(0.3)
      ? [field("grpc-timeout", random.pick(["1m", "0n", "99999999H", "-1S", "x"]))]
      : []),
    ...(random.chance(0.3)
      ? [field("grpc-encoding", random.pick(["gzip", "deflate", "identity", "x"]))]
      : []),
    ...(random.chance(0.3) ? [field("x-request-id", random.text())] : []),
    ...(random.chance(0.2) ? [field(random.text(), random.text())] : []),
  ];
  return Buffer.concat(fields);
}

/** A gRPC message in its five bytes of head, which may lie. */
function body(random: Random, message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(random.chance(0.8) ? 0 : random.int(256), 0);
  head.writeUInt32BE(
    random.chance(0.8) ? message.length : random.pick([0, 1, 4_194_305, 2 ** 31, 2 ** 32 - 1]),
    1,
  );
  return Buffer.concat([head, message]);
}

/** One well-formed call with metadata that a client library would refuse to send. */
export function callWith(
  path: string,
  metadata: readonly (readonly [name: string, value: string])[],
): Buffer {
  const fields = [
    field(":method", "POST"),
    field(":scheme", "http"),
    field(":path", path),
    field(":authority", "localhost"),
    field("content-type", "application/grpc"),
    field("te", "trailers"),
    ...metadata.map(([name, value]) => field(name, value)),
  ];
  return Buffer.concat([
    Buffer.from(PREFACE),
    frame(SETTINGS ?? 4, 0, 0, Buffer.alloc(0)),
    frame(HEADERS ?? 1, 4, 1, Buffer.concat(fields)),
    frame(DATA ?? 0, 1, 1, Buffer.alloc(5)),
  ]);
}

/** What a client may say on one connection, sense and nonsense mixed. */
export function randomConversation(random: Random, path: string, message: Buffer): Buffer {
  if (random.chance(0.1)) return random.bytes(random.int(2_000));
  const parts: Buffer[] = [Buffer.from(random.chance(0.97) ? PREFACE : random.text())];
  if (random.chance(0.95))
    parts.push(frame(SETTINGS ?? 4, 0, 0, random.chance(0.8) ? Buffer.alloc(0) : random.bytes(6)));
  for (let count = 1 + random.int(6), stream = 1; count > 0; count -= 1, stream += 2) {
    const id = random.chance(0.9) ? stream : random.pick([0, 2, 1, 2 ** 31 - 1]);
    const end = random.chance(0.7) ? 1 : 0;
    parts.push(frame(HEADERS ?? 1, random.chance(0.9) ? 4 : random.int(256), id, headers(random, path)));
    parts.push(
      frame(DATA ?? 0, end, id, body(random, random.chance(0.5) ? message : random.mutated(message))),
    );
    switch (random.int(8)) {
      case 0:
        parts.push(frame(RST_STREAM ?? 3, 0, id, random.bytes(4)));
        break;
      case 1:
        parts.push(frame(WINDOW_UPDATE ?? 8, 0, random.pick([0, id]), random.bytes(4)));
        break;
      case 2:
        for (let pings = 100; pings > 0; pings -= 1) parts.push(frame(PING ?? 6, 0, 0, random.bytes(8)));
        break;
      case 3:
        for (let more = 20; more > 0; more -= 1)
          parts.push(frame(CONTINUATION ?? 9, 0, id, random.bytes(20)));
        break;
      case 4:
        parts.push(
          frame(
            random.pick([PUSH ?? 5, GOAWAY ?? 7, 10, 255]),
            random.int(256),
            id,
            random.bytes(random.int(40)),
          ),
        );
        break;
      default:
    }
  }
  const all = Buffer.concat(parts);
  return random.chance(0.6) ? all : random.mutated(all);
}

/** Says it on a connection of its own, whole, and waits until the server says something. */
export async function say(socketPath: string, bytes: Buffer): Promise<void> {
  const socket = connect(socketPath);
  await once(socket, "connect");
  socket.write(bytes);
  await once(socket, "data");
  socket.destroy();
}

/** Says it on a connection of its own, in pieces, and hangs up at some time. Never rejects. */
export async function converse(socketPath: string, random: Random, bytes: Buffer): Promise<void> {
  const socket = connect(socketPath);
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  socket.resume();
  const cut = random.chance(0.5) ? bytes.length : random.int(bytes.length + 1);
  socket.write(bytes.subarray(0, cut));
  if (random.chance(0.5)) socket.write(bytes.subarray(cut));
  const timer = setTimeout(() => socket.destroy(), random.int(40));
  await gone;
  clearTimeout(timer);
}
