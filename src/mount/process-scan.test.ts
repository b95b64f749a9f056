import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { deviceNumber } from "../host/files.ts";
import { scanProcesses } from "./process-scan.ts";
import { createScanWork } from "./scan-work.ts";

describe("deviceNumber", () => {
  test("property: makedev(3) of Linux is undone", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xfff }),
        fc.integer({ min: 0, max: 0xf_ffff }),
        (major, minor) => {
          const encoded = (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
          expect(deviceNumber(encoded >>> 0)).toBe(`${major}:${minor}`);
        },
      ),
    );
  });
});

describe("scanProcesses", () => {
  let directory: string;
  let child: ChildProcess;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "rds-csi-scan-"));
    writeFileSync(join(directory, "f"), "");
    child = spawn("sh", ["-c", 'exec 7<"$0"; echo ready; exec sleep 300', join(directory, "f")], {
      cwd: "/proc",
      stdio: ["ignore", "pipe", "ignore"],
    });
    await new Promise((resolve) => child.stdout?.once("data", resolve));
  });
  afterAll(() => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  });

  test("a process with a file on the filesystem is found; an ignored one is not", () => {
    const device = deviceNumber(statSync(directory).dev);
    const pids = (ignore: number[]) =>
      scanProcesses(new Set([device]), new Set(ignore)).uses.map((use) => use.pid);
    expect(pids([])).toContain(child.pid ?? 0);
    expect(pids([child.pid ?? 0])).not.toContain(child.pid ?? 0);
  });

  test("nobody uses a device that does not exist", () => {
    expect(scanProcesses(new Set(["4095:77"]), new Set()).uses).toEqual([]);
  });

  test("files of network filesystems are not touched: their stat may hang", () => {
    const root = join(directory, "proc");
    const base = join(root, "42");
    for (const name of ["fd", "fdinfo", "ns", "task/42", "map_files"])
      mkdirSync(join(base, name), { recursive: true });
    symlinkSync("mnt:[1]", join(base, "ns/mnt"));
    // A stat through these links finds the file in `directory`, as the real ones would.
    symlinkSync(join(directory, "f"), join(base, "fd/3"));
    symlinkSync(join(directory, "f"), join(base, "fd/4"));
    writeFileSync(join(base, "fdinfo/3"), "pos:\t0\nflags:\t0\nmnt_id:\t90\n");
    writeFileSync(join(base, "fdinfo/4"), "pos:\t0\nflags:\t0\nmnt_id:\t91\n");
    writeFileSync(join(base, "maps"), "");
    writeFileSync(join(base, "stat"), "42 (qemu) S 7 42 42 0 -1 0\n");
    const nfs = (id: number) => `${id} 1 0:50 / /n rw - nfs4 srv:/x rw\n`;
    const device = deviceNumber(statSync(directory).dev);
    writeFileSync(join(base, "mountinfo"), nfs(90));
    expect(scanProcesses(new Set([device]), new Set(), root).uses).toEqual([
      { pid: 42, command: "qemu", parent: 7, how: "fd 4" },
    ]);
    writeFileSync(join(base, "mountinfo"), nfs(90) + nfs(91));
    expect(scanProcesses(new Set([device]), new Set(), root).uses).toEqual([]);
    writeFileSync(join(base, "maps"), "7f0-7f1 r--p 00000000 fd:1f 1 /x\n");
    symlinkSync(join(directory, "f"), join(base, "map_files/7f0-7f1"));
    expect(scanProcesses(new Set(["253:31"]), new Set(), root).uses).toMatchObject([{ how: "mapped file" }]);
  });

  test("a first thread that has ended hides nobody: the threads that are left are looked at, and so are descriptors of their own", () => {
    const root = join(directory, "threads");
    const device = deviceNumber(statSync(directory).dev);
    const thread = (tid: number, fds: readonly string[]): void => {
      for (const name of ["fd", "ns", "map_files"])
        mkdirSync(join(root, String(tid), name), { recursive: true });
      symlinkSync("mnt:[1]", join(root, String(tid), "ns/mnt"));
      for (const name of ["maps", "mountinfo"]) writeFileSync(join(root, String(tid), name), "");
      for (const fd of fds) symlinkSync(join(directory, "f"), join(root, String(tid), "fd", fd));
    };
    thread(50, []);
    thread(51, ["9"]);
    for (const tid of [50, 51]) mkdirSync(join(root, "50/task", String(tid)), { recursive: true });
    mkdirSync(join(root, "51/task/51"), { recursive: true });
    // /proc lists processes only.
    const only50 = new Set([51]);
    expect(scanProcesses(new Set([device]), only50, root).uses).toMatchObject([{ pid: 50, how: "fd 9" }]);
  });

  test("a mapping that cannot be asked, or never stands still, makes a process one that could not be looked into", () => {
    const root = join(directory, "moving");
    const base = join(root, "60");
    for (const name of ["fd", "ns", "map_files", "task/60"]) mkdirSync(join(base, name), { recursive: true });
    symlinkSync("mnt:[1]", join(base, "ns/mnt"));
    writeFileSync(join(base, "mountinfo"), "");
    writeFileSync(join(base, "maps"), "00400000-00401000 r--p 00000000 00:06 94 /dev/x\n");
    writeFileSync(join(base, "stat"), "60 (mover) S 7 60 60 0 -1 0\n");
    expect(scanProcesses(new Set(["259:1"]), new Set(), root)).toMatchObject({
      uses: [],
      unreadable: 1,
      unread: ["60 (mover)"],
    });
    // The kernel pads addresses in maps, and not in map_files.
    symlinkSync(join(directory, "f"), join(base, "map_files/400000-401000"));
    expect(scanProcesses(new Set(["259:1"]), new Set(), root)).toMatchObject({ uses: [], unreadable: 0 });
  });

  describe("work that a pod makes", () => {
    /** A process with so many descriptors, all of one file. */
    const process = (name: string, pid: number, count: number): string => {
      const root = join(directory, name);
      const base = join(root, String(pid));
      for (const each of ["fd", "ns", "map_files", `task/${pid}`])
        mkdirSync(join(base, each), { recursive: true });
      symlinkSync("mnt:[1]", join(base, "ns/mnt"));
      for (const each of ["maps", "mountinfo"]) writeFileSync(join(base, each), "");
      writeFileSync(join(base, "stat"), `${pid} (dup loop) S 7 ${pid} ${pid} 0 -1 0\n`);
      for (let fd = 0; fd < count; fd += 1) symlinkSync("/dev/null", join(base, "fd", String(fd)));
      return root;
    };

    test("each descriptor, mapping and mount is counted once, and the last of many is still looked at", () => {
      const root = process("many", 70, 300);
      symlinkSync(join(directory, "f"), join(root, "70/fd/300"));
      writeFileSync(join(root, "70/maps"), "00400000-00401000 r--p 00000000 00:06 94 /dev/x\n");
      symlinkSync("/dev/null", join(root, "70/map_files/400000-401000"));
      const { uses, entries } = scanProcesses(new Set(["259:1"]), new Set(), root);
      expect(uses).toEqual([]);
      // The process, its descriptors, and the line of `maps` with its end.
      expect(entries).toBe(1 + 301 + 2);
      const device = deviceNumber(statSync(directory).dev);
      expect(scanProcesses(new Set([device]), new Set(), root).uses).toMatchObject([
        { pid: 70, how: "fd 300" },
      ]);
    });

    test("threads that share their descriptors cost one listing each, and their descriptors are looked at once", () => {
      const root = process("shared", 80, 40);
      for (const thread of [81, 82]) {
        mkdirSync(join(root, String(thread)), { recursive: true });
        mkdirSync(join(root, "80/task", String(thread)));
        symlinkSync(join(root, "80/fd"), join(root, String(thread), "fd"));
      }
      const { entries } = scanProcesses(new Set(["259:1"]), new Set([81, 82]), root);
      expect(entries).toBe(1 + 3 * 40 + 1);
    });

    test("a scan that takes too long names the process with the most descriptors, and says that it did not end", () => {
      const root = process("crowd", 90, 300);
      let time = 0;
      const told: string[] = [];
      const now = () => {
        time += 1_000;
        return time;
      };
      const work = createScanWork({
        procRoot: root,
        limitMs: 2_500,
        now,
        stride: 50,
        progress: (text) => told.push(text),
      });
      const { overrun, entries, uses } = scanProcesses(new Set(["259:1"]), new Set(), root, work);
      expect(overrun).toMatch(
        /^they are too many to be looked at within 2.5 s: process 90 \(dup loop\) has 1\d\d of 1\d\d /,
      );
      expect(work.overrun()).toBe(overrun);
      expect({ entries, uses }).toEqual({ entries: 150, uses: [] });
      expect(told).toHaveLength(3);
    });
  });
});
