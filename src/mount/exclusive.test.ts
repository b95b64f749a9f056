import { afterAll, afterEach, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants as system, tmpdir } from "node:os";
import { join } from "node:path";
import { openExclusive } from "./exclusive.ts";

const O_CLOEXEC = 0o2000000;

const directory = mkdtempSync(join(tmpdir(), "rds-csi-exclusive-"));
const file = join(directory, "device");
writeFileSync(file, "content");
afterEach(() => {
  delete (globalThis as { Deno?: unknown }).Deno;
});
afterAll(() => rmSync(directory, { recursive: true }));

const isOpen = (fd: number): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

/** A C library as Deno shows it; `failsWith` is the errno of its open(2). */
function asDeno({ failsWith = 0, gives }: { failsWith?: number; gives?: number } = {}) {
  const seen = { library: "", path: "", flags: 0, opened: -1, closed: [] as number[], functions: {} };
  const place = {};
  let errno = 99;
  const c = {
    open: (path: Uint8Array, flags: number) => {
      seen.path = Buffer.from(path).toString("latin1");
      seen.flags = flags;
      errno = failsWith;
      if (failsWith !== 0) return -1;
      seen.opened = gives ?? openSync(file, constants.O_RDONLY);
      return seen.opened;
    },
    close: (fd: number) => {
      seen.closed.push(fd);
      if (gives === undefined) closeSync(fd);
      return 0;
    },
    __errno_location: () => place,
  };
  class UnsafePointerView {
    constructor(pointer: object) {
      expect(pointer).toBe(place);
    }
    getInt32(): number {
      return errno;
    }
  }
  const dlopen = (library: string, functions: object) => {
    seen.library = library;
    seen.functions = functions;
    return { symbols: c };
  };
  (globalThis as { Deno?: unknown }).Deno = { dlopen, UnsafePointerView };
  return seen;
}

test("a device is open until it is closed, with the access that was asked for", () => {
  const device = openExclusive(file, constants.O_RDONLY);
  const bytes = Buffer.alloc(7);
  readSync(device.fd, bytes);
  expect(bytes.toString()).toBe("content");
  device.close();
  expect(isOpen(device.fd)).toBe(false);
});

test("a device that cannot be opened is an error with the code of open(2)", () => {
  expect(() => openExclusive(join(directory, "none"), constants.O_RDONLY)).toThrow(
    expect.objectContaining({ code: "ENOENT" }),
  );
});

test("under Deno the C library claims it, and the claim ends after the descriptor that is used", () => {
  const seen = asDeno();
  const device = openExclusive(file, constants.O_RDWR);
  expect(seen).toMatchObject({ library: "libc.so.6", path: `${file}\0` });
  expect(seen.flags).toBe(constants.O_RDWR | constants.O_EXCL | O_CLOEXEC);
  expect(seen.functions).toEqual({
    open: { parameters: ["buffer", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    __errno_location: { parameters: [], result: "pointer" },
  });
  expect(device.fd).not.toBe(seen.opened);
  expect([isOpen(device.fd), isOpen(seen.opened), seen.closed]).toEqual([true, true, []]);
  device.close();
  expect([isOpen(device.fd), seen.closed]).toEqual([false, [seen.opened]]);
});

test("under Deno a claim that the kernel refuses has the code of its errno", () => {
  const seen = asDeno({ failsWith: system.errno.EBUSY });
  expect(() => openExclusive(file, constants.O_RDONLY)).toThrow(
    expect.objectContaining({ code: "EBUSY", message: `EBUSY: open '${file}'` }),
  );
  expect(seen.closed).toEqual([]);
});

test("under Deno a claim ends when its device cannot be opened a second time", () => {
  const seen = asDeno({ gives: 99_999 });
  expect(() => openExclusive(file, constants.O_RDONLY)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  expect(seen.closed).toEqual([99_999]);
});

test("under Deno a claim with descriptor 0 is one, and ends", () => {
  const seen = asDeno({ gives: 0 });
  try {
    openExclusive(file, constants.O_RDONLY).close();
  } catch {
    // The input of this run cannot be opened again, e.g. a socket.
  }
  expect(seen.closed).toEqual([0]);
});
