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

  test("a row that has a property twice is two rows in one: unreadable", () => {
    for (const json of [
      '[{"slot":"a","size":1,"slot":"b"}]',
      '[{"slot":"a","x":{"y":1,"y":2}}]',
      '[{"a\\"b":1,"a\\"b":2}]',
    ])
      expect({ json, rows: parse(json) }).toEqual({ json, rows: undefined });
    const right = '[{"slot":"a:b","comment":"\\":\\"","x":{"y":[{"z":1}]},"at":"12:00:01"},{"slot":"c"}]';
    expect(parse(right)?.map((row) => row.size)).toEqual([4, 1]);
  });

  test("a value that is nested too deep is unreadable", () => {
    for (const depth of [1_000, 20_000, 200_000])
      expect(() => parse(`[{"slot":${"[".repeat(depth)}${"]".repeat(depth)}}]`)).not.toThrow();
    expect(parse(`[{"slot":${"[".repeat(200_000)}${"]".repeat(200_000)}}]`)).toBeUndefined();
  });

  test("anything else is unreadable, not empty", () => {
    for (const json of ["", '""', "null", '["a"]', "[[]]", '[{"slot":"x"]', "no such item"]) {
      expect({ json, rows: parse(json) }).toEqual({ json, rows: undefined });
    }
  });
});
