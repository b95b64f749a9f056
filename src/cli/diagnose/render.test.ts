import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "yaml";
import { recordedDiagnosis, transcript } from "../../../scripts/lib/docs/diagnose-page.ts";
import { renderDiagnosis } from "./render.ts";
import { wrap } from "./wrap.ts";

const long = (line: string, width: number) => [...line].length > width;
/** A line that could not be broken: one word, or a field's name and one word. */
const unbreakable = (line: string) =>
  line
    .trim()
    .replace(/^\S+ +/, "")
    .split(" ").length === 1;

describe("for people", () => {
  test.each([80, 100, 160])("no line is wider than %d columns, unless it is one word", (width) => {
    for (const name of ["healthy", "broken"] as const) {
      for (const line of transcript(name, width).split("\n")) {
        expect([line, !long(line, width) || unbreakable(line)]).toEqual([line, true]);
      }
    }
  });

  test("more columns show more", () => {
    expect(transcript("broken", 80)).not.toContain("GIVES UP");
    expect(transcript("broken", 160)).toContain("GIVES UP");
  });

  test("the cause comes first, with its remedy; what follows from it is indented and has none", () => {
    const text = transcript("broken");
    const [head, , first] = text.split("\n");
    expect(head).toMatch(/^Node node-a: 1 critical, \d+ error/);
    expect(first).toBe("CRITICAL The storage address does not answer");
    expect(text.match(/^ +do {2,}/gm)).toHaveLength(1);
    expect(text).toMatch(/^ {2}ERROR The connection is not live; I\/O on it waits$/m);
    expect(text).toContain("because storage-unreachable · 192.0.2.1:4420");
  });

  test("colour only when asked for, and it does not change the text", () => {
    const diagnosis = recordedDiagnosis("broken");
    const plain = renderDiagnosis(diagnosis, { format: "table", width: 80, colour: false });
    const coloured = renderDiagnosis(diagnosis, { format: "table", width: 80, colour: true });
    expect(plain).not.toContain("\u001b");
    expect(coloured).toContain("\u001b[1;31mCRITICAL\u001b[0m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    expect(coloured.replace(/\u001b\[[\d;]*m/g, "")).toBe(plain);
  });

  test("hostile text reaches no terminal", () => {
    const healthy = recordedDiagnosis("healthy");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (text) => {
        const [finding] = recordedDiagnosis("broken").findings;
        if (finding === undefined) throw new Error("nothing recorded");
        const hostile = {
          ...healthy,
          node: text,
          findings: [{ ...finding, evidence: [text], subject: { kind: "volume", name: text } as const }],
        };
        const rendered = renderDiagnosis(hostile, { format: "table", width: 80, colour: false });
        expect(/[\p{Cc}\p{Cf}]/u.test(rendered.replaceAll("\n", ""))).toBe(false);
      }),
    );
  });
});

test("YAML says what JSON says", () => {
  const options = { width: 80, colour: false };
  const diagnosis = recordedDiagnosis("broken");
  const json: unknown = JSON.parse(renderDiagnosis(diagnosis, { ...options, format: "json" }));
  expect(parse(renderDiagnosis(diagnosis, { ...options, format: "yaml" })) as unknown).toEqual(json);
  expect(json).toMatchObject({ apiVersion: "rds-csi/v1", kind: "Diagnosis", worst: "critical" });
});

test("wrapping loses no word and keeps blanks at the start", () => {
  const words = fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(words, fc.integer({ min: 20, max: 60 }), (list, width) => {
      const lines = wrap(`  ${list.join(" ")}`, width, "    ");
      expect(lines.join(" ").trim().split(/ +/)).toEqual(list);
      expect(lines.every((line, index) => line.startsWith(index === 0 ? "  " : "    "))).toBe(true);
      expect(lines.every((line) => line.length <= width)).toBe(true);
    }),
  );
  expect(wrap("a b", undefined)).toEqual(["a b"]);
});
