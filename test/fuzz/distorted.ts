import { Buffer } from "node:buffer";
import { failure } from "../../src/domain/errors/driver-error.ts";
import type { Transport } from "../../src/routeros/transport/transport.ts";
import { PROFILES, type ProfileName } from "../../src/simulator/profiles.ts";
import { type TestConsole, testConsole } from "../support/simulator-console.ts";
import type { Random } from "./random.ts";

/** The text of a reply on both streams, as the driver gets it. */
export interface Text {
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line, the reply that the device gave, and earlier replies to other lines. */
export interface Said {
  readonly line: string;
  readonly reply: Text;
  readonly earlier: readonly Text[];
}

/** A console that behaves as a profile of the simulator. */
export function consoleOf(profile: ProfileName): Promise<TestConsole> {
  return testConsole({ switches: PROFILES[profile].switches });
}

/** Runs a line; the reply as an SSH channel carries it. */
export async function replyTo(device: TestConsole, line: string): Promise<Text> {
  const { output, error } = await device.line(line);
  const end = device.switches.lineEnding === "crlf" ? "\r\n" : "\n";
  const utf8 = (lines: readonly string[]) =>
    Buffer.from(lines.map((each) => each.replaceAll("\n", end) + end).join(""), "latin1").toString("utf8");
  const errors = error === undefined ? [] : [error];
  return device.switches.errorStream === "stderr"
    ? { stdout: utf8(output), stderr: utf8(errors) }
    : { stdout: utf8([...output, ...errors]), stderr: "" };
}

/** What a device replies to lines that change nothing that counts here: each line is run once, whatever its nonce. */
export function remembered(device: TestConsole): (line: string) => Promise<Text> {
  const known = new Map<string, Text>();
  return async (line) => {
    const nonce = /~ok:([0-9a-f]+)~/.exec(line)?.[1] ?? STAND_IN;
    const key = line.replaceAll(nonce, STAND_IN);
    const reply = known.get(key) ?? (await replyTo(device, key));
    known.set(key, reply);
    // Equally long, so that lines are wrapped at the same places; a marker may be broken.
    const broken = new RegExp([...STAND_IN].join("([\\r\\n]*)"), "g");
    const own = (text: string) =>
      text.replace(broken, (_, ...ends: unknown[]) =>
        [...nonce]
          .map((char, at) => char + (typeof ends[at] === "string" && at < nonce.length - 1 ? ends[at] : ""))
          .join(""),
      );
    return { stdout: own(reply.stdout), stderr: own(reply.stderr) };
  };
}

const STAND_IN = "0123456789abcdef";

/**
 * A transport in front of a console.
 * @param distort makes the reply that the driver gets of the true one
 * @param ask runs a line
 */
export function transportTo(ask: (line: string) => Promise<Text>, distort: (said: Said) => Text): Transport {
  const earlier: Text[] = [];
  return {
    address: "fuzzed",
    exec: async (line, { signal }) => {
      signal.throwIfAborted();
      const reply = await ask(line);
      const got = distort({ line, reply, earlier });
      earlier.push(reply);
      if (earlier.length > 8) earlier.shift();
      return { ...got, exitCode: 0, line };
    },
    close: async () => {},
    connected: () => true,
    whyNoAnswer: () => failure("internal", { what: "never asked" }),
    onReconnect: () => () => {},
  };
}

/** Lines that a console prints of its own accord. */
const CONSOLE_LINES = [
  "[csi@rds] > ",
  "[csi@rds] /disk> ",
  "12:00:01 system,info,account user admin logged in from 192.0.2.7 via ssh",
  "12:00:02 echo: disk,error device busy, no such item",
  "\u001b[9999B\u001b[K",
  "\u001b[m\u0007",
  "",
  "-- [Q quit|D dump|down]",
  "interrupted",
] as const;

/**
 * A true reply with a line of the console between the outputs of two statements: before a marker that begins a `:put`, or behind the blank
 * line that ends a print.
 */
function interleaved(random: Random, text: string): string {
  const lines = text.split("\n");
  const places = lines.flatMap((line, at) => {
    const isEnd = line.startsWith("~e:") && lines[at - 1]?.trim() === "";
    return isEnd || /^~(?:p|f|x|row|rows|ok|err):/.test(line) ? [at] : [];
  });
  const end = text.includes("\r\n") ? "\r" : "";
  const at = places.length === 0 ? 0 : random.pick(places);
  return lines.toSpliced(at, 0, `${random.pick(CONSOLE_LINES)}${end}`).join("\n");
}

/** A text whose lines are broken at a column, as a console of that width does. */
function wrapped(random: Random, text: string): string {
  const width = 1 + random.int(random.pick([10, 80, 400]));
  const end = random.pick(["\n", "\r\n", "\r"]);
  return text
    .split("\n")
    .map((line) => line.match(new RegExp(`.{1,${width}}`, "gsu"))?.join(end) ?? line)
    .join("\n");
}

/**
 * Changes of a reply that leave each of its texts recognisable: whatever a console, a channel or a slow link may do to it. A reader must
 * understand the reply all the same, or say that it cannot.
 */
export const DISTORTIONS: Readonly<Record<string, (random: Random, text: string, said: Said) => string>> = {
  "cut at a byte": (random, text) =>
    Buffer.from(text)
      .subarray(0, random.int(Buffer.byteLength(text) + 1))
      .toString(),
  "cut near its end": (random, text) => text.slice(0, Math.max(0, text.length - 1 - random.int(60))),
  wrapped: (random, text) => wrapped(random, text),
  "other line ends": (random, text) =>
    text.replace(/\r?\n/g, random.pick(["\n", "\r\n", "\r\r\n", "\n\r", "\n\n"])),
  "lines of the console before it": (random, text) => `${random.pick(CONSOLE_LINES)}\r\n${text}`,
  "lines of the console behind it": (random, text) => `${text}${random.pick(CONSOLE_LINES)}`,
  "the command before it": (_, text, { line }) => `[csi@rds] > ${line}\r\n${text}`,
  "part of the command before it": (random, text, { line }) =>
    `[csi@rds] > ${line.slice(0, random.int(line.length + 1))}${random.pick(["", "\r\n"])}${text}`,
  "the command instead of it": (random, _, { line }) => line.slice(0, random.int(line.length + 1)),
  twice: (_, text) => text + text,
  "its beginning, then all of it": (random, text) => text.slice(0, random.int(text.length + 1)) + text,
  "another reply before it": (random, text, { earlier }) =>
    (earlier.length === 0 ? "" : random.pick(earlier).stdout) + text,
  "another reply behind it": (random, text, { earlier }) =>
    text + (earlier.length === 0 ? "" : random.pick(earlier).stdout),
  "another reply instead of it": (random, _, { earlier }) =>
    earlier.length === 0 ? "" : random.pick(earlier).stdout,
  nothing: () => "",
};

const KINDS = Object.keys(DISTORTIONS);

/** A reply with none, one or several distortions, and their names. */
export function distorted(random: Random, said: Said): Text & { readonly how: readonly string[] } {
  let { stdout, stderr } = said.reply;
  const how: string[] = [];
  if (random.chance(0.2)) {
    // First of all: later the statements cannot be told apart.
    how.push("a line of the console between two statements");
    stdout = interleaved(random, stdout);
  }
  for (let count = random.pick([0, 1, 1, 1, 2, 3]); count > 0; count -= 1) {
    const kind = random.pick(KINDS);
    how.push(kind);
    stdout = DISTORTIONS[kind]?.(random, stdout, said) ?? stdout;
  }
  if (random.chance(0.05)) stderr += random.pick(CONSOLE_LINES);
  return { stdout, stderr, how };
}
