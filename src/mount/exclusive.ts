import { Buffer } from "node:buffer";
import { closeSync, constants, openSync } from "node:fs";
import { getSystemErrorName } from "node:util";

/** A device that this process has claimed: until close() the kernel refuses every other claim of it, e.g. a mount. */
export interface ExclusiveDevice {
  readonly fd: number;
  close(): void;
}

/**
 * Opens a block device with O_EXCL: the kernel answers EBUSY while a filesystem, device-mapper, swap or another exclusive opener has
 * it. May block on a dead device: for the helper process only.
 *
 * Bun gives open(2) the flags as they are. Deno turns O_EXCL into "create a new file", which fails for each file that exists; there
 * the C library makes the call, and `fd` is a second, plain descriptor of the same device. The first one keeps the claim.
 * Source: open(2), O_EXCL without O_CREAT; Deno 2.9, `get_open_options` in ext/node.
 * @param access constants.O_RDONLY or O_RDWR
 * @throws an error with the code of open(2): EBUSY if something has the device
 */
export function openExclusive(path: string, access: number): ExclusiveDevice {
  const { Deno: deno } = globalThis as { readonly Deno?: DenoForeign };
  if (deno !== undefined) return openInDeno(deno, path, access);
  const fd = openSync(path, access | constants.O_EXCL);
  return { fd, close: () => closeSync(fd) };
}

/** The part of Deno that calls functions of the C library. Source: https://docs.deno.com/runtime/fundamentals/ffi/ */
interface DenoForeign {
  dlopen(file: string, symbols: typeof C_FUNCTIONS): { readonly symbols: CFunctions };
  readonly UnsafePointerView: new (pointer: object) => { getInt32(): number };
}

interface CFunctions {
  open(path: Uint8Array, flags: number): number;
  close(fd: number): number;
  /** Where errno of this thread is. */
  __errno_location(): object;
}

const C_FUNCTIONS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const;

function openInDeno(deno: DenoForeign, path: string, access: number): ExclusiveDevice {
  const { symbols: c } = deno.dlopen("libc.so.6", C_FUNCTIONS);
  // Found before the call: nothing else may happen between open(2) and a look at its errno.
  const errno = new deno.UnsafePointerView(c.__errno_location());
  const claim = c.open(Buffer.from(`${path}\0`), access | constants.O_EXCL | CLOSE_ON_EXEC);
  if (claim < 0) {
    const code = getSystemErrorName(-errno.getInt32());
    throw Object.assign(new Error(`${code}: open '${path}'`), { code });
  }
  try {
    const fd = openSync(`/proc/self/fd/${claim}`, access);
    return {
      fd,
      close: () => {
        closeSync(fd);
        c.close(claim);
      },
    };
  } catch (error) {
    c.close(claim);
    throw error;
  }
}

/** O_CLOEXEC of Linux, which node:fs does not name. */
const CLOSE_ON_EXEC = 0o2000000;
