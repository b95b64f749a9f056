import type { Device } from "../device/device.ts";
import { type DiskItem, imagePath, slotOf } from "../device/disk-item.ts";
import type { FileEntry } from "../device/files.ts";
import { RunFailure } from "../errors.ts";
import type { Value } from "../language/values.ts";
import type { CommandSpec, Invocation } from "./command.ts";

/** Bytes that are read and written at a time. */
const PIECE = 256 * 1024;
/** Bytes that are left out together where both ends have the same. */
const BLOCK = 4096;
/** Parts of a copy that takes time: behind each it prints a status line and lets other lines run. */
const STEPS = 8n;

/** One end of a copy. */
interface End {
  readonly item: DiskItem;
  readonly file: FileEntry;
}

/** What a copy moves; offsets and size in bytes. */
interface Range {
  readonly from: End;
  readonly to: End;
  readonly source: bigint;
  readonly target: bigint;
  readonly size: bigint;
}

/** @param item the disk that an argument names; undefined: none, or a pool */
function endOf({ device }: Invocation, item: DiskItem | undefined, isTarget: boolean): End {
  if (item === undefined) throw new RunFailure("no such item");
  const file = device.diskStore.device(item);
  if (file === undefined) throw new RunFailure(`failure: ${slotOf(item)} has no block device`);
  if (isTarget && device.subvolumeStore.readOnly(imagePath(item))) {
    throw new RunFailure("failure: read-only file system");
  }
  return { item, file };
}

function numberOf({ args }: Invocation, name: string): bigint | undefined {
  const value = args.value(name);
  return typeof value === "bigint" ? value : undefined;
}

function rangeOf(call: Invocation, from: End, to: End): Range {
  const source = numberOf(call, "src-offset") ?? 0n;
  const target = numberOf(call, "dst-offset") ?? 0n;
  const left = from.file.size - source;
  const size = numberOf(call, "size") ?? left;
  if (left < 0n || size > left) throw new RunFailure("failure: source is too small");
  if (target + size > to.file.size) throw new RunFailure("failure: destination is too small");
  return { from, to, source, target, size };
}

/** Copies `length` bytes that begin `at` behind the begin of the range. Equal blocks are left out, so that holes stay holes. */
async function move(device: Device, range: Range, at: bigint, length: bigint): Promise<void> {
  // Only by the fault: what a copy takes in a pool of sparse files is not known before it is written.
  if (device.full) throw new RunFailure(device.switches().noSpaceText);
  const { from, to, source, target } = range;
  for (let done = at; done < at + length; done += BigInt(PIECE)) {
    const there = [from, to].every(({ file }) => device.fileStore.get(file.path) === file);
    if (!there) throw new RunFailure("failure: the disk has gone while it was copied");
    const left = at + length - done;
    const step = left < BigInt(PIECE) ? Number(left) : PIECE;
    const bytes = await device.backend.read(from.file.path, source + done, step);
    const old = await device.backend.read(to.file.path, target + done, step);
    for (let start = 0; start < step; start += BLOCK) {
      const block = bytes.subarray(start, start + BLOCK);
      const before = old.subarray(start, start + BLOCK);
      if (Buffer.compare(block, before) === 0) continue;
      device.pageCache.note(to.file, target + done + BigInt(start), before);
      await device.backend.write(to.file.path, target + done + BigInt(start), block);
    }
  }
  device.mutations += 1;
}

/** A status line (facts section 3.7), by switch. */
function status(call: Invocation, done: bigint, total: bigint): void {
  const { copyStatus } = call.device.switches();
  if (copyStatus === "none") return;
  const text = (bytes: bigint) =>
    copyStatus === "bytes" ? String(bytes) : `${(Number(bytes) / 1_048_576).toFixed(1)}MiB`;
  call.write(`${text(done)} / ${text(total)} (${total === 0n ? 100n : (done * 100n) / total}%)`);
}

/** Copies step by step. A line that ends in between leaves what was copied before. */
async function copyRange(call: Invocation, range: Range): Promise<void> {
  const { device } = call;
  const { copyMs } = device.switches();
  const { size } = range;
  const { copying } = device.diskStore;
  const items = [range.from.item, range.to.item];
  for (const item of items) copying.add(item);
  try {
    status(call, 0n, size);
    const steps = copyMs > 0 ? STEPS : 1n;
    for (let step = 1n; step <= steps; step += 1n) {
      if (copyMs > 0) await call.sleep(copyMs / Number(steps));
      // A device that ends copies with their disk finds the disk gone here.
      const isGone = items.some((item) => !device.diskStore.items.includes(item));
      if (isGone && device.switches().copyInUse !== "goes-on")
        throw new RunFailure("failure: the disk has gone while it was copied");
      const at = (size * (step - 1n)) / steps;
      await move(device, range, at, (size * step) / steps - at);
      status(call, (size * step) / steps, size);
    }
  } finally {
    for (const item of items) copying.delete(item);
  }
}

/** `/disk/copy` (facts section 3.7). @param target the disk that an argument names */
export function diskCopy(target: (call: Invocation, argument: string) => DiskItem | undefined): CommandSpec {
  const run = async (call: Invocation): Promise<Value> => {
    const { device } = call;
    const [from, to] = [endOf(call, target(call, "src"), false), endOf(call, target(call, "dst"), true)];
    const range = rangeOf(call, from, to);
    const { copy: mode, copyMs } = device.switches();
    if (mode === "async") call.background(copyMs, () => move(device, range, 0n, range.size));
    else await copyRange(call, range);
    return undefined;
  };
  return {
    name: "copy",
    arguments: [
      { name: "src", type: "items" },
      { name: "dst", type: "items" },
      ...["src-offset", "dst-offset", "size"].map((name) => ({ name, type: "num" as const })),
    ],
    required: ["src", "dst"],
    policy: "write",
    run,
  };
}
