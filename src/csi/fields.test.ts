import { expect, test } from "bun:test";
import { requireName } from "./fields.ts";

test("names of 1 and 128 bytes pass, of 0 and 129 do not", () => {
  requireName("name", "a");
  requireName("name", "ä".repeat(64));
  expect(() => requireName("name", "")).toThrow("name is required and was empty");
  expect(() => requireName("name", `${"ä".repeat(64)}x`)).toThrow(
    "name is 129 bytes long, the limit is 128 bytes",
  );
});

test("control characters are refused, shell characters are not", () => {
  expect(() => requireName("name", "a\u0085b")).toThrow("it contains the control character U+0085");
  expect(() => requireName("name", "a\nb")).toThrow("it contains the control character U+000A");
  requireName("name", "$(reboot); `x` 'y' \"z\" | & < > \\ ? *");
});
