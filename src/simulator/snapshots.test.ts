import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { testConsole } from "../../test/support/simulator-console.ts";
import { box, free, useConsole } from "./behaviour.fixture.ts";
import { both, login, temporary, useSimulators } from "./simulator.fixture.ts";

useConsole();
useSimulators();

const FS = 'fs="storage-pool-fs"';
const add = `/disk/btrfs/subvolume/add ${FS}`;
const remove = (fullname: string) =>
  `/disk/btrfs/subvolume/remove [/disk/btrfs/subvolume/find where ${FS} and fullname="${fullname}"]`;
const disk = (slot: string, more = "") =>
  `/disk/add type=file slot="${slot}" file-path="storage-pool/${slot}/disk.img" mount-filesystem=no ${more}`;
const MIB = 1 << 20;
const write = (slot: string, offset: number, bytes: number, fill = 1) =>
  box.device.writeFile(`storage-pool/${slot}/disk.img`, BigInt(offset), new Uint8Array(bytes).fill(fill));

describe("space of snapshots", () => {
  test("prealloc: a volume takes its size, a snapshot only what diverged, which stays when its source goes", async () => {
    const empty = free();
    await box.put(`${add} name=v; ${disk("v", "file-size=64M")}`);
    await write("v", 0, 8 * MIB);
    await box.put(`${add} name=s parent=v read-only=yes`);
    expect(empty - free()).toBe(BigInt(64 * MIB));
    await write("v", 0, MIB, 2);
    await write("v", 32 * MIB, MIB);
    expect(empty - free()).toBe(BigInt(65 * MIB));
    await box.put(`${add} name=s2 parent=s; ${add} name=s3 parent=s`);
    expect(empty - free()).toBe(BigInt(65 * MIB));
    await box.put(`/disk/remove v; ${remove("v")}`);
    expect(empty - free()).toBe(BigInt(8 * MIB));
    await box.put(`${remove("s")}; ${remove("s2")}; ${remove("s3")}`);
    expect(free()).toBe(empty);
  });

  test("prealloc: a clone that grows takes the growth, and is refused what the pool has not", async () => {
    const own = await testConsole({
      pools: [{ slot: "storage-pool", fs: "btrfs", size: BigInt(100 * MIB) }],
    });
    const before = () => own.device.freeBytes("storage-pool");
    await own.put(`${add} name=v; ${disk("v", "file-size=60M")}; ${add} name=c parent=v; ${disk("c")}`);
    await own.device.addFile("storage-pool/other", BigInt(20 * MIB));
    const full = before();
    await own.put("/disk/set c file-size=70M");
    expect(full - before()).toBe(BigInt(10 * MIB));
    expect(await own.fail("/disk/set c file-size=85M")).toBe("failure: no space left on device");
    await own.put("/disk/set c file-size=75M");
    expect(full - before()).toBe(BigInt(15 * MIB));
    await own.put(`/disk/remove c; ${remove("c")}`);
    expect(before()).toBe(full);
  });

  test("sparse: all that was written, shared pages once", async () => {
    const own = await testConsole({ switches: { allocation: "sparse" } });
    const pool = () => own.device.freeBytes("storage-pool");
    const empty = pool();
    await own.put(`${add} name=v; ${disk("v", "file-size=64M")}`);
    await own.device.writeFile("storage-pool/v/disk.img", 0n, new Uint8Array(8 * MIB).fill(1));
    await own.put(`${add} name=s parent=v read-only=yes`);
    expect(empty - pool()).toBe(BigInt(8 * MIB));
    await own.device.writeFile("storage-pool/v/disk.img", 0n, new Uint8Array(MIB).fill(2));
    expect(empty - pool()).toBe(BigInt(9 * MIB));
  });

  test("a snapshot of 1 TiB takes its written pages only", async () => {
    const own = await testConsole({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 4n << 40n }] });
    await own.put(`${add} name=v; ${disk("v", "file-size=1T")}`);
    await own.device.writeFile("storage-pool/v/disk.img", 1n << 39n, "middle");
    await own.put(`${add} name=s parent=v read-only=yes; ${add} name=c parent=s; ${disk("c")}`);
    expect(own.device.disk("c")?.size).toBe(1n << 40n);
    const bytes = await own.device.readFile("storage-pool/c/disk.img", 1n << 39n, 6);
    expect(Buffer.from(bytes).toString()).toBe("middle");
    expect(await own.device.backend.allocated("storage-pool/c/disk.img")).toBe(4096n);
  });
});

describe("a snapshot", () => {
  test("holds all files of its source as they were at one instant", async () => {
    await box.put(`${add} name=v; ${disk("v", "file-size=1M")}`);
    for (const at of [1, 2, 3]) await box.device.addFile(`storage-pool/v/${at}`, 4096n);
    const contents = (folder: string) =>
      Promise.all([1, 2, 3].map(async (at) => (await box.device.readFile(`${folder}/${at}`, 0n, 1))[0] ?? 0));
    for (let cut = 1; cut <= 20; cut += 1) {
      const cutting = box.put(`${add} name=s${cut} parent=v read-only=yes`);
      // The writer writes all three at once, and lets the cut go on a step between two rounds.
      let isCut = false;
      void cutting.finally(() => {
        isCut = true;
      });
      for (let round = 0; !isCut && round < 10_000; round += 1) {
        const bytes = new Uint8Array([round % 256]);
        await Promise.all([1, 2, 3].map((at) => box.device.backend.write(`storage-pool/v/${at}`, 0n, bytes)));
      }
      await cutting;
      const [one = 0, ...others] = await contents(`storage-pool/s${cut}`);
      expect(others).toEqual([one, one]);
    }
  });

  test("that fails in the middle leaves nothing", async () => {
    await box.put(
      `${add} name=v; ${disk("v", "file-size=1M")}; /file/add name=storage-pool/v/d type=directory`,
    );
    const { clone } = box.device.backend;
    box.device.backend.clone = async () => {
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    };
    expect(await box.fail(`${add} name=s parent=v`)).toBe("failure: no space left on device");
    box.device.backend.clone = clone;
    expect(box.device.file("storage-pool/s")).toBeUndefined();
    expect(box.device.subvolumes).toHaveLength(1);
    await box.put(`${add} name=s parent=v`);
  });

  test("that is read-only refuses every change, and is no block device", async () => {
    await box.put(`${add} name=v; ${disk("v", "file-size=1M")}; ${add} name=s parent=v read-only=yes`);
    const refused = "failure: read-only file system";
    for (const line of [
      "/file/add name=storage-pool/s/d type=directory",
      "/file/remove storage-pool/s/disk.img",
      "/file/copy storage-pool/v/disk.img name=storage-pool/s/copy",
      disk("s"),
    ])
      expect([line, await box.fail(line)]).toEqual([line, refused]);
    expect(write("s", 0, 1)).rejects.toThrow(refused);
    // An item whose subvolume went and came back as a read-only snapshot.
    box.switches.subvolumeInUse = "allowed";
    await box.put(`${add} name=w; ${disk("w", "file-size=1M nvme-tcp-export=yes nvme-tcp-server-nqn=n")}`);
    expect(box.device.liveExports).toHaveLength(1);
    await box.put(`${remove("w")}; ${add} name=w parent=v read-only=yes`);
    expect(box.device.disk("w")?.ready).toBe(false);
    expect(box.device.liveExports).toEqual([]);
    expect(await box.fail("/disk/set w file-size=2M")).toBe(refused);
    expect(box.device.file("storage-pool/w/disk.img")?.size).toBe(BigInt(MIB));
  });
});

describe("faults and a restart", () => {
  const cut = `${add} name=s parent=v read-only=yes`;

  test("a lost reply, a cut line and a cut within a line: each is done or not, and is in the journals", async () => {
    const [simulator, client] = await both();
    await client.exec(`${add} name=v`);
    const names = () => simulator.device.subvolumes.map(({ fullname }) => fullname).join();
    const last = () => simulator.commands.at(-1);
    simulator.faults.cutBefore({ line: /name=s / });
    await client.exec(cut);
    expect([names(), last()?.outcome, last()?.mutated]).toEqual(["v", "cut", false]);
    simulator.faults.cutAfter({ line: /name=s / });
    await (await login(simulator)).exec(cut);
    expect([names(), last()?.outcome, last()?.mutated]).toEqual(["v,s", "cut", true]);
    simulator.faults.cutMidway(1, { line: /remove/ });
    await (await login(simulator)).exec(`${remove("s")}; ${remove("v")}`);
    expect([names(), last()?.outcome, last()?.mutated]).toEqual(["v", "cut", true]);
    simulator.faults.diskFull({ line: /name=s / });
    expect((await (await login(simulator)).exec(cut)).stdout).toContain("no space left");
    expect(names()).toBe("v");
    expect(
      simulator.device.management.journal.messages.filter((line) => line.startsWith("subvolume")),
    ).toEqual([
      expect.stringMatching(/^subvolume added by ssh:csi@127.0.0.1 \(\*\w+ = .* name=v\)$/),
      expect.stringMatching(/^subvolume added by ssh:csi@127.0.0.1 \(\*\w+ = .* name=s\)$/),
      expect.stringMatching(/^subvolume removed by ssh:csi@127.0.0.1 \(\*\w+\)$/),
    ]);
  });

  test("files: subvolumes, their parents, times and space are back; one whose directory is gone is not", async () => {
    const dir = temporary();
    const options = { backend: { kind: "files", dir } as const };
    const [first, client] = await both(options);
    await client.exec(`${add} name=v; ${disk("v", "file-size=8M")}; ${cut}; ${add} name=gone`);
    const shown = "/disk/btrfs/subvolume/print detail where name!=gone";
    const before = (await client.exec(shown)).stdout;
    const space = first.device.freeBytes("storage-pool");
    await first.stop();
    expect(readdirSync(path.join(dir, "files/storage-pool")).toSorted()).toEqual(["gone", "s", "v"]);
    expect(statSync(path.join(dir, "files/storage-pool/s/disk.img")).size).toBe(8 * MIB);
    await Bun.$`rmdir ${path.join(dir, "files/storage-pool/gone")}`.quiet();

    const [second, again] = await both(options);
    expect((await again.exec(shown)).stdout).toBe(before);
    expect(second.device.subvolumes.map(({ fullname }) => fullname)).toEqual(["v", "s"]);
    expect(second.device.freeBytes("storage-pool")).toBe(space);
    expect((await again.exec(`${add} name=x parent=gone`)).stdout).toContain("any value of parent");
    expect((await again.exec("/file/add name=storage-pool/s/x type=file")).stdout).toContain("read-only");
    await again.exec(`${remove("s")}`);
    expect(existsSync(path.join(dir, "files/storage-pool/s"))).toBe(false);
  });

  test("files: a snapshot takes the blocks of its files, and one that fails leaves none", async () => {
    const dir = temporary();
    const [simulator, client] = await both({ backend: { kind: "files", dir } });
    const space = () => simulator.device.freeBytes("storage-pool");
    await client.exec(`${add} name=v; ${disk("v", "file-size=8M")}`);
    await simulator.device.writeFile("storage-pool/v/disk.img", 0n, new Uint8Array(MIB).fill(1));
    const before = space();
    await client.exec(`${cut}; :put 1`);
    await client.exec(":put 1");
    expect(before - space()).toBe(await simulator.device.backend.allocated("storage-pool/s/disk.img"));
    expect(before - space() >= BigInt(MIB)).toBe(true);
    const pairs = [
      ["storage-pool/v/disk.img", "storage-pool/one"],
      ["storage-pool/v/none", "storage-pool/two"],
    ] as const;
    await expect(simulator.device.backend.clone(pairs)).rejects.toThrow();
    expect(readdirSync(path.join(dir, "files/storage-pool")).toSorted()).toEqual(["s", "v"]);
  });
});
