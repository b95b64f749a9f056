import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { startTestSimulator } from "../../test/support/simulator-client.ts";
import { addLine } from "../../test/support/simulator-console.ts";
import { until } from "../../test/support/until.ts";
import { both, temporary, useSimulators } from "./simulator.fixture.ts";
import type { SimulatorOptions } from "./simulator.ts";

useSimulators();

describe("files backend and restart", () => {
  const files = (dir: string): SimulatorOptions => ({ backend: { kind: "files", dir } });
  const exportsOf = (dir: string) => readdirSync(path.join(dir, "exports"));

  test("image files are sparse and real, exports are files", async () => {
    const dir = temporary();
    const [simulator, client] = await both(files(dir));
    await client.exec("/file/add name=storage-pool/csi type=directory");
    await client.exec(
      "/disk/add type=file slot=a file-path=storage-pool/csi/a.img file-size=1G mount-filesystem=no",
    );
    const image = path.join(dir, "files/storage-pool/csi/a.img");
    expect(statSync(image)).toMatchObject({ size: 1 << 30, blocks: 0 });
    expect(exportsOf(dir)).toEqual([]);
    await client.exec(
      '/disk/set a nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.t:a.1" nvme-tcp-server-port=4421 nvme-tcp-server-allow-host-name="nqn.h:1"',
    );
    expect(exportsOf(dir)).toEqual(["nqn.t:a.1.json"]);
    expect(JSON.parse(readFileSync(path.join(dir, "exports/nqn.t:a.1.json"), "utf8"))).toEqual({
      nqn: "nqn.t:a.1",
      port: 4421,
      path: image,
      sizeBytes: "1073741824",
      slot: "a",
      allowHosts: ["nqn.h:1"],
    });
    await client.exec('/disk/set a nvme-tcp-server-nqn="nqn.t:a.2" file-size=2G');
    expect(exportsOf(dir)).toEqual(["nqn.t:a.2.json"]);
    expect(JSON.parse(readFileSync(path.join(dir, "exports/nqn.t:a.2.json"), "utf8")).sizeBytes).toBe(
      "2147483648",
    );
    expect(statSync(image).size).toBe(2 ** 31);
    await client.exec("/disk/set a nvme-tcp-export=no");
    expect(exportsOf(dir)).toEqual([]);
    await client.exec("/disk/remove a; /file/remove storage-pool/csi/a.img");
    expect(readdirSync(path.join(dir, "files/storage-pool/csi"))).toEqual([]);
    expect(simulator.device.freeBytes("storage-pool")).toBe(simulator.device.usableBytes("storage-pool"));
  });

  test("an export waits for its block device, and leaves no file under a strange name", async () => {
    const dir = temporary();
    const [, client] = await both({ ...files(dir), switches: { readyDelayMs: 80 } });
    await client.exec(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    expect(exportsOf(dir)).toEqual([]);
    await until("the export file is there", () => exportsOf(dir).length === 1);
    for (const name of ["../../evil", "a/b", ".hidden", "x y", ""]) {
      await client.exec(`/disk/set a nvme-tcp-server-nqn="${name}"`);
      expect(exportsOf(dir)).toEqual(name === "" ? ["a.json"] : []);
    }
    expect(readdirSync(dir).sort()).toEqual(["exports", "files", "ssh_host_ed25519_key", "state.json"]);
  });

  test("no path leaves the directory", async () => {
    const dir = temporary();
    const [, client] = await both(files(dir));
    for (const name of [
      "storage-pool/../../evil",
      "../evil",
      "/../evil",
      "storage-pool/./x",
      "storage-pool//x",
      "exports/x",
      "storage-pool/a\\00b",
    ]) {
      const answer = await client.exec(`/disk/add type=file slot=e file-path="${name}" file-size=4096`);
      expect(answer.stdout).toMatch(/^failure: (bad path|cannot open output file)/);
      const directory = await client.exec(`/file/add name="${name}" type=directory`);
      expect(directory.stdout).toMatch(/^failure: (bad path|cannot open output file)/);
    }
    expect(readdirSync(dir).sort()).toEqual(["exports", "files", "ssh_host_ed25519_key", "state.json"]);
    expect(readdirSync(path.join(dir, "files"))).toEqual(["storage-pool"]);
    expect(readdirSync(path.join(dir, "files/storage-pool"))).toEqual([]);
  });

  test("symbolic links are not followed out of the directory", async () => {
    const dir = temporary();
    const outside = temporary();
    const { mkdirSync, symlinkSync } = await import("node:fs");
    mkdirSync(path.join(dir, "files/storage-pool"), { recursive: true });
    const [simulator, client] = await both(files(dir));
    await client.exec("/file/add name=storage-pool/d type=directory");
    rmSync(path.join(dir, "files/storage-pool/d"), { recursive: true });
    symlinkSync(outside, path.join(dir, "files/storage-pool/d"));
    const answer = await client.exec("/disk/add type=file slot=e file-path=storage-pool/d/x file-size=4096");
    expect(answer.stdout).toContain("failure: bad path");
    expect(readdirSync(outside)).toEqual([]);
    expect(simulator.device.disks).toEqual([]);
  });

  test("a snapshot holds the bytes of its time", async () => {
    const dir = temporary();
    const [simulator, client] = await both(files(dir));
    const add = "/disk/btrfs/subvolume/add fs=storage-pool-fs";
    await client.exec(
      `${add} name=v; /disk/add type=file slot=v file-path=storage-pool/v/d file-size=8M mount-filesystem=no`,
    );
    await simulator.device.writeFile("storage-pool/v/d", 3_000_000n, "first");
    await client.exec(`${add} parent=v name=s read-only=yes`);
    await simulator.device.writeFile("storage-pool/v/d", 3_000_000n, "later");
    const copy = path.join(dir, "files/storage-pool/s/d");
    expect(readFileSync(copy).subarray(3_000_000, 3_000_005).toString()).toBe("first");
    expect(statSync(copy).size).toBe(8 << 20);
    expect(statSync(copy).blocks * 512).toBeLessThan(4 << 20);
  });

  test("a restart brings back host key, items, numbers, bytes and exports", async () => {
    const dir = temporary();
    const [first, client] = await both(files(dir));
    await client.exec(addLine("a", 'comment="c;x=\\"1\\"" nvme-tcp-export=yes nvme-tcp-server-nqn="n.1"'));
    await client.exec(
      `${addLine("gone")}; /disk/remove gone; /disk/btrfs/subvolume/add fs=storage-pool-fs name=sv`,
    );
    await first.device.writeFile("storage-pool/a.img", 100n, "bytes");
    const lastId = (await client.exec(`:put [${addLine("last")}]; /disk/remove last`)).stdout.trim();
    const row = (await client.exec(':put [/disk/print detail as-value where slot="a"]')).stdout;
    await first.stop();
    expect(exportsOf(dir)).toEqual([]);

    const [second, again] = await both(files(dir));
    expect(second.hostKeyFingerprints).toEqual(first.hostKeyFingerprints);
    expect((await again.exec(':put [/disk/print detail as-value where slot="a"]')).stdout).toBe(row);
    expect(exportsOf(dir)).toEqual(["n.1.json"]);
    expect(Buffer.from(await second.device.readFile("storage-pool/a.img", 100n, 5)).toString()).toBe("bytes");
    expect(second.device.subvolumes).toMatchObject([{ fullname: "sv" }]);
    const next = (await again.exec(`:put [${addLine("new")}]`)).stdout.trim();
    expect(Number.parseInt(next.slice(1), 16)).toBeGreaterThan(Number.parseInt(lastId.slice(1), 16));
  });

  test("what was answered is on disk, even without a proper stop", async () => {
    const dir = temporary();
    const [, client] = await both(files(dir));
    await client.exec(addLine("a"));
    expect(readFileSync(path.join(dir, "state.json"), "utf8")).toContain('"a"');
  });

  test("a subvolume that a killed simulator was making is not there, nor its files", async () => {
    const dir = temporary();
    const [first, client] = await both(files(dir));
    for (const name of ["whole", "half"])
      await client.exec(
        `/disk/btrfs/subvolume/add fs=storage-pool-fs name=${name}; /disk/add type=file slot=${name} file-path=storage-pool/${name}/d file-size=1M mount-filesystem=no; /disk/remove ${name}`,
      );
    await first.stop();
    const saved = path.join(dir, "state.json");
    const state = JSON.parse(readFileSync(saved, "utf8"));
    for (const item of state.subvolumes) if (item.fullname === "half") item.unfinished = true;
    writeFileSync(saved, JSON.stringify(state));
    const [second] = await both(files(dir));
    expect(second.device.subvolumeStore.items.map(({ fullname }) => fullname)).toEqual(["whole"]);
    expect(second.device.files.map((file) => file.path)).toEqual([
      "storage-pool",
      "storage-pool/whole",
      "storage-pool/whole/d",
    ]);
    expect(readdirSync(path.join(dir, "files/storage-pool"))).toEqual(["whole"]);
  });

  test("exports that a killed simulator left are gone when the next one starts", async () => {
    const dir = temporary();
    await Bun.write(path.join(dir, "exports/n.1.json"), "{}");
    await both(files(dir));
    expect(exportsOf(dir)).toEqual([]);
  });

  test("the directory decides which files exist", async () => {
    const dir = temporary();
    const [first, client] = await both(files(dir));
    await client.exec(addLine("a"));
    await first.stop();
    rmSync(path.join(dir, "files/storage-pool/a.img"));
    await Bun.write(path.join(dir, "files/storage-pool/new.img"), "1234");
    const [second] = await both(files(dir));
    expect(second.device.disk("a")).toMatchObject({ ready: false });
    expect(second.device.file("storage-pool/new.img")?.size).toBe(4n);
  });

  test("memory with a state directory keeps items and sizes; the bytes are zeros", async () => {
    const dir = temporary();
    const [first, client] = await both({ stateDir: dir });
    await client.exec(addLine("a"));
    await first.device.writeFile("storage-pool/a.img", 0n, "x");
    await first.stop();
    const [second] = await both({ stateDir: dir });
    expect(second.device.disk("a")?.size).toBe(1_048_576n);
    expect([...(await second.device.readFile("storage-pool/a.img", 0n, 1))]).toEqual([0]);
  });

  test("a state that cannot be read is an error, not an empty device", async () => {
    const dir = temporary();
    await Bun.write(path.join(dir, "state.json"), "{ broken");
    await expect(startTestSimulator({ stateDir: dir })).rejects.toThrow("cannot be read");
  });
});
