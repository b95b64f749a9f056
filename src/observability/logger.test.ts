import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { failure } from "../domain/errors/driver-error.ts";
import type { LogFields, LogLevel } from "./log.ts";
import { LOG_LIMITS, toLogValue } from "./log-value.ts";
import { createLogger, type LogFormat } from "./logger.ts";

const KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----";

function lineOf(format: LogFormat, fields: LogFields, message = "hello world"): string {
  const lines: string[] = [];
  createLogger({ format, sink: (line) => lines.push(line), now: () => 0 }).info(message, fields);
  expect(lines).toHaveLength(1);
  return lines[0] ?? "";
}

describe("createLogger", () => {
  test("json: one object per line", () => {
    expect(JSON.parse(lineOf("json", { volume: "v", bytes: 1n << 60n, none: undefined }))).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      level: "info",
      msg: "hello world",
      volume: "v",
      bytes: "1152921504606846976",
    });
  });

  test("text: logfmt, quoted only where needed", () => {
    expect(lineOf("text", { volume: "csi-1", text: 'a "b" c', empty: "", list: [1, "x"], ok: true })).toBe(
      'time=1970-01-01T00:00:00.000Z level=info msg="hello world" volume=csi-1 text="a \\"b\\" c" empty="" list="[1,\\"x\\"]" ok=true',
    );
  });

  test("a failure has message, id and cause as docs/logging.md says; only a defect has its stack", () => {
    const lines: Record<string, unknown>[] = [];
    const logger = createLogger({
      format: "json",
      sink: (line) => lines.push(JSON.parse(line)),
      now: () => 0,
    });
    const error = failure("volumeNotFound", { volume: "v" }, new Error("behind it"));
    logger.warn("w", { error });
    logger.error("e", { error: new RangeError("boom") });
    logger.warn("t", { error: "a text" });
    expect(lines[0]).toMatchObject({ error: error.message, errorId: "volumeNotFound", cause: "behind it" });
    expect(lines[0]).not.toHaveProperty("stack");
    expect(lines[1]).toMatchObject({
      error: "RangeError: boom",
      stack: expect.stringContaining("logger.test.ts"),
    });
    expect(lines[1]).not.toHaveProperty("errorId");
    expect(lines[2]).toMatchObject({ error: "a text" });
  });

  test("levels, children, reserved names", () => {
    const lines: string[] = [];
    const logger = createLogger({
      level: "warn",
      format: "json",
      sink: (line) => lines.push(line),
      fields: { component: "node" },
    });
    const child = logger.child({ method: "Probe" });
    for (const level of ["debug", "info", "warn", "error"] as const satisfies LogLevel[]) {
      child[level]("m", { level: "forged", method: "Other" });
    }
    const shown = lines.map((line) => JSON.parse(line));
    expect(shown.map((line) => line.level)).toEqual(["warn", "error"]);
    expect(shown[0]).toMatchObject({ component: "node", method: "Other", level_: "forged" });
  });

  for (const format of ["json", "text"] as const) {
    test(`property, ${format}: one printable line, whatever comes in`, () => {
      fc.assert(
        fc.property(
          fc.string({ unit: "binary" }),
          fc.anything({ withBigInt: true, withMap: true }),
          (text, value) => {
            const line = lineOf(format, { text, value, [text]: text }, text);
            expect(line).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
            if (format === "json") JSON.parse(line);
          },
        ),
      );
    });

    test(`property, ${format}: no secret, by name or by form, at any depth`, () => {
      const names = [
        "password",
        "userPassword",
        "secret",
        "secrets",
        "token",
        "privateKey",
        "private-key",
        "api_key",
      ];
      fc.assert(
        fc.property(fc.constantFrom(...names), fc.integer({ min: 0, max: 4 }), (name, depth) => {
          let value: unknown = { [name]: "hunter2", list: [KEY], bytes: new TextEncoder().encode("hunter2") };
          for (let each = 0; each < depth; each += 1) value = each % 2 === 0 ? { inner: value } : [value];
          const line = lineOf(format, { value, [name]: "hunter2", error: new Error(KEY) }, `used ${KEY}`);
          expect(line).not.toContain("hunter2");
          expect(line).not.toContain("b3BlbnNzaC1rZXk");
          expect(line).toContain("***");
        }),
      );
    });
  }

  test("a key that was cut off is removed too", () => {
    expect(toLogValue(`x ${KEY.slice(0, 45)}`)).toBe("x ***");
  });

  test("cycles, hostile objects, depth and length", () => {
    const cycle: Record<string, unknown> = { a: 1 };
    cycle.self = cycle;
    const hostile = {
      get x() {
        throw new Error("no");
      },
    };
    const line = lineOf("json", { cycle, hostile, long: "y".repeat(100_000), many: Array(1_000).fill("z") });
    const shown = JSON.parse(line);
    expect(shown.hostile).toBe("<unreadable>");
    expect(shown.long.length).toBeLessThan(LOG_LIMITS.text + 40);
    expect(shown.many).toHaveLength(LOG_LIMITS.entries + 1);
    const huge = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`f${index}`, "y".repeat(5_000)]),
    );
    expect(JSON.parse(lineOf("json", huge)).truncated).toBe(true);
    expect(lineOf("text", huge).length).toBeLessThan(33_000);
  });
});
