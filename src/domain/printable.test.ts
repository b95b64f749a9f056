import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import { jsonText, yamlText } from "../cli/machine-text.ts";
import { reportError } from "../cli/report-error.ts";
import { statusOf } from "../csi/status.ts";
import { eventObject, eventPatch } from "../kubernetes/event-object.ts";
import { failure } from "./errors/driver-error.ts";
import { isPrintable, printable, printableLines } from "./printable.ts";

/** ESC, CSI of C1, a bidirectional override, a line separator, half a surrogate pair, an invisible tag. */
const HOSTILE = "a\u001b[2J\u009b31m\u0007\u202e\u2028\u2066\ud83d\u{e0041}\r\nforged: line\u007f";
const ACTIVE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const hostile = fc.oneof(fc.constant(HOSTILE), fc.string({ unit: "binary", maxLength: 40 }));

describe("foreign text", () => {
  test("is shown as escapes, and text without active characters as it is", () => {
    expect(printable("a\u001b[2J\u009b\u202e\u2028\ud800")).toBe(
      "a\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}\\u{d800}",
    );
    expect(printable("Grüße 🚲 \\u{1b}")).toBe("Grüße 🚲 \\u{1b}");
    expect(printableLines("a\n\u001bb\n")).toBe("a\n\\u{1b}b\n");
    fc.assert(
      fc.property(hostile, (text) => {
        expect(printable(text)).not.toMatch(ACTIVE);
        expect(isPrintable(text)).toBe(printable(text) === text);
      }),
    );
  });

  test("never acts in an error, its gRPC message, or what is printed of it", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const errors = [
          failure("rdsUnreachable", { address: text, reason: text }),
          failure("deviceInUse", { volume: "v", device: text, users: [text] }),
          failure("kubernetesRejected", { verb: text, resource: text, detail: text }),
          new Error(text),
        ];
        for (const error of errors) {
          if (!(error.constructor === Error)) expect(error.message).not.toMatch(ACTIVE);
          expect(statusOf(error).message).not.toMatch(ACTIVE);
          for (const debug of [false, true])
            expect(reportError(error, debug).text.replaceAll("\n", "")).not.toMatch(ACTIVE);
          expect(reportError(error, false).text.split("\n").length).toBeLessThanOrEqual(3);
        }
      }),
    );
  });

  test("of any length leaves an error short, with its remedy, in the room that HTTP/2 has for it", () => {
    for (const text of [
      "x".repeat(1_000_000),
      "語".repeat(100_000),
      "\u001b".repeat(100_000),
      "🚲".repeat(50_000),
    ]) {
      const error = failure("rdsUnreachable", { address: "192.0.2.1:22", reason: text });
      expect(error.message.length).toBeLessThan(2_000);
      expect(error.message).toEndWith(error.remedy);
      const { message } = statusOf(error);
      expect(encodeURI(message).length).toBeLessThan(7_000);
      expect(message).toStartWith([...error.message].slice(0, 150).join(""));
      expect(message).toEndWith(error.remedy);
      expect(reportError(error, false).text.length).toBeLessThan(2_100);
    }
  });

  test("never acts in an event", () => {
    const event = {
      type: "Warning",
      reason: "R",
      message: "",
      claim: { namespace: "n", name: "c", uid: "u" },
    } as const;
    const series = { suffix: "1", firstAt: 0, count: 1, created: false } as never;
    fc.assert(
      fc.property(hostile, (text) => {
        const created = eventObject(event, text, series, { component: "d", instance: "i" }, 0);
        expect(created.message).not.toMatch(ACTIVE);
        expect(JSON.stringify(eventPatch(text, series, 0))).not.toMatch(ACTIVE);
      }),
    );
  });

  test("never acts in JSON or YAML, which say the same as before", () => {
    fc.assert(
      fc.property(hostile, hostile, (text, key) => {
        const value = {
          [`k${key.toWellFormed()}`]: [text.toWellFormed(), { list: [], number: 1, none: null }],
        };
        for (const indent of [0, 2]) {
          const json = jsonText(value, indent);
          expect(json.replaceAll("\n", "")).not.toMatch(ACTIVE);
          expect(JSON.parse(json)).toEqual(value);
        }
        const yaml = yamlText(value);
        expect(yaml.replaceAll("\n", "")).not.toMatch(ACTIVE);
        expect(parseYaml(yaml)).toEqual(value);
      }),
    );
  });
});
