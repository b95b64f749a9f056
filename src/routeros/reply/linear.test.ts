import { describe, expect, test } from "bun:test";
import process from "node:process";
import { readReply } from "../envelope.ts";
import { classifyFailure, tidyFailure } from "../failure-class.ts";
import { ros } from "../script.ts";
import { detailForm, parseDetail } from "./detail-form.ts";
import type { Listing } from "./form.ts";
import { jsonForm, parseJsonRows } from "./json-form.ts";
import { linesForm } from "./lines-form.ts";
import { integer } from "./row.ts";

const NONCE = "0123456789abcdef";
const LISTING: Listing = { label: "disks", menu: ros`/disk`, where: undefined, properties: ["slot", "size"] };
const reply = (payload: string) =>
  readReply(NONCE, `~p:${NONCE}:disks-count~1~e:${NONCE}~~p:${NONCE}:disks~${payload}~e:${NONCE}~`, "");

/** Texts that a reader may be tempted to look at again for each of their characters; `n` repetitions. */
const HOSTILE: Readonly<Record<string, (n: number) => string>> = {
  "a string without end": (n) => `[{"slot":"${'\\"'.repeat(n)}`,
  "quotes only": (n) => '"'.repeat(2 * n + 1),
  "backslashes only": (n) => `"${"\\".repeat(2 * n)}`,
  "one long number": (n) => "1".repeat(n),
  "hyphens and points": (n) => "-1.".repeat(n),
  "lines that all begin with a property": (n) => ` 0 B  type=file\n${"      fs=\n".repeat(n / 8)}`,
  "lines that all end like a name": (n) => ` 0 B  type=file\n${"      fs=x nvme-tcp\n".repeat(n / 8)}`,
  "one long word": (n) => ` 0 B  type=file\n      x ${"a".repeat(n)}\n      size=5`,
  "flags without end": (n) => ` 0 ${"B ".repeat(n)}`,
  "rising numbers": (n) => Array.from({ length: n / 8 }, (_, at) => ` ${at} B  type=file`).join("\n"),
  "comment lines": (n) => `;;; a\n${"  b\n".repeat(n / 4)}`,
  "a legend without end": (n) => `Flags: X\n${"  Y - Z (a);\n".repeat(n / 8)}`,
  "blanks only": (n) => `${" ".repeat(n)}x`,
  "brackets and blanks": (n) => " (".repeat(n),
  "line ends": (n) => `${"\r\n\n".repeat(n)}x`,
  "markers of rows": (n) => `~row:${NONCE}~`.repeat(n / 16),
  "markers of fields": (n) => `~row:${NONCE}~${`~f:${NONCE}:slot~`.repeat(n / 16)}~rows:${NONCE}~`,
  "marks of payloads": (n) => `~p:${NONCE}:disks~`.repeat(n / 16),
};

const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  "JSON rows": (text) => parseJsonRows(text),
  "JSON reply": (text) => jsonForm.parse(reply(text), LISTING),
  lines: (text) => linesForm.parse(reply(text), LISTING),
  "detail text": (text) => parseDetail(text),
  "detail reply": (text) => detailForm.parse(reply(text), LISTING),
  verdict: (text) => readReply(NONCE, text, text),
  "failure text": (text) => [classifyFailure(text), tidyFailure(text)],
  number: (text) => integer(new Map([["size", text]]), "size"),
};

/**
 * The least processor time of several attempts, milliseconds. Other programs of the machine do not count; the collector of
 * garbage makes an attempt longer, never shorter.
 */
function leastTime(work: () => unknown): number {
  const times = Array.from({ length: 5 }, () => {
    const from = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1_000;
  });
  return Math.min(...times);
}

describe("work of the readers of replies", () => {
  const SMALL = 16_384;
  const FACTOR = 16;
  for (const [reader, read] of Object.entries(READERS)) {
    test(`${reader}: grows with the length of the text, not with its square`, () => {
      for (const [text, make] of Object.entries(HOSTILE)) {
        const [small, large] = [make(SMALL), make(SMALL * FACTOR)];
        // Linear is 16 times as long, quadratic 256 times; what is too short to be measured counts as 0.1 ms.
        const before = Math.max(
          leastTime(() => read(small)),
          0.1,
        );
        let ratio = Number.POSITIVE_INFINITY;
        for (let attempt = 0; attempt < 5 && ratio >= FACTOR * 5; attempt += 1)
          ratio = leastTime(() => read(large)) / before;
        expect({ text, grows: ratio < FACTOR * 5 ? "linearly" : `${Math.round(ratio)} times` }).toEqual({
          text,
          grows: "linearly",
        });
      }
    });
  }
});
