import { describe, expect, test } from "bun:test";
import { startTestSimulator } from "../../test/support/simulator-client.ts";
import { testConsole } from "../../test/support/simulator-console.ts";
import { box, useConsole } from "./behaviour.fixture.ts";
import { PROFILES } from "./profiles.ts";
import { withSwitches } from "./switches.fixture.ts";

useConsole();

const FS = 'fs="storage-pool-fs"';
const add = `/disk/btrfs/subvolume/add ${FS}`;
const find = `/disk/btrfs/subvolume/find where ${FS}`;
const SERIALIZE = ":serialize to=json options=json.no-string-conversion";
const disk = (slot: string, more = "") =>
  `/disk/add type=file slot="${slot}" file-path="storage-pool/csi/${slot}/disk.img" mount-filesystem=no ${more}`;
const volume = (slot: string) => `${add} name="csi/${slot}"; ${disk(slot, "file-size=1048576")}`;
const directory = "/file/add name=storage-pool/csi type=directory";

describe("the time", () => {
  test(":timestamp is a duration since the epoch in UTC, :tonsec its nanoseconds as a number", async () => {
    box.clock.advance(25_425_123);
    const nanoseconds = BigInt(box.clock.now()) * 1_000_000n;
    expect(await box.put(":put [:timestamp]; :put [:typeof [:timestamp]]")).toBe("2968w3d07:03:45.123\ntime");
    expect(await box.put(":put [:tonsec [:timestamp]]")).toBe(String(nanoseconds + 2n));
    expect(await box.put(":put ([:tonsec [:timestamp]] / 1000000000)")).toBe(
      String(nanoseconds / 1_000_000_000n),
    );
    expect(await box.put(":put [:typeof [:tonsec [:timestamp]]]; :put [:tonsec 1m]; :put [:tonsec x]")).toBe(
      "num\n60000000000\n",
    );
  });

  test("no two timestamps of a millisecond are equal, and all have their nanoseconds", async () => {
    expect(await box.put(":put [:timestamp]; :put [:timestamp]; :put ([:timestamp] - [:timestamp])")).toBe(
      "2968w3d00:00:00\n2968w3d00:00:00.000000001\n-00:00:00.000000001",
    );
    expect(await box.put(":put (1s + 500ms); :put (1s < 1500ms); :put (2s = 2000ms)")).toBe(
      "00:00:01.500\ntrue\ntrue",
    );
  });

  test("gmt-offset: what is printed is local time, :timestamp stays", async () => {
    const east = await withSwitches({ gmtOffset: "+05:45" });
    await east.put(`${add} name=v; ${directory}`);
    expect(await east.put(`:put [/disk/btrfs/subvolume/get [${find}] creation-time]`)).toBe(
      "2026-11-22 05:45:00",
    );
    expect(await east.put(":put [/file/get storage-pool/csi last-modified]")).toBe("2026-11-22 05:45:00");
    expect(await east.put(":put [:timestamp]")).toBe("2968w3d00:00:00");
    const west = await withSwitches({ gmtOffset: "-08:00" });
    await west.put(`${add} name=v`);
    expect(await west.put(`:put [/disk/btrfs/subvolume/get [${find}] creation-time]`)).toBe(
      "2026-11-21 16:00:00",
    );
    expect(startTestSimulator({ switches: { gmtOffset: "Europe/Riga" } })).rejects.toThrow(
      'gmt-offset: "Europe/Riga" is not an offset such as +05:45',
    );
  });
});

describe.each(Object.entries(PROFILES).filter(([name]) => name !== "too-old"))(
  "the lines of a driver with profile %s",
  (_name, { switches }) => {
    test("snapshot with the time in its name, found without its dead, read in three forms, removed", async () => {
      const own = await testConsole({ switches, width: switches.wrapWidth ?? 0 });
      await own.put(`${directory}; ${volume("csi-0a")}`);
      const parent = switches.snapshotParent === "name" ? "csi-0a" : "csi/csi-0a";
      const cut = `:local t [:tonsec [:timestamp]]; ${add} parent="${parent}" name=("csi/snap-1b.1.x." . $t) read-only=yes`;
      const enveloped = (line: string) =>
        `:onerror e in={ ${line}; :put "done" } do={ :put ("failed: " . $e) }`;
      const time = String(BigInt(own.clock.now()) * 1_000_000n);
      expect(await own.put(enveloped(cut))).toBe("done");
      const name = `csi/snap-1b.1.x.${time}`;
      const where = `${FS} and fullname~"^/?csi/snap-1b\\\\." and !dead`;
      expect(await own.put(`:put [:len [/disk/btrfs/subvolume/find where ${where}]]`)).toBe("1");
      const printed = `[/disk/btrfs/subvolume/print detail as-value where ${where}]`;
      const rows = JSON.parse((await own.put(`:put [${SERIALIZE} value=${printed}]`)).replace(/\n/g, ""));
      const slash = switches.fullnameSlash === "with" ? "/" : "";
      expect(rows).toMatchObject([
        {
          name: `snap-1b.1.x.${time}`,
          fullname: slash + name,
          parent: `${slash}csi/csi-0a`,
          snapshot: true,
          "read-only": true,
        },
      ]);
      const each = `:foreach i in=[/disk/btrfs/subvolume/find where ${where}] do={ :put [/disk/btrfs/subvolume/get $i name] }`;
      expect((await own.put(each)).replace(/\n/g, "")).toBe(`snap-1b.1.x.${time}`);
      const detail = await own.put(`/disk/btrfs/subvolume/print detail without-paging where ${where}`);
      expect(detail.replace(/\n\s*/g, "")).toContain(`fullname=${slash}${name}`);
      const remove = `:local found [/disk/btrfs/subvolume/find where ${where}]; /disk/btrfs/subvolume/remove $found`;
      expect(await own.put(enveloped(remove))).toBe("done");
      expect(await own.put(`:put [:len [/disk/btrfs/subvolume/find where ${where}]]`)).toBe("0");
      expect(own.device.files.filter((file) => file.path.includes("snap"))).toEqual([]);
      const isDead = switches.subvolumeRemoval === "dead";
      expect(await own.put(`:put [:len [${find} dead]]`)).toBe(isDead ? "1" : "0");
      own.clock.advance(500);
      expect(await own.put(`:put [:len [${find} dead]]`)).toBe("0");
    });
  },
);

describe("each switch of subvolumes has an effect", () => {
  const parents = async (snapshotParent: "any" | "fullname" | "name") => {
    const own = await withSwitches({ snapshotParent });
    await own.put(`${directory}; ${add} name=csi/v`);
    const outcomes = [];
    for (const [at, parent] of ["csi/v", "/csi/v", "v", "nope"].entries())
      outcomes.push((await own.line(`${add} name=s${at} parent="${parent}"`)).error);
    return outcomes;
  };
  const unknown = "input does not match any value of parent";

  test("snapshot-parent", async () => {
    expect(await parents("any")).toEqual([undefined, undefined, undefined, unknown]);
    expect(await parents("fullname")).toEqual([undefined, undefined, unknown, unknown]);
    expect(await parents("name")).toEqual([unknown, unknown, undefined, unknown]);
  });

  test("fullname-slash", async () => {
    const own = await withSwitches({ fullnameSlash: "with" });
    await own.put(`${directory}; ${add} name=csi/v; ${add} name=csi/s parent=csi/v`);
    const values = "$[/disk/btrfs/subvolume/get $i fullname] $[/disk/btrfs/subvolume/get $i parent]";
    const each = `:foreach i in=[${find}] do={ :put "${values} $[/disk/btrfs/subvolume/get $i snapshots]" }`;
    expect(await own.put(each)).toBe("/csi/v  /csi/s\n/csi/s /csi/v ");
  });

  test("dead-name", async () => {
    const again = async (deadName: "free" | "taken") => {
      const own = await withSwitches({ subvolumeRemoval: "dead", deadName });
      await own.put(`${add} name=v; /disk/btrfs/subvolume/remove [${find}]`);
      const first = (await own.line(`${add} name=v`)).error;
      own.clock.advance(500);
      return [first, (await own.line(`${add} name=w`)).error, (await own.line(`${add} name=v`)).error];
    };
    expect(await again("free")).toEqual([undefined, undefined, "failure: File exists"]);
    expect(await again("taken")).toEqual(["failure: File exists", undefined, undefined]);
  });

  test("dead-fullname", async () => {
    const row = async (deadFullname: "kept" | "absent") => {
      const own = await withSwitches({ subvolumeRemoval: "dead", deadFullname });
      await own.put(`${add} name=v; /disk/btrfs/subvolume/remove [${find}]`);
      const [dead] = JSON.parse(
        await own.put(`:put [${SERIALIZE} value=[/disk/btrfs/subvolume/print as-value]]`),
      );
      return dead;
    };
    expect(await row("kept")).toMatchObject({
      dead: true,
      name: "v",
      fullname: "v",
      path: "/storage-pool/v",
    });
    const absent = await row("absent");
    expect(absent).toMatchObject({ dead: true, fs: "storage-pool-fs" });
    for (const name of ["name", "fullname", "path"]) expect(absent).not.toHaveProperty(name);
  });
});

describe("a subvolume", () => {
  test("of a pool that is not mounted is not listed, and comes back with it", async () => {
    await box.put(`${directory}; ${volume("csi-0a")}`);
    await box.device.setPool("storage-pool", { mounted: false });
    expect(await box.put(`:put [:len [${find}]]`)).toBe("0");
    expect(await box.fail(`${add} name=x`)).toBe("input does not match any value of fs");
    await box.device.setPool("storage-pool", { mounted: true });
    expect(await box.put(`:put [:len [${find}]]`)).toBe("1");
  });

  test("has a directory that /file finds and cannot remove", async () => {
    await box.put(`${directory}; ${add} name=csi/v; ${add} name=csi/s parent=csi/v read-only=yes`);
    for (const name of ["storage-pool/csi/v", "storage-pool/csi/s", "storage-pool/csi"]) {
      expect(await box.put(`:put [:len [/file/find where name="${name}"]]`)).toBe("1");
      expect((await box.line(`/file/remove [/file/find where name="${name}"]`)).outcome).toBe(
        "runtime-error",
      );
    }
    expect(box.device.subvolumes).toHaveLength(2);
  });

  test("lists its snapshots until they are removed, also when another has its name", async () => {
    const snapshots = `:put [/disk/btrfs/subvolume/get [${find} fullname=v] snapshots]`;
    await box.put(`${add} name=v; ${add} name=a parent=v; ${add} name=b parent=v`);
    expect(await box.put(snapshots)).toBe("a,b");
    await box.put(`/disk/btrfs/subvolume/remove [${find} fullname=a]`);
    expect(await box.put(snapshots)).toBe("b");
    await box.put(`/disk/btrfs/subvolume/remove [${find} fullname=v]; ${add} name=v`);
    expect(await box.put(snapshots)).toBe("");
  });

  test("with a nested one or the file of a disk is not removed; the dead one loses its files at once", async () => {
    const own = await withSwitches({ subvolumeRemoval: "dead" });
    await own.put(`${directory}; ${volume("csi-0a")}; ${add} name=csi/csi-0a/inner`);
    const remove = (name: string) => `/disk/btrfs/subvolume/remove [${find} fullname="${name}"]`;
    expect(await own.fail(remove("csi/csi-0a"))).toBe("failure: could not unmount, stop using it first");
    await own.put("/disk/remove csi-0a");
    expect(await own.fail(remove("csi/csi-0a"))).toBe("failure: Directory not empty");
    await own.put(`${remove("csi/csi-0a/inner")}; ${remove("csi/csi-0a")}`);
    expect(own.device.files.map(({ path }) => path)).toEqual(["storage-pool", "storage-pool/csi"]);
    expect(own.device.subvolumes).toHaveLength(2);
    expect(await own.fail(remove("csi/csi-0a"))).toBe("no such item");
  });

  test("that holds the disk of a clone: uses the file with its size, grows when told", async () => {
    await box.put(`${directory}; ${volume("csi-0a")}`);
    await box.put(
      `${add} name=csi/snap-1 parent=csi/csi-0a read-only=yes; ${add} name=csi/csi-1b parent=csi/snap-1`,
    );
    await box.put(disk("csi-1b"));
    expect(box.device.disk("csi-1b")?.size).toBe(1_048_576n);
    const grow = (size: number) =>
      `/disk/set [/disk/find where slot="csi-1b" and size<${size}] file-size=${size}`;
    await box.put(`${grow(2_097_152)}; ${grow(1_048_576)}`);
    expect(box.device.disk("csi-1b")?.size).toBe(2_097_152n);
    expect(box.device.file("storage-pool/csi/snap-1/disk.img")?.size).toBe(1_048_576n);
  });
});
