import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { readElf } from "./elf.ts";

/** A file of one PT_LOAD at 0x400000 that holds everything, a PT_INTERP and a PT_DYNAMIC. */
function elf(entries: readonly (readonly [number, number])[], strings: string, machine = 62): Buffer {
  const [interpreter, dynamic, table] = [512, 1024, 2048];
  const bytes = Buffer.alloc(4096);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(3, 56);
  for (const [n, [type, offset, size]] of [
    [1, 0, bytes.length],
    [2, dynamic, (entries.length + 1) * 16],
    [3, interpreter, 8],
  ].entries()) {
    const at = 64 + n * 56;
    bytes.writeUInt32LE(type ?? 0, at);
    bytes.writeBigUInt64LE(BigInt(offset ?? 0), at + 8);
    bytes.writeBigUInt64LE(BigInt(offset ?? 0) + 0x400000n, at + 16);
    bytes.writeBigUInt64LE(BigInt(size ?? 0), at + 32);
  }
  bytes.write("/lib/ld\0", interpreter);
  for (const [n, [tag, value]] of [...entries, [5, 0x400000 + table] as const].entries()) {
    bytes.writeBigUInt64LE(BigInt(tag), dynamic + n * 16);
    bytes.writeBigUInt64LE(BigInt(value), dynamic + n * 16 + 8);
  }
  bytes.write(strings, table, "latin1");
  return bytes;
}

test("libraries in their order, the loader, the machine", () => {
  const bytes = elf(
    [
      [1, 1],
      [1, 11],
    ],
    "\0libc.so.6\0libm.so.6\0",
    183,
  );
  expect(readElf(bytes)).toEqual({
    machine: 183,
    interpreter: "/lib/ld",
    needed: ["libc.so.6", "libm.so.6"],
    searches: false,
  });
});

test("a place of its own where it searches is told", () => {
  expect(readElf(elf([[29, 1]], "\0/opt\0"))?.searches).toBe(true);
  expect(readElf(elf([[15, 1]], "\0/opt\0"))?.searches).toBe(true);
});

test("no ELF file", () => {
  for (const text of ["", "#!/bin/sh\n", "\u007fEL"]) expect(readElf(Buffer.from(text))).toBeUndefined();
});

test("another kind of ELF and a cut one are errors, not files without libraries", () => {
  const narrow = elf([[1, 1]], "\0libc.so.6\0");
  narrow[4] = 1;
  expect(() => readElf(narrow)).toThrow("not a 64-bit");
  expect(() => readElf(elf([[1, 1]], "\0libc.so.6\0").subarray(0, 1100))).toThrow();
  const lost = elf([[1, 1]], "\0libc.so.6\0");
  lost.writeBigUInt64LE(0x900000n, 1024 + 16 + 8);
  expect(() => readElf(lost)).toThrow("string table");
});

test("the runtime of these tests, as this system made it", async () => {
  const own = readElf(Buffer.from(await Bun.file(process.execPath).arrayBuffer()));
  expect(own?.needed.some((name) => /^libc\b/.test(name))).toBe(true);
  expect(own?.interpreter).toStartWith("/");
});
