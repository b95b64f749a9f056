import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { complaint, type ExecResult } from "../host/exec.ts";
import type { NodeSystem } from "../host/system.ts";
import { statFilesystem } from "./stat.ts";

/** A mounted filesystem, and the device below it. */
export interface Growable {
  readonly volume: string;
  readonly filesystem: Filesystem;
  /** e.g. `/dev/nvme0n1`. */
  readonly device: string;
  /** Bytes of the device: the filesystem is to fill it. */
  readonly sizeBytes: bigint;
  /** Where the whole filesystem is mounted, writable. */
  readonly mountPoint: string;
}

/** Both programs journal their changes, so the next call can go on where a killed program stopped. */
const DEADLINE_MS = 100_000;
/**
 * Neither program uses the last group of blocks unless it is worth its own metadata; an ext4 group with 4 KiB blocks
 * has 128 MiB.
 */
const REMAINDER_IN_BLOCKS = 32_768n;

/**
 * Lets a mounted filesystem fill its device: `resize2fs` for ext4, `xfs_growfs` for XFS. Changes nothing if it does
 * already. Source: resize2fs(8), xfs_growfs(8).
 * @returns whether it grew
 * @throws filesystemNotGrown (INTERNAL), toolMissing, deadlineExceeded
 */
export async function growFilesystem(
  system: NodeSystem,
  growable: Growable,
  signal?: AbortSignal,
): Promise<boolean> {
  const { volume, filesystem, device, sizeBytes, mountPoint } = growable;
  const [program, operand] =
    filesystem === "ext4" ? (["resize2fs", device] as const) : (["xfs_growfs", mountPoint] as const);
  const result = await system.exec({ program, args: [operand], deadlineMs: DEADLINE_MS, signal });
  const notGrown = (detail: string) => failure("filesystemNotGrown", { volume, device, detail });
  if (result.code !== 0) throw notGrown(`${program}: ${complaint(result)}`);
  const size = filesystem === "ext4" ? readResize2fs(result) : readXfsGrowfs(result);
  if (size === undefined) throw notGrown(`${program} gave an unknown answer: ${complaint(result)}`);
  const missing = sizeBytes - size.blocks * size.blockSize;
  if (missing >= REMAINDER_IN_BLOCKS * size.blockSize) {
    throw notGrown(`${program} ended with ${missing} bytes of the device unused`);
  }
  if (size.grew) {
    system.logger.info("filesystem grown", {
      volume,
      device,
      filesystem,
      bytes: String(size.blocks * size.blockSize),
    });
  }
  return size.grew;
}

/**
 * Whether a mounted filesystem is clearly smaller than its device: less than three quarters, which the metadata of a
 * filesystem that fills it does not explain. Answered from memory, without a look at the device.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function isClearlySmaller(
  system: NodeSystem,
  mountPoint: string,
  sizeBytes: bigint,
  signal?: AbortSignal,
): Promise<boolean> {
  const { blocks, blockSize } = await statFilesystem(system.exec, mountPoint, signal);
  return blocks * blockSize * 4n < sizeBytes * 3n;
}

/** The size of a filesystem after a program that grows it. */
interface FilesystemSize {
  readonly blocks: bigint;
  readonly blockSize: bigint;
  readonly grew: boolean;
}

/** `The filesystem on /dev/x is now 51200 (4k) blocks long.`, `The filesystem is already 51200 (4k) blocks long.` */
export function readResize2fs({
  stdout,
  stderr,
}: Pick<ExecResult, "stdout" | "stderr">): FilesystemSize | undefined {
  const found = /The filesystem (?:on \S+ )?is (now|already) (\d+) \((\d+)k\) blocks long/.exec(
    `${stdout}\n${stderr}`,
  );
  if (found === null) return undefined;
  const [, state, blocks = "", kibibytes = ""] = found;
  return { blocks: BigInt(blocks), blockSize: BigInt(kibibytes) * 1024n, grew: state === "now" };
}

/** `data     =     bsize=4096   blocks=76800, …`, and if it grew `data blocks changed from 76800 to 102400`. */
export function readXfsGrowfs({ stdout }: Pick<ExecResult, "stdout">): FilesystemSize | undefined {
  const data = /^data\s+=\s*bsize=(\d+)\s+blocks=(\d+)/m.exec(stdout);
  if (data === null) return undefined;
  const [, blockSize = "", before = ""] = data;
  const changed = /^data blocks changed from \d+ to (\d+)/m.exec(stdout)?.[1];
  return {
    blocks: BigInt(changed ?? before),
    blockSize: BigInt(blockSize),
    grew: changed !== undefined,
  };
}
