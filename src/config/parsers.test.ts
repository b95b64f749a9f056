import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as parse from "./parsers.ts";

describe("parsers", () => {
  const accepts = <T>(
    parser: (text: string) => { value: T } | { problem: string },
    text: string,
  ): T | undefined => {
    const parsed = parser(text);
    return "value" in parsed ? parsed.value : undefined;
  };

  test("addresses", () => {
    expect(accepts(parse.hostPort, "rds")).toEqual({ host: "rds", port: undefined });
    expect(accepts(parse.hostPort, "fd00::1")).toEqual({ host: "fd00::1", port: undefined });
    expect(accepts(parse.hostPort, "[fd00::1]")).toEqual({ host: "fd00::1", port: undefined });
    for (const text of [
      "",
      ":22",
      "a:0",
      "a:65536",
      "a:b",
      "a b",
      "[rds]:22",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "[::1",
      "a/b",
      "-a",
      "a;b",
    ]) {
      expect([text, accepts(parse.hostPort, text)]).toEqual([text, undefined]);
    }
  });

  test("driver names", () => {
    for (const text of ["rds.csi.srvlab.io", "a", "x".repeat(63)])
      expect(accepts(parse.driverName, text)).toBe(text);
    for (const text of ["", "x".repeat(64), "Upper.example", "-a", "a-", "a..b", "a_b", "a.-b"]) {
      expect([text, accepts(parse.driverName, text)]).toEqual([text, undefined]);
    }
  });

  test("sizes", () => {
    expect(
      ["0", "1073741824", "1GiB", "1Gi", "2 MiB", "3tib"].map((text) => accepts(parse.bytes, text)),
    ).toEqual([0n, 1n << 30n, 1n << 30n, 1n << 30n, 2n << 20n, 3n << 40n]);
    for (const text of ["", "-1", "1.5GiB", "1GB", "x", "1 2"])
      expect(accepts(parse.bytes, text)).toBeUndefined();
  });

  test("whatever is accepted as folder, slot or name is safe in paths and commands", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (text) => {
        for (const parser of [parse.folder, parse.nqnPrefix, parse.driverName, parse.nodeId]) {
          const value = accepts<string>(parser, text);
          if (value !== undefined) expect(value).toMatch(/^[A-Za-z0-9._:/-]+$/);
        }
        const path = accepts<string>(parse.folder, text);
        if (path !== undefined)
          expect(path.split("/").some((part) => part === "" || part === "." || part === "..")).toBe(false);
      }),
    );
    for (const text of ["..", "a/../b", "/a", "a/", "a//b", ".hidden/../x"])
      expect(accepts(parse.folder, text)).toBeUndefined();
  });
});
