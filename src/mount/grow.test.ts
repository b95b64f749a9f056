import { describe, expect, test } from "bun:test";
import type { ExecResult } from "../host/exec.ts";
import { createNodeSystem } from "../host/system.ts";
import { type Growable, growFilesystem, readResize2fs, readXfsGrowfs } from "./grow.ts";

const MIB = 1024n * 1024n;
const XFS_INFO = [
  "meta-data=/dev/loop0             isize=512    agcount=4, agsize=19200 blks",
  "         =                       sectsz=512   attr=2, projid32bit=1",
  "data     =                       bsize=4096   blocks=76800, imaxpct=25",
  "         =                       sunit=0      swidth=0 blks",
  "naming   =version 2              bsize=4096   ascii-ci=0, ftype=1",
  "log      =internal log           bsize=4096   blocks=16384, version=2",
  "realtime =none                   extsz=4096   blocks=0, rtextents=0",
].join("\n");

function answers(result: Partial<ExecResult>) {
  const commands: string[] = [];
  const system = createNodeSystem({
    exec: async ({ program, args }) => {
      commands.push([program, ...args].join(" "));
      return { code: 0, stdout: "", stderr: "", truncated: false, ...result };
    },
  });
  return { system, commands };
}
const growable = (filesystem: Growable["filesystem"], sizeBytes: bigint): Growable => ({
  volume: "v",
  filesystem,
  device: "/dev/x",
  sizeBytes,
  mountPoint: "/mnt/x",
});

describe("what the programs say", () => {
  // e2fsprogs 1.47.0 and xfsprogs 6.1, recorded.
  test("resize2fs", () => {
    const stderr = "resize2fs 1.47.0 (5-Feb-2023)\n";
    const now =
      "old_desc_blocks = 1, new_desc_blocks = 1\nThe filesystem on /dev/nvme0n1 is now 51200 (4k) blocks long.\n";
    expect(readResize2fs({ stdout: now, stderr })).toEqual({ blocks: 51_200n, blockSize: 4096n, grew: true });
    const full = `${stderr}The filesystem is already 16384 (1k) blocks long.  Nothing to do!\n`;
    expect(readResize2fs({ stdout: "", stderr: full })).toEqual({
      blocks: 16_384n,
      blockSize: 1024n,
      grew: false,
    });
    expect(readResize2fs({ stdout: "", stderr })).toBeUndefined();
  });

  test("xfs_growfs", () => {
    expect(readXfsGrowfs({ stdout: XFS_INFO })).toEqual({ blocks: 76_800n, blockSize: 4096n, grew: false });
    expect(readXfsGrowfs({ stdout: `${XFS_INFO}\ndata blocks changed from 76800 to 102400\n` })).toEqual({
      blocks: 102_400n,
      blockSize: 4096n,
      grew: true,
    });
    expect(readXfsGrowfs({ stdout: "" })).toBeUndefined();
  });
});

describe("growFilesystem", () => {
  test("ext4 by device, XFS by mount point", async () => {
    const ext4 = answers({ stdout: "The filesystem on /dev/x is now 51200 (4k) blocks long.\n" });
    expect(await growFilesystem(ext4.system, growable("ext4", 200n * MIB))).toBe(true);
    expect(ext4.commands).toEqual(["resize2fs /dev/x"]);
    const xfs = answers({ stdout: XFS_INFO });
    expect(await growFilesystem(xfs.system, growable("xfs", 300n * MIB))).toBe(false);
    expect(xfs.commands).toEqual(["xfs_growfs /mnt/x"]);
  });

  test.each([
    [{ code: 1, stderr: "resize2fs: Permission denied to resize filesystem" }, "Permission denied"],
    [{ stdout: "something else" }, "unknown answer"],
    [{ code: null, signal: "SIGKILL" }, "ended by SIGKILL"],
    [{ stdout: "The filesystem is already 16384 (4k) blocks long." }, "bytes of the device unused"],
  ])("success is not believed without proof: %p", async (result, detail) => {
    const { system } = answers(result);
    const call = growFilesystem(system, growable("ext4", 1024n * MIB));
    await expect(call).rejects.toMatchObject({ id: "filesystemNotGrown" });
    await expect(call).rejects.toThrow(detail);
  });
});
