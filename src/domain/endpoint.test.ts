import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { parseEndpoint, SOCKET_PATH_LIMIT } from "./endpoint.ts";
import { DriverError } from "./errors/driver-error.ts";

test("the three forms", () => {
  expect(parseEndpoint("unix:///run/csi.sock")).toBe("/run/csi.sock");
  expect(parseEndpoint("unix:/run/csi.sock")).toBe("/run/csi.sock");
  expect(parseEndpoint("/run/./csi.sock")).toBe("/run/csi.sock");
  expect(parseEndpoint("unix:csi.sock")).toBe(resolve("csi.sock"));
});

test("107 bytes fit, 108 do not, counted as UTF-8", () => {
  expect(SOCKET_PATH_LIMIT).toBe(107);
  expect(parseEndpoint(`/${"a".repeat(106)}`)).toHaveLength(107);
  expect(() => parseEndpoint(`/${"a".repeat(107)}`)).toThrow(
    "endpoint is 108 bytes long, the limit is 107 bytes",
  );
  expect(() => parseEndpoint(`/${"é".repeat(54)}`)).toThrow("endpoint is 109 bytes long");
});

for (const bad of [
  "",
  "tcp://127.0.0.1:1",
  "unix://relative",
  "unix:",
  "csi.sock",
  "/run/",
  "/a\0b",
  "http://x/y",
]) {
  test(`refuses ${JSON.stringify(bad)}`, () => {
    expect(() => parseEndpoint(bad)).toThrow(DriverError);
  });
}
