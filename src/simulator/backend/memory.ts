import { RunFailure } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { Image, PageCount } from "./pages.ts";

/** Image files in memory, as sparse pages; gone when the simulator ends. */
export function memoryBackend(): Backend {
  const images = new Map<string, Image>();
  const counts = new Map<string, PageCount>();
  const image = (path: string): Image => {
    const found = images.get(path);
    if (found === undefined) throw new RunFailure(`failure: cannot open file ${path}`);
    return found;
  };
  const countOf = (path: string): PageCount => {
    const pool = path.split("/", 1)[0] ?? "";
    const count = counts.get(pool) ?? new PageCount();
    counts.set(pool, count);
    return count;
  };
  const put = (path: string, made: Image): void => {
    images.get(path)?.drop();
    images.set(path, made);
  };

  return {
    kind: "memory",
    instantCopies: true,
    openPool: async () => {},
    list: async () => undefined,
    create: async (path, size) => put(path, new Image(size, countOf(path))),
    resize: async (path, size) => image(path).resize(size),
    remove: async (path) => {
      images.get(path)?.drop();
      images.delete(path);
    },
    makeDirectory: async () => {},
    removeDirectory: async () => {},
    copy: async (from, to) => {
      const source = image(from);
      put(to, source.copy(images.get(to)?.size ?? source.size, countOf(to)));
    },
    clone: async (pairs) => {
      for (const [from, to] of pairs) put(to, image(from).clone());
    },
    read: async (path, offset, length) => image(path).read(offset, length),
    write: async (path, offset, data) => {
      const target = image(path);
      if (offset + BigInt(data.length) > target.size)
        throw new RunFailure(`failure: write behind the end of ${path}`);
      target.write(offset, data);
    },
    allocated: async (path) => image(path).allocated,
    usage: (pool) => countOf(pool).usage,
    hostPath: () => undefined,
    publishExport: async () => {},
    dropHosts: async () => {},
    withdrawExport: async () => {},
    withdrawAllExports: async () => {},
  };
}
