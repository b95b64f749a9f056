import { describe, expect, test } from "bun:test";
import { readReply } from "../envelope.ts";
import { LISTING, NONCE } from "./forms.fixture.ts";
import { jsonForm } from "./json-form.ts";
import { integer } from "./row.ts";

describe("JSON rows", () => {
  const parse = (json: string) =>
    jsonForm.parse(readReply(NONCE, `~p:${NONCE}:disks~${json}~e:${NONCE}~`, ""), LISTING);

  test("keep every digit beyond 2^53, and digits inside strings", () => {
    const rows = parse(
      '[{"size":9007199254740993,"slot":"a1.50","free":456.000000,"comment":"12 \\"34\\" 5e6"}]',
    );
    expect([...(rows?.[0] ?? [])]).toEqual([
      ["size", "9007199254740993"],
      ["slot", "a1.50"],
      ["free", "456.000000"],
      ["comment", '12 "34" 5e6'],
    ]);
    expect(integer(rows?.[0] ?? new Map(), "free")).toBe(456n);
  });

  test("one object is one row, nil is absent, no row is no row", () => {
    expect(parse('{"slot":"x","fs":null}')).toEqual([new Map([["slot", "x"]])]);
    expect(parse("[]")).toEqual([]);
  });

  test("anything else is unreadable, not empty", () => {
    for (const json of ["", '""', "null", '["a"]', "[[]]", '[{"slot":"x"]', "no such item"]) {
      expect({ json, rows: parse(json) }).toEqual({ json, rows: undefined });
    }
  });
});
