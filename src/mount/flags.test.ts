import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkMountFlags } from "./flags.ts";

describe("mount options", () => {
  test("what workloads use is allowed, per filesystem", () => {
    expect(checkMountFlags("ext4", ["discard", "noatime", "commit=30", "noatime"])).toEqual([
      "discard",
      "noatime",
      "commit=30",
    ]);
    expect(checkMountFlags("xfs", ["nouuid", "logbsize=256k", "logbufs=8"])).toHaveLength(3);
  });

  test.each([
    "suid",
    "dev",
    "exec",
    "",
    "ro,suid",
    "commit=30,suid",
    "bind",
    "remount",
    "x-systemd.automount",
    "nouuid",
    "NOATIME",
    "loop",
    "journal_dev=7",
    "logdev=/dev/sda",
  ])("refused for ext4: %j", (flag) => {
    expect(() => checkMountFlags("ext4", [flag])).toThrow("is not allowed");
  });

  test("property: no allowed option smuggles another", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (flag) => {
        for (const filesystem of ["ext4", "xfs"] as const) {
          try {
            checkMountFlags(filesystem, [flag]);
          } catch {
            continue;
          }
          expect(flag).toMatch(/^[a-z0-9_=-]+$/);
        }
      }),
    );
  });
});
