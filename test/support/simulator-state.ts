import { createHash } from "node:crypto";
import type { Device } from "../../src/simulator/device/device.ts";
import type { FileEntry } from "../../src/simulator/device/files.ts";

/** All that a simulated RDS holds, fit for a comparison: no item numbers, no times, no random parts, each list in order. */
export interface WholeState {
  readonly pools: readonly {
    readonly slot: string;
    readonly mounted: boolean;
    readonly state: string;
    /** Free bytes; undefined where they depend on the file system below the simulator. */
    readonly free: bigint | undefined;
  }[];
  readonly disks: readonly {
    readonly slot: string;
    /** Every setting by its argument name. */
    readonly settings: Readonly<Record<string, string | bigint | boolean>>;
    /** Bytes of the block device; undefined without one. */
    readonly size: bigint | undefined;
  }[];
  readonly files: readonly {
    readonly path: string;
    readonly kind: "directory" | "file";
    readonly size: bigint;
    /** Hash of the bytes, "zeros" for nothing else, "" for a directory. */
    readonly content: string;
  }[];
  /** Without the dead ones, which vanish by themselves. */
  readonly subvolumes: readonly {
    readonly pool: string;
    readonly fullname: string;
    readonly parent: string;
    readonly snapshot: boolean;
    readonly readOnly: boolean;
  }[];
  readonly exports: readonly {
    readonly nqn: string;
    readonly port: number;
    readonly path: string;
    readonly sizeBytes: bigint;
    readonly slot: string;
    readonly allowHosts: readonly string[];
  }[];
}

/** Files with data that are longer than this are not read; bytes. */
const LONGEST = 4n << 30n;
const STEP = 1 << 20;
const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);

/** Hash of the pages that are not all zeros, with their places: holes and written zeros are the same. */
async function contentOf(device: Device, { path, size }: FileEntry): Promise<string> {
  if ((await device.backend.allocated(path)) === 0n) return "zeros";
  if (size > LONGEST) throw new Error(`${path} is too long to be compared: ${size} bytes`);
  const hash = createHash("sha256");
  let isBlank = true;
  for (let offset = 0n; offset < size; offset += BigInt(STEP)) {
    const bytes = Buffer.from(await device.readFile(path, offset, STEP));
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (page.equals(ZEROS.subarray(0, page.length))) continue;
      hash.update(`${offset + BigInt(at)}:`).update(page);
      isBlank = false;
    }
  }
  return isBlank ? "zeros" : hash.digest("hex");
}

/**
 * Times (seconds or nanoseconds since the epoch) and the random part of an NQN as placeholders. Two objects whose names
 * differ in nothing else stay two.
 */
function withoutTimes(text: string): string {
  return text
    .replace(/(?<![0-9A-Za-z])1\d{9}(\d{9})?(?![0-9A-Za-z])/g, "<time>")
    .replace(/(?<=\.\d+-)[0-9a-f]{8}(?![0-9A-Za-z])/g, "<random>");
}

function ordered<T>(values: readonly T[]): T[] {
  const key = (value: T) =>
    JSON.stringify(value, (_name, part: unknown) => (typeof part === "bigint" ? String(part) : part));
  return values.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
}

/**
 * The whole state of a simulated RDS: two that are equal hold the same, whatever happened on the way.
 * @param normalise rewrites each text (names, paths, comments, NQNs) after times have become placeholders, for what else may differ
 */
export async function wholeState(
  device: Device,
  normalise: (text: string) => string = (text) => text,
): Promise<WholeState> {
  const text = (value: string) => normalise(withoutTimes(value));
  const { fileStore, diskStore } = device;
  await fileStore.refresh();
  const isCounted = device.backend.usage !== undefined;
  const files = await Promise.all(
    device.files.map(async (entry) => ({
      path: text(entry.path),
      kind: entry.directory ? ("directory" as const) : ("file" as const),
      size: entry.size,
      content: entry.directory ? "" : await contentOf(device, entry),
    })),
  );
  return {
    pools: device.pools.map(({ slot, mounted, state }) => ({
      slot,
      mounted,
      state,
      free: isCounted ? device.freeBytes(slot) : undefined,
    })),
    disks: ordered(
      diskStore.items.map((item) => {
        const image = diskStore.device(item);
        const settings = [...item.config].map(
          ([name, value]) => [name, typeof value === "string" ? text(value) : value] as const,
        );
        return {
          slot: text(String(item.config.get("slot"))),
          settings: Object.fromEntries(settings.toSorted(([one], [other]) => (one < other ? -1 : 1))),
          size: image === undefined ? undefined : diskStore.deviceSize(item, image),
        };
      }),
    ),
    files: ordered(files),
    subvolumes: ordered(
      device.subvolumes
        .filter(({ deadUntil }) => deadUntil === undefined)
        .map(({ pool, fullname, parent, snapshot, readOnly }) => ({
          pool,
          fullname: text(fullname),
          parent: text(parent),
          snapshot,
          readOnly,
        })),
    ),
    exports: ordered(
      device.liveExports.map(({ nqn, port, path, sizeBytes, slot, allowHosts }) => ({
        nqn: text(nqn),
        port,
        path: text(path),
        sizeBytes,
        slot: text(slot),
        allowHosts: allowHosts.map(text),
      })),
    ),
  };
}
