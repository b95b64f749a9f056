import { expect, test } from "bun:test";
import { failure } from "../domain/errors/driver-error.ts";
import { codeNameOf, statusOf } from "./status.ts";

test("catalogue errors keep their code and message", () => {
  const error = failure("nodeNotFound", { node: "n" });
  expect(statusOf(error)).toEqual({ code: 5, message: error.message });
});

test("anything else is INTERNAL without its stack, and never without a message", () => {
  for (const thrown of [new TypeError("boom"), "text", undefined, null, 7, {}, new Error("")]) {
    const { code, message } = statusOf(thrown);
    expect(code).toBe(13);
    expect(message).toStartWith("internal error: ");
    expect(message).not.toContain("status.test");
  }
});

test("private keys are taken out and long messages cut, well-formed", () => {
  const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----";
  expect(statusOf(new Error(`bad key ${key}.`)).message).toContain("bad key ***.");
  const { message } = statusOf(new Error("🚲".repeat(5_000)));
  expect(message.length).toBeLessThan(2_010);
  expect(message.isWellFormed()).toBe(true);
});

test("names for logs and metrics", () => {
  expect(codeNameOf(undefined)).toBe("INTERNAL");
  expect(codeNameOf(failure("unimplemented", { method: "X" }))).toBe("UNIMPLEMENTED");
  expect(codeNameOf(new Error("x"))).toBe("INTERNAL");
});
