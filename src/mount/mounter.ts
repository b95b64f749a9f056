import { failure } from "../domain/errors/driver-error.ts";
import { type Exec, succeed } from "../host/exec.ts";
import { mountsAt, readMounts } from "./mountinfo.ts";

/** Shorter than kubelet's two minutes, so that the caller hears the reason. */
const MOUNT_DEADLINE_MS = 90_000;
const UMOUNT_DEADLINE_MS = 60_000;
/** Options of a single mount, as opposed to those of the filesystem; a bind remount has to repeat them. */
const MOUNT_OPTIONS = new Set([
  "nosuid",
  "nodev",
  "noexec",
  "nosymfollow",
  "noatime",
  "nodiratime",
  "relatime",
  "strictatime",
]);

/**
 * Mounts a filesystem.
 * @throws mountFailed, deadlineExceeded
 */
export async function mountFilesystem(
  exec: Exec,
  mount: {
    readonly device: string;
    readonly target: string;
    readonly fsType: string;
    readonly flags: readonly string[];
  },
  signal?: AbortSignal,
): Promise<void> {
  const options = mount.flags.length === 0 ? [] : ["-o", mount.flags.join(",")];
  const { device, target, fsType } = mount;
  await mountProgram(exec, ["-t", fsType, ...options, "--", device, target], device, target, signal);
}

/**
 * Bind-mounts a directory or a device node; `readOnly` is a second step, as the kernel ignores it in the first.
 * The caller verifies the outcome in the mount table.
 * @throws mountFailed, deadlineExceeded
 */
export async function bindMount(
  exec: Exec,
  source: string,
  target: string,
  readOnly: boolean,
  mountinfo: string,
  signal?: AbortSignal,
): Promise<void> {
  await mountProgram(exec, ["--bind", "--", source, target], source, target, signal);
  if (!readOnly) return;
  const inherited = mountsAt(await readMounts(mountinfo), target).at(-1)?.options ?? [];
  const options = ["remount", "bind", "ro", ...inherited.filter((option) => MOUNT_OPTIONS.has(option))];
  await mountProgram(exec, ["-o", options.join(","), "--", target], source, target, signal);
}

/**
 * Unmounts the topmost mount at a path; never lazily, never by force.
 * @throws unmountFailed, deadlineExceeded (the filesystem may then still be alive although the mount table has lost it)
 */
export async function unmount(exec: Exec, target: string, signal?: AbortSignal): Promise<void> {
  const args = ["--", target];
  const command = { program: "umount" as const, args, deadlineMs: UMOUNT_DEADLINE_MS, signal };
  await succeed(exec, command, (detail) => failure("unmountFailed", { target, detail }));
}

async function mountProgram(
  exec: Exec,
  args: readonly string[],
  source: string,
  target: string,
  signal?: AbortSignal,
): Promise<void> {
  const command = { program: "mount" as const, args, deadlineMs: MOUNT_DEADLINE_MS, signal };
  await succeed(exec, command, (detail) => failure("mountFailed", { source, target, detail }));
}
