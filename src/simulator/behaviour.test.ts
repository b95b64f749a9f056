import { describe, expect, test } from "bun:test";
import { addLine, testConsole } from "../../test/support/simulator-console.ts";
import { box, free, useConsole } from "./behaviour.fixture.ts";

useConsole();

// Each row of the table in facts section 9.3, under the default switches.

describe("the pool", () => {
  test("its record, and what changes when it is offline or degraded", async () => {
    await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    expect(await box.rows('slot="storage-pool"')).toMatchObject([
      {
        mounted: true,
        fs: "btrfs",
        "fs-label": "storage-pool-fs",
        "mount-point": "storage-pool",
        size: 1_099_511_627_776,
        state: "clean",
      },
    ]);
    await box.device.setPool("storage-pool", { mounted: false, state: "degraded" });
    const [pool] = await box.rows('slot="storage-pool"');
    expect(pool).toMatchObject({ state: "degraded" });
    expect(pool).not.toHaveProperty("free");
    expect(pool).not.toHaveProperty("mounted");
    const [disk] = await box.rows('slot="a"');
    expect(disk).not.toHaveProperty("block-device");
    expect(disk).not.toHaveProperty("size");
    expect(box.device.liveExports).toEqual([]);
    expect(await box.put(":put [:len [/file/find]]")).toBe("0");
    await box.device.setPool("storage-pool", { mounted: true });
    expect(box.device.liveExports).toHaveLength(1);
  });

  test("an empty XFS keeps the published 0.71 percent for itself", async () => {
    const own = await testConsole({ pools: [{ slot: "raid10", fs: "xfs", size: 16_003_143_565_312n }] });
    await own.put("/disk/add type=file slot=a file-path=raid10/a file-size=1T mount-filesystem=no");
    const published = 14_789_895_307_264n;
    const difference = own.device.freeBytes("raid10") - published;
    expect(difference < 200_000_000n && difference > -200_000_000n).toBe(true);
  });
});

describe("/disk/btrfs", () => {
  const add = "/disk/btrfs/subvolume/add fs=storage-pool-fs";
  const bytes = async (path: string) =>
    Buffer.from(await box.device.readFile(path, 0n, 5)).toString("latin1");

  test("subvolume, snapshot, clone: files appear with their bytes and live apart", async () => {
    await box.put(`${add} name=vol`);
    expect(box.device.file("storage-pool/vol")?.directory).toBe(true);
    await box.put(
      "/disk/add type=file slot=v file-path=storage-pool/vol/disk.img file-size=1M mount-filesystem=no",
    );
    await box.device.writeFile("storage-pool/vol/disk.img", 0n, "first");
    const before = free();
    await box.put(`${add} parent=vol name=snap read-only=yes`);
    expect(free()).toBe(before);
    await box.device.writeFile("storage-pool/vol/disk.img", 0n, "later");
    expect(await bytes("storage-pool/snap/disk.img")).toBe("first");
    await box.put(`${add} parent=snap name=clone`);
    await box.put("/disk/add type=file slot=c file-path=storage-pool/clone/disk.img mount-filesystem=no");
    expect(box.device.disk("c")?.size).toBe(1_048_576n);
    expect(await bytes("storage-pool/clone/disk.img")).toBe("first");
    const rows = JSON.parse(
      await box.put(
        ":put [:serialize to=json options=json.no-string-conversion value=[/disk/btrfs/subvolume/print as-value]]",
      ),
    );
    expect(rows).toMatchObject([
      { name: "vol", fs: "storage-pool-fs", parent: "" },
      { name: "snap", parent: "vol", snapshot: true, "read-only": true },
      { name: "clone", parent: "snap", snapshot: true },
    ]);
    expect(rows[2]).not.toHaveProperty("read-only");
  });

  test("a snapshot inside its own source holds the source, not itself", async () => {
    await box.put(
      `${add} name=vol; /file/add name=storage-pool/vol/d type=directory; ${add} parent=vol name=vol/s`,
    );
    expect(box.device.files.map((file) => file.path)).toEqual([
      "storage-pool",
      "storage-pool/vol",
      "storage-pool/vol/d",
      "storage-pool/vol/s",
      "storage-pool/vol/s/d",
    ]);
    expect(await box.fail('/disk/btrfs/subvolume/remove [find where fullname="vol"]')).toBe(
      "failure: Directory not empty",
    );
  });

  test("a read-only snapshot cannot be written to", async () => {
    await box.put(`${add} name=vol; ${add} parent=vol name=snap read-only=yes`);
    expect(await box.fail(`${add} name=snap/x`)).toBe("failure: Read-only file system");
    expect(await box.fail("/file/add name=storage-pool/snap/x type=directory")).toBe(
      "failure: read-only file system",
    );
    expect(await box.fail("/disk/add type=file slot=x file-path=storage-pool/snap/x file-size=1M")).toBe(
      "failure: read-only file system",
    );
  });

  test("names may be nested; name is the last part, fullname all of it", async () => {
    await box.put(`${add} name=Snapshots; ${add} name=v; ${add} parent=v name=Snapshots/s1 read-only=yes`);
    expect(await box.put(":put [/disk/btrfs/subvolume/get [find where fullname=Snapshots/s1] name]")).toBe(
      "s1",
    );
  });

  test.each([
    ["taken name", `${add} name=vol`, "failure: File exists"],
    ["unknown label", "/disk/btrfs/subvolume/add fs=nope name=x", "input does not match any value of fs"],
    ["unknown parent", `${add} parent=nope name=x`, "input does not match any value of parent"],
    ["no label", "/disk/btrfs/subvolume/add name=x", "missing value(s) of argument(s) fs"],
    ["missing directory", `${add} name=no/x`, "failure: No such file or directory"],
    ["path upwards", `${add} name=../x`, "failure: bad path"],
  ])("refuses: %s", async (_what, line, message) => {
    await box.put(`${add} name=vol`);
    expect(await box.line(line)).toMatchObject({ outcome: "runtime-error", error: message, mutated: false });
  });

  test("removal takes the files with it and gives the space back, unless a disk uses one", async () => {
    const before = free();
    await box.put(`${add} name=vol`);
    await box.put("/disk/add type=file slot=v file-path=storage-pool/vol/d file-size=1M mount-filesystem=no");
    const remove = '/disk/btrfs/subvolume/remove [find where name="vol" and fs="storage-pool-fs"]';
    expect(await box.fail(remove)).toBe("failure: could not unmount, stop using it first");
    await box.put(`/disk/remove v; ${remove}`);
    expect(box.device.subvolumes).toEqual([]);
    expect(box.device.file("storage-pool/vol")).toBeUndefined();
    expect(free()).toBe(before);
    await box.put(`${add} name=vol`);
  });

  test("does not exist before 7.18 and not on other file systems", async () => {
    const old = await testConsole({ switches: { version: "7.17.2 (stable)" } });
    expect(await old.fail("/disk/btrfs/subvolume/print")).toContain("bad command name btrfs");
    const xfs = await testConsole({ pools: [{ slot: "p", fs: "xfs", size: 1n << 30n }] });
    expect(await xfs.fail("/disk/btrfs/subvolume/add fs=p-fs name=x")).toBe(
      "input does not match any value of fs",
    );
  });
});

describe("copies", () => {
  test("/disk/copy copies bytes and reports progress", async () => {
    await box.put(`${addLine("a")}; ${addLine("b")}`);
    await box.device.writeFile("storage-pool/a.img", 500_000n, "data!");
    expect(await box.put("/disk/copy src=a dst=b")).toBe("0 / 1048576 (0%)\n1048576 / 1048576 (100%)");
    expect(Buffer.from(await box.device.readFile("storage-pool/b.img", 500_000n, 5)).toString()).toBe(
      "data!",
    );
    await box.put(
      "/disk/add type=file slot=small file-path=storage-pool/small file-size=4096 mount-filesystem=no",
    );
    expect(await box.fail("/disk/copy src=a dst=small")).toBe("failure: destination is too small");
    expect(await box.fail("/disk/copy src=a dst=none")).toBe("no such item");
  });

  test("/file/copy copies a file, from 7.23 on", async () => {
    await box.put(addLine("a"));
    await box.device.writeFile("storage-pool/a.img", 0n, "abc");
    await box.put("/file/copy storage-pool/a.img name=storage-pool/b.img");
    expect(Buffer.from(await box.device.readFile("storage-pool/b.img", 0n, 3)).toString()).toBe("abc");
    expect(await box.fail("/file/copy storage-pool/a.img name=storage-pool/b.img")).toBe(
      "failure: file exists",
    );
    expect(await box.fail("/file/copy storage-pool/none name=storage-pool/c")).toBe("no such item");
    const old = await testConsole({ switches: { version: "7.22.3 (stable)" } });
    expect(await old.fail("/file/copy a name=b")).toContain("bad command name copy");
  });
});

describe("/file", () => {
  test("directories and files: add, list, remove", async () => {
    const before = free();
    await box.put("/file/add name=storage-pool/csi type=directory");
    expect(await box.fail("/file/add name=storage-pool/csi type=directory")).toBe("failure: file exists");
    expect(await box.fail("/file/add name=storage-pool/no/x type=directory")).toBe(
      "failure: cannot open output file",
    );
    await box.put(
      "/disk/add type=file slot=a file-path=storage-pool/csi/a.img file-size=1M mount-filesystem=no; /disk/remove a",
    );
    expect(await box.fail("/file/remove storage-pool/csi")).toBe("failure: directory not empty");
    expect(await box.put(':put [:len [/file/find where name="storage-pool/csi/a.img"]]')).toBe("1");
    const listed = JSON.parse(
      await box.put(
        ':put [:serialize to=json options=json.no-string-conversion value=[/file/print as-value path="storage-pool/csi"]]',
      ),
    );
    expect(listed).toMatchObject([{ name: "storage-pool/csi/a.img", type: ".img file", size: 1_048_576 }]);
    expect(listed[0][".id"]).toMatch(/^\*\*[0-9A-F]+$/);
    await box.put('/file/remove [/file/find where name="storage-pool/csi/a.img"]');
    expect(free()).toBe(before);
    await box.put("/file/remove storage-pool/csi; /file/remove [find where name=storage-pool/csi]");
    expect(box.device.file("storage-pool/csi")).toBeUndefined();
    expect(await box.fail("/file/remove storage-pool")).toBe("failure: could not remove");
  });

  test("text sizes are rounded, as-value sizes exact", async () => {
    await box.put(
      "/disk/add type=file slot=a file-path=storage-pool/a.img file-size=10G mount-filesystem=no",
    );
    expect(await box.put('/file/print detail where name="storage-pool/a.img"')).toContain(
      "type=.img file size=10.0GiB",
    );
  });
});

describe("system", () => {
  test("version, identity, resource", async () => {
    expect(await box.put(":put [/system/resource/get version]")).toBe("7.24.5 (stable)");
    expect(await box.put(":put [/system/identity/get name]")).toBe("rds-simulator");
    await box.put("/system/identity/set name=other");
    expect(await box.put(":put [/system/identity/get name]")).toBe("other");
    box.clock.advance(3_600_000);
    const row = JSON.parse(
      await box.put(
        ":put [:serialize to=json options=json.no-string-conversion value=[/system/resource/print as-value]]",
      ),
    );
    expect(row).toMatchObject({
      version: "7.24.5 (stable)",
      uptime: "01:00:00",
      "architecture-name": "arm64",
    });
    expect(await box.put("/system/health/print")).toContain("cpu-temperature");
    expect(await box.put(":put [/ip/ssh/get host-key-type]")).toBe("ed25519");
    expect(await box.put(":put [/ip/service/get ssh max-sessions]")).toBe("20");
    await box.put("/log/info hello");
    expect(box.device.management.journal.messages).toContain("hello");
  });

  test("missing policies", async () => {
    await box.put(addLine("a"));
    const read = { policies: ["ssh", "read"] as const };
    expect(await box.line("/disk/remove a", read)).toMatchObject({
      error: "not enough permissions (9)",
      mutated: false,
    });
    expect(await box.line(":put [/disk/get a slot]", read)).toMatchObject({ outcome: "ok", output: ["a"] });
    expect(await box.line("/disk/print", { policies: ["ssh"] })).toMatchObject({
      error: "not enough permissions (9)",
    });
    expect(await box.line(":put 1", { policies: ["ssh"] })).toMatchObject({ outcome: "ok" });
  });
});
