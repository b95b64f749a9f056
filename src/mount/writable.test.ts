import { expect, test } from "bun:test";
import { writabilityOf } from "./writable.ts";

test.each([
  ["as mounted", "rw,relatime", "rw", "writable"],
  ["read-only as asked for", "ro,relatime", "ro", "read-only"],
  ["a read-only bind mount of a writable filesystem", "ro", "rw,errors=remount-ro", "read-only"],
  ["an error, kernels before 6.12", "rw", "ro,errors=remount-ro", "failed"],
  ["an error, kernels from 6.12", "rw", "rw,emergency_ro,errors=remount-ro", "failed"],
  ["an error, seen through a read-only bind mount", "ro", "rw,emergency_ro", "failed"],
  ["shut down", "rw", "rw,shutdown", "failed"],
  ["words that only look alike", "rw", "rw,errors=remount-ro,emergency_row", "writable"],
])("is it writable: %s", (_, options, superOptions, expected) => {
  const mount = { options: options.split(","), superOptions: superOptions.split(",") };
  expect(writabilityOf(mount)).toBe(expected as ReturnType<typeof writabilityOf>);
});
