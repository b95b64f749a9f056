import { RunFailure } from "../errors.ts";
import type { Backend } from "./backend.ts";

const PAGE = 4096;

interface Image {
  size: bigint;
  /** Written pages by number; the others are zeros. */
  readonly pages: Map<bigint, Uint8Array>;
}

/** Image files in memory, as sparse pages; gone when the simulator ends. */
export function memoryBackend(): Backend {
  const images = new Map<string, Image>();
  const image = (path: string): Image => {
    const found = images.get(path);
    if (found === undefined) throw new RunFailure(`failure: cannot open file ${path}`);
    return found;
  };
  const resize = (path: string, size: bigint): void => {
    const target = image(path);
    if (size < target.size) {
      for (const number of [...target.pages.keys()]) {
        const start = number * BigInt(PAGE);
        if (start >= size) target.pages.delete(number);
        else if (start + BigInt(PAGE) > size) target.pages.get(number)?.fill(0, Number(size - start));
      }
    }
    target.size = size;
  };

  return {
    kind: "memory",
    openPool: async () => {},
    list: async () => undefined,
    create: async (path, size) => {
      images.set(path, { size, pages: new Map() });
    },
    resize: async (path, size) => resize(path, size),
    remove: async (path) => {
      images.delete(path);
    },
    makeDirectory: async () => {},
    removeDirectory: async () => {},
    copy: async (from, to) => {
      const source = image(from);
      const size = images.get(to)?.size ?? source.size;
      const pages = new Map([...source.pages].map(([number, page]) => [number, page.slice()] as const));
      images.set(to, { size, pages });
    },
    read: async (path, offset, length) => {
      const source = image(path);
      const available = source.size > offset ? source.size - offset : 0n;
      const result = new Uint8Array(available < BigInt(length) ? Number(available) : length);
      for (let done = 0; done < result.length; ) {
        const at = offset + BigInt(done);
        const within = Number(at % BigInt(PAGE));
        const step = Math.min(PAGE - within, result.length - done);
        const page = source.pages.get(at / BigInt(PAGE));
        if (page !== undefined) result.set(page.subarray(within, within + step), done);
        done += step;
      }
      return result;
    },
    write: async (path, offset, data) => {
      const target = image(path);
      if (offset + BigInt(data.length) > target.size)
        throw new RunFailure(`failure: write behind the end of ${path}`);
      for (let done = 0; done < data.length; ) {
        const at = offset + BigInt(done);
        const number = at / BigInt(PAGE);
        const within = Number(at % BigInt(PAGE));
        const step = Math.min(PAGE - within, data.length - done);
        const page = target.pages.get(number) ?? new Uint8Array(PAGE);
        page.set(data.subarray(done, done + step), within);
        target.pages.set(number, page);
        done += step;
      }
    },
    allocated: async (path) => BigInt(image(path).pages.size) * BigInt(PAGE),
    hostPath: () => undefined,
    publishExport: async () => {},
    dropHosts: async () => {},
    withdrawExport: async () => {},
    withdrawAllExports: async () => {},
  };
}
