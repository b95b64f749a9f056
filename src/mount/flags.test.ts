import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { printable } from "../domain/printable.ts";
import { checkMountFlags } from "./flags.ts";

const DANGEROUS = [
  ...["bind", "rbind", "move", "remount", "shared", "rshared", "slave", "private", "rprivate", "unbindable"],
  ...[
    "make-shared",
    "make-rslave",
    "loop",
    "loop=/dev/loop9",
    "offset=4096",
    "sizelimit=1",
    "encryption=aes",
  ],
  ...["source=/dev/sda", "helper=nfs", "uhelper=udisks2", "user", "user=root", "users", "owner", "group"],
  ...["x-mount.mkdir", "X-mount.idmap=b:0:1:1", "x-systemd.automount", "X-mount.subdir=a", "X-MOUNT.OWNER=0"],
  ...["verity.hashdevice=/dev/sda", "nofail", "journal_dev=7", "journal_path=/dev/sda", "journal=update"],
  ...[
    "logdev=/dev/sda",
    "rtdev=/dev/sda",
    "sb=32768",
    "nobarrier",
    "barrier=0",
    "barrier=00",
    "barrier=none",
  ],
  ...["journal_async_commit", "errors=panic", "abort", "fc_debug_max_replay=1", "test_dummy_encryption=v2"],
  ...["ro=vfs", "rw=fs", "BIND", "Remount", "X-foo"],
];
const MALFORMED = [
  ...[
    "",
    " ",
    "ro,suid",
    "commit=30,bind",
    "noatime ",
    "no\tatime",
    "noatime\n",
    "noatime\0",
    "=",
    "=ro",
    ",",
  ],
  ...[
    'foo="a,bind"',
    'foo="',
    'context="a',
    'context="a"b',
    'context="a",bind',
    "context=a,bind",
    'context=""',
  ],
  ...[
    'context="a\\"',
    "foo\\054bind",
    "größe",
    "noatime\u2028",
    "--bind",
    "-o",
    "name=\u007f",
    'xcontext="a,b"',
  ],
];
const HARMLESS = [
  ...[
    "defaults",
    "rw",
    "ro",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "lazytime",
  ],
  ...[
    "relatime",
    "strictatime",
    "sync",
    "dirsync",
    "discard",
    "nodiscard",
    "nosymfollow",
    "_netdev",
    "silent",
  ],
  ...["commit=30", "stripe=16", "data=ordered", "data=journal", "data=writeback", "barrier", "barrier=1"],
  ...[
    "errors=remount-ro",
    "errors=continue",
    "usrjquota=aquota.user",
    "jqfmt=vfsv1",
    "nodelalloc",
    "dax=inode",
  ],
  ...["nouuid", "inode64", "largeio", "logbsize=256k", "logbufs=8", "allocsize=1m", "prjquota", "wsync"],
  ...["context=system_u:object_r:container_file_t:s0", "an_option_of_the_next_kernel=1:2/3"],
  ...['context="system_u:object_r:container_file_t:s0:c15,c25"', 'fscontext="system_u:object_r:fs_t:s0"'],
  ...[
    "defcontext=system_u:object_r:file_t:s0",
    'rootcontext="system_u:object_r:root_t:s0:c1,c2"',
    "seclabel",
  ],
];

describe("mount options", () => {
  test.each(HARMLESS)("%j passes", (flag) => {
    expect(checkMountFlags("ext4", [flag])).toEqual([flag]);
    expect(checkMountFlags("xfs", [flag])).toEqual([flag]);
  });

  test.each([...DANGEROUS, ...MALFORMED])("%j is refused", (flag) => {
    for (const filesystem of ["ext4", "xfs"] as const) {
      const refused = expect(() => checkMountFlags(filesystem, ["noatime", flag, "ro"], true));
      // A value may be a credential.
      const shown = flag.includes("=") ? `${flag.slice(0, flag.indexOf("="))}=…` : flag;
      refused.toThrow(`mount option ${printable(JSON.stringify(shown))} is not allowed`);
    }
  });

  test("order stays, repetitions go", () => {
    expect(checkMountFlags("ext4", ["discard", "noatime", "commit=30", "noatime"])).toEqual([
      "discard",
      "noatime",
      "commit=30",
    ]);
  });

  test.each(["norecovery", "noload", "NoRecovery"])("%s only where nothing is written", (flag) => {
    expect(() => checkMountFlags("xfs", [flag])).toThrow("safe only with ro");
    expect(() => checkMountFlags("ext4", [flag, "rw"])).toThrow("safe only with ro");
    expect(checkMountFlags("xfs", ["ro", flag])).toEqual(["ro", flag]);
    expect(checkMountFlags("ext4", [flag], true)).toEqual([flag]);
  });

  /** As libmount splits: at commas outside of double quotes. */
  const split = (options: string): string[] => [...(options.match(/(?:[^,"]|"[^"]*"?)+/g) ?? [])];
  const pieces = fc.constantFrom(...DANGEROUS, ...HARMLESS, ",", '"', "=", "\\", " ", "context=", "x-", "ro");
  const hostile = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.array(pieces, { maxLength: 5 }).map((parts) => parts.join("")),
  );
  const accepted = (flags: readonly string[]): readonly string[] | undefined => {
    try {
      return checkMountFlags("ext4", flags, true);
    } catch {
      return undefined;
    }
  };

  test("property: what passes is, joined with others, still exactly these options for libmount", () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 4 }), (flags) => {
        const passed = flags.filter((flag) => accepted([flag]) !== undefined);
        const joined = [...passed, "nosuid"].join(",");
        expect(split(joined)).toEqual([...passed, "nosuid"]);
        expect(joined).toMatch(/^[\x21-\x7e]*$/);
      }),
      { numRuns: 2_000 },
    );
  });

  test("property: a dangerous option passes in no company and no spelling", () => {
    const spelling = fc
      .tuple(fc.constantFrom(...DANGEROUS), fc.boolean())
      .map(([flag, upper]) => (upper ? flag.toUpperCase() : flag));
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 2 }), spelling, hostile, (before, flag, value) => {
        expect(accepted([...before, flag])).toBeUndefined();
        const [name = ""] = flag.split("=", 1);
        const valued = ["barrier", "errors", "BARRIER", "ERRORS"].includes(name) ? flag : `${name}=${value}`;
        expect(accepted([valued])).toBeUndefined();
      }),
    );
  });
});
