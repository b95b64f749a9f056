import type { Filesystem } from "../../domain/access-mode.ts";
import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import type { FilesystemState } from "../../domain/publish-context.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { complaint } from "../../host/exec.ts";
import type { MkfsMark } from "../../host/helper-answers.ts";
import type { NodeSystem } from "../../host/system.ts";
import { newMark, uuidOf } from "../../mount/mkfs-mark.ts";
import { watchDevice } from "./watch-device.ts";

/** On a slow link mkfs of a large volume takes long, and its end is worth the wait. */
const MKFS_DEADLINE_MS = 12 * 3_600_000;

/** The filesystem that a device has to hold. */
export interface FilesystemWish {
  readonly volume: string;
  readonly device: BlockDevice;
  readonly filesystem: Filesystem;
  /** As in the volume's record; `keep` never leads to mkfs. */
  readonly state: FilesystemState;
  /** Of the attachment, as its NQN has it; 0 where attachments have none (`--fencing off`). */
  readonly epoch: number;
  /** Smallest acceptable size of the device in bytes. */
  readonly sizeBytes: bigint;
}

type Wish = Pick<FilesystemWish, "volume" | "device" | "filesystem" | "epoch">;

/**
 * Makes the filesystem: writes the mark (mkfs-mark.ts), runs mkfs, takes the mark away. The caller has proven that the
 * device may be formatted and that nothing uses it.
 *
 * mkfs goes on when its caller has gone. It is given up only if, in addition, nothing has moved on the device for a long time.
 * After a failure the mark lets the next call begin anew.
 * @param again the device holds the work of an unfinished mkfs, which mkfs would take for somebody's filesystem
 * @param caller the signal of the call
 * @throws filesystemNotMade (UNAVAILABLE), toolMissing
 */
export async function makeFilesystem(
  system: NodeSystem,
  wish: Wish,
  again: boolean,
  caller?: AbortSignal,
): Promise<void> {
  const { volume, device, filesystem } = wish;
  const mark = newMark(volume, wish.epoch, filesystem);
  const program = `mkfs.${filesystem}` as const;
  const notMade = (detail: string, cause?: unknown) =>
    failure("filesystemNotMade", { volume, device: device.path, filesystem, detail }, cause);
  const marked = await system.helper.writeMark(device.path, device.number, device.sizeBytes, mark);
  if (marked.kind !== "done") throw notMade(`its mark could not be written: ${marked.detail}`);
  const about = { volume, program, device: device.path, nqn: device.nqn };
  system.logger.info(again ? "making an unfinished filesystem anew" : "making a filesystem", about);
  const args = argumentsOf(mark, again, device.path);
  const result = await watchDevice(system, device.name, about, caller, (signal) =>
    system.exec({ program, args, deadlineMs: MKFS_DEADLINE_MS, signal }),
  ).catch((error: unknown) => {
    if (!(error instanceof DriverError) || error.id === "toolMissing") throw error;
    throw notMade(error.summary, error);
  });
  if (result.code !== 0) throw notMade(`${program}: ${complaint(result)}`);
  await eraseMarks(system, wish);
}

/**
 * Takes the marks of a volume away, once its filesystem is whole and before it is mounted.
 * @throws filesystemNotMade (UNAVAILABLE)
 */
export async function eraseMarks(system: NodeSystem, wish: Wish): Promise<void> {
  const { volume, device, filesystem } = wish;
  const erased = await system.helper.eraseMarks(device.path, device.number, device.sizeBytes, volume);
  if (erased.kind === "done") return;
  const detail = `its mark could not be taken away: ${erased.detail}`;
  throw failure("filesystemNotMade", { volume, device: device.path, filesystem, detail });
}

/** Nothing is discarded on the device: it is blank, or holds nobody's data. */
function argumentsOf(mark: MkfsMark, again: boolean, device: string): readonly string[] {
  const uuid = uuidOf(mark);
  // No force flag the first time: mkfs itself is the last to refuse. With one force flag it still refuses a device in use.
  return mark.filesystem === "ext4"
    ? ["-q", ...(again ? ["-F"] : []), "-m", "0", "-E", "nodiscard", "-U", uuid, "--", device]
    : ["-q", ...(again ? ["-f"] : []), "-K", "-m", `uuid=${uuid}`, "--", device];
}
