import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";

const OPERATION = "it asks for something else than mounting this volume";
const SOURCE = "it brings another file or device into the mount";
const MOUNT_PROGRAM = "it tells the mount program to do more than to mount";
const OTHER_USERS = "it lets unprivileged users of the node mount and unmount";
const SYNCED_DATA = "it risks data that an application has synced";
const DEBUGGING = "it exists to test the filesystem's own error handling";
const QUIET = "it hides that a mount failed";
const PLAIN = "it takes no value";

/**
 * The options that never pass, by the name before `=`. Sources: mount(8), libmount's option maps, ext4(5), xfs(5), the kernel's
 * fs_context.c and ext4/super.c.
 */
const DENIED: ReadonlyMap<string, string> = new Map([
  ...of(OPERATION, "bind", "rbind", "move", "rmove", "remount"),
  ...of(OPERATION, "shared", "rshared", "slave", "rslave"),
  ...of(OPERATION, "private", "rprivate", "unbindable", "runbindable"),
  ...of(SOURCE, "loop", "offset", "sizelimit", "encryption", "source", "subtype"),
  ...of(SOURCE, "journal_dev", "journal_path", "journal", "logdev", "rtdev", "sb"),
  ...of(MOUNT_PROGRAM, "helper", "uhelper", "pamconsole"),
  ...of(OTHER_USERS, "user", "users", "owner", "group"),
  ...of(QUIET, "nofail"),
  ...of(SYNCED_DATA, "nobarrier", "journal_async_commit"),
  ...of(DEBUGGING, "abort", "test_dummy_encryption", "errortag"),
]);
const DENIED_PREFIXES: readonly (readonly [string, string])[] = [
  ["x-", MOUNT_PROGRAM],
  ["make-", OPERATION],
  ["verity.", SOURCE],
  ["fc_debug_", DEBUGGING],
];
const DENIED_VALUES: readonly (readonly [RegExp, string])[] = [
  [/^barrier=(0+|none|off|no|false)$/, SYNCED_DATA],
  // A volume that loses its target must not take the node, and with it every other volume, down.
  [/^errors=panic$/, "an error of this one volume would stop the whole node"],
  // libmount 2.39: of the mount or of the filesystem alone, so the rest of the driver could not tell.
  [/^(ro|rw)=/, PLAIN],
];
/** They leave the journal unread: the mount shows the state before the last crash, and writes to it destroy data. */
const READ_ONLY = new Set(["norecovery", "noload"]);

const FORM = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(=[!#-+\--[\]-~]*)?$/;
/** kubelet quotes an SELinux context, as its categories hold commas: `context="system_u:object_r:x_t:s0:c1,c2"`. */
const CONTEXT = /^(fs|def|root)?context=("[A-Za-z0-9_.:,-]+"|[A-Za-z0-9_.:-]+)$/;

/**
 * Checks mount options: a dangerous option is refused, any other is left to the kernel, which knows the options of its
 * filesystems. An option is dangerous if it mounts another thing, makes the mount program do more than to mount, acts on the
 * node beyond this volume, or can lose data that was synced. Defaults of the kernel (`suid`, `dev`, `exec`) pass.
 *
 * Each entry is one option: a comma or a quote passes only in a quoted SELinux context.
 * @param readOnly the volume is mounted read-only even if `ro` is not among the options
 * @returns the options without repetitions, in order
 * @throws mountFlagRefused (INVALID_ARGUMENT)
 */
export function checkMountFlags(
  filesystem: Filesystem,
  flags: readonly string[],
  readOnly = false,
): readonly string[] {
  const refusesWrites = readOnly || flags.includes("ro");
  for (const flag of flags) {
    const reason = optionDanger(flag, refusesWrites);
    // A value may be a credential (CSI, "mount_flags").
    const shown = flag.replace(/=.*/s, "=…");
    if (reason !== undefined) throw failure("mountFlagRefused", { flag: shown, filesystem, reason });
  }
  return [...new Set(flags)];
}

/**
 * The reason for which an option may not pass; undefined if it may. Capitals make no difference, to be on the safe side.
 * @param refusesWrites the mount is read-only
 */
export function optionDanger(flag: string, refusesWrites: boolean): string | undefined {
  if (CONTEXT.test(flag)) return undefined;
  if (!FORM.test(flag)) return "it is not one option of the form name or name=value in plain characters";
  const lower = flag.toLowerCase();
  const [name = ""] = lower.split("=", 1);
  if (READ_ONLY.has(name) && !refusesWrites)
    return "it leaves the journal unread, which is safe only with ro";
  return (
    DENIED.get(name) ??
    DENIED_PREFIXES.find(([prefix]) => name.startsWith(prefix))?.[1] ??
    DENIED_VALUES.find(([pattern]) => pattern.test(lower))?.[1]
  );
}

function of(reason: string, ...names: readonly string[]): [string, string][] {
  return names.map((name) => [name, reason]);
}

/**
 * Adds the mount options that overrule the superblock of a filesystem, which the writer of the volume decides on:
 * - `errors=remount-ro`, unless the options have `errors`: a superblock may ask for a panic of the node, and `errors=continue`,
 *   the default of mkfs.ext4, spreads the damage. A filesystem that has stopped is mounted anew by the next stage, after a check;
 * - `barrier=1`: without barriers, data that was synced may be lost.
 * XFS keeps no mount options.
 * Source: ext4(5), "errors" and "barrier"; tune2fs(8), -e and -o nobarrier.
 */
export function withSafeOptions(filesystem: Filesystem, flags: readonly string[]): readonly string[] {
  if (filesystem !== "ext4") return flags;
  const has = (name: string) => flags.some((flag) => flag === name || flag.startsWith(`${name}=`));
  return [
    ...flags,
    ...(has("errors") ? [] : ["errors=remount-ro"]),
    ...(has("barrier") ? [] : ["barrier=1"]),
  ];
}
