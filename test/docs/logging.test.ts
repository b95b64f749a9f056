import { describe, expect, test } from "bun:test";
import { LOG_LEVELS } from "../../src/observability/logger.ts";
import { documentedFields } from "./logging.fixture.ts";
import { readPage } from "./page.fixture.ts";
import { sources } from "./pages.fixture.ts";

const page = await readPage("logging.md");
const code = sources(["src"], /^(?!.*\.(test|fixture)\.ts$).*\.ts$/);

/** Text from the start of each call of a logger on: its message and its fields. */
const calls = [...code.matchAll(/(?:logger|log)(?:\.|\[)[^;]{0,600}/g)].map(([text]) => text).join("\n");

describe("docs/logging.md", () => {
  test("every field is written somewhere", () => {
    const fields = documentedFields(page);
    expect(fields.length).toBeGreaterThan(25);
    const written = (name: string) =>
      new RegExp(`\\b${name}\\b`).test(calls) || new RegExp(`["\\b]${name}["\\b]|\\b${name}[,:]`).test(code);
    expect(fields.filter((name) => !written(name))).toEqual([]);
    expect(written("noSuchField")).toBe(false);
  });

  test("errors are logged as they are, so that each line has the fields of a failure", () => {
    const asText = /\berror: (?:String\(|\(error as Error\)\.message|\w+\.summary|\w+\.error\.id)/;
    expect(calls.split("\n").filter((line) => asText.test(line))).toEqual([]);
    expect(asText.test("error: String(error)")).toBe(true);
  });

  test("every message that it quotes is in the code", () => {
    const quoted = [...page.matchAll(/"msg":"([^"]+)"|`msg="([^"]+)"`|^\| `([a-z][^`]* [^`]*)` \|/gm)].map(
      ([, json, text, cell]) => json ?? text ?? cell ?? "",
    );
    expect(quoted.length).toBeGreaterThan(8);
    const known = (message: string) =>
      code.includes(`"${message}"`) || (message.startsWith("reconcile ") && code.includes(message.slice(10)));
    expect(quoted.filter((message) => !known(message))).toEqual([]);
    expect(known("no such message")).toBe(false);
  });

  test("its levels are those of the code, and its JSON lines are lines", () => {
    for (const level of LOG_LEVELS) expect(page).toContain(`\`${level}\``);
    const lines = [...page.matchAll(/^\{"time".*$/gm)].map(([line]) => JSON.parse(line));
    expect(lines.length).toBeGreaterThan(3);
    const fields = new Set(documentedFields(page));
    for (const line of lines) expect(Object.keys(line).filter((name) => !fields.has(name))).toEqual([]);
    // The example follows one call: one id.
    expect(new Set(lines.map(({ requestId }) => requestId)).size).toBe(1);
  });
});
