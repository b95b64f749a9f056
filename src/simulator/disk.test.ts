import { beforeEach, describe, expect, test } from "bun:test";
import { addLine, testConsole } from "../../test/support/simulator-console.ts";
import { box, free, useConsole } from "./behaviour.fixture.ts";

useConsole();

// Each row of the table in facts section 9.3, under the default switches.

describe("/disk add", () => {
  test("makes the item, the file and the block device, and takes the space", async () => {
    const before = free();
    expect(await box.put(addLine("a", 'comment="c"'))).toBe("");
    expect(box.device.disk("a")).toMatchObject({
      size: 1_048_576n,
      ready: true,
      comment: "c",
      exported: false,
    });
    expect(box.device.file("storage-pool/a.img")).toMatchObject({ size: 1_048_576n });
    expect(before - free()).toBe(1_048_576n);
  });

  test("gives the new item number inside :put, increasing and in hexadecimal", async () => {
    const ids: number[] = [];
    for (let at = 0; at < 12; at += 1) {
      const id = await box.put(`:put [${addLine(`s${at}`)}]`);
      expect(id).toMatch(/^\*[0-9A-F]+$/);
      ids.push(Number.parseInt(id.slice(1), 16));
    }
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(new Set(ids).size).toBe(12);
  });

  test("understands binary units and sizes beyond 2^53", async () => {
    const own = await testConsole({ pools: [{ slot: "big", fs: "xfs", size: 1n << 62n }] });
    const size = (1n << 60n) + 1n;
    for (const [slot, text, bytes] of [
      ["m", "512M", 512n << 20n],
      ["g", "50G", 50n << 30n],
      ["t", "1T", 1n << 40n],
      ["e", String(size), size],
    ] as const) {
      await own.put(
        `/disk/add type=file slot=${slot} file-path=big/${slot} file-size=${text} mount-filesystem=no`,
      );
      expect(own.device.disk(slot)?.size).toBe(bytes);
      expect(await own.put(`:put [/disk/get ${slot} size]`)).toBe(String(bytes));
    }
    const json = await own.put(':put [:serialize to=json value=[/disk/print as-value where slot="e"]]');
    expect(json).toContain(`"size":${size},`);
  });

  test("names the slot after the path when none is given, and mounts by default", async () => {
    await box.put("/disk/add type=file file-path=/storage-pool/x.img file-size=1M");
    expect(box.device.disk("file-storage-pool-x.img")).toMatchObject({ mountFilesystem: true });
  });

  test.each([
    ["duplicate slot", addLine("a"), "failure: already have such entry"],
    [
      "slot of the pool",
      "/disk/add type=file slot=storage-pool file-path=storage-pool/q file-size=1M",
      "failure: already have such entry",
    ],
    [
      "slot of the hardware",
      "/disk/add type=file slot=nvme1 file-path=storage-pool/q file-size=1M",
      "failure: already have such entry",
    ],
    [
      "file of another item",
      "/disk/add type=file slot=b file-path=/storage-pool/a.img",
      "failure: file is in use by another disk",
    ],
    [
      "more than there is",
      "/disk/add type=file slot=b file-path=storage-pool/b file-size=2T",
      "failure: no space left on device",
    ],
    [
      "missing directory",
      "/disk/add type=file slot=b file-path=storage-pool/no/b file-size=1M",
      "failure: cannot open output file",
    ],
    [
      "unknown pool",
      "/disk/add type=file slot=b file-path=nowhere/b file-size=1M",
      "failure: cannot open output file",
    ],
    [
      "path upwards",
      "/disk/add type=file slot=b file-path=storage-pool/../b file-size=1M",
      "failure: bad path",
    ],
    ["no type", "/disk/add slot=b", "missing value(s) of argument(s) type"],
    ["no path", "/disk/add type=file slot=b", "missing value(s) of argument(s) file-path"],
    [
      "no size",
      "/disk/add type=file slot=b file-path=storage-pool/b",
      "missing value(s) of argument(s) file-size",
    ],
    [
      "size zero",
      "/disk/add type=file slot=b file-path=storage-pool/b file-size=0",
      "value of file-size out of range (1..9223372036854775807)",
    ],
    [
      "size with rubbish",
      "/disk/add type=file slot=b file-path=storage-pool/b file-size=1Q",
      "value of file-size contains invalid trailing characters",
    ],
    [
      "size in words",
      "/disk/add type=file slot=b file-path=storage-pool/b file-size=big",
      "invalid value for argument file-size",
    ],
    [
      "port too high",
      "/disk/add type=file slot=b file-path=storage-pool/b file-size=1M nvme-tcp-server-port=70000",
      "value of nvme-tcp-server-port out of range (1..65535)",
    ],
    [
      "slot of 33 characters",
      `/disk/add type=file slot=${"x".repeat(33)} file-path=storage-pool/b file-size=1M`,
      "failure: bad name",
    ],
    ["another type", "/disk/add type=tmpfs slot=b", "failure: only type=file is simulated"],
  ])("refuses: %s, and leaves nothing", async (_what, line, message) => {
    await box.put(addLine("a"));
    const before = JSON.stringify([box.device.disks, box.device.files], (_k, v) =>
      typeof v === "bigint" ? `${v}` : v,
    );
    const spaceBefore = free();
    const result = await box.line(line);
    expect(result).toMatchObject({ outcome: "runtime-error", error: message, mutated: false });
    expect(
      JSON.stringify([box.device.disks, box.device.files], (_k, v) => (typeof v === "bigint" ? `${v}` : v)),
    ).toBe(before);
    expect(free()).toBe(spaceBefore);
  });

  test("refuses compress outside Btrfs, and a pool that is not mounted", async () => {
    const own = await testConsole({ pools: [{ slot: "p", fs: "xfs", size: 1n << 30n }] });
    const line = "/disk/add type=file slot=a file-path=p/a file-size=1M mount-filesystem=no";
    expect(await own.fail(`${line} compress=yes`)).toBe("compression only available for btrfs");
    await own.device.setPool("p", { mounted: false });
    expect(await own.fail(line)).toBe("failure: cannot open output file");
  });

  test("uses a file that exists, with its size", async () => {
    await box.device.addFile("storage-pool/a.img", 4096n);
    await box.device.writeFile("storage-pool/a.img", 0n, "old bytes");
    await box.put(addLine("a"));
    expect(box.device.disk("a")?.size).toBe(4096n);
    expect(Buffer.from(await box.device.readFile("storage-pool/a.img", 0n, 9)).toString()).toBe("old bytes");
  });

  test("copy-from copies properties, not data", async () => {
    await box.put(addLine("a", 'comment="orig"'));
    await box.device.writeFile("storage-pool/a.img", 0n, "secret");
    await box.put('/disk/add copy-from=[find where slot="a"] slot="b" file-path="storage-pool/b.img"');
    expect(box.device.disk("b")).toMatchObject({ comment: "orig", size: 1_048_576n, mountFilesystem: false });
    expect([...(await box.device.readFile("storage-pool/b.img", 0n, 6))]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(await box.fail('/disk/add copy-from=[find where slot="a"] slot="c"')).toBe(
      "failure: file is in use by another disk",
    );
  });
});

describe("/disk set", () => {
  beforeEach(async () => void (await box.put(addLine("a"))));
  const exporting = '/disk/set [find where slot="a"] nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.t:a"';

  test("exports, and ends the export, dropping the hosts", async () => {
    expect(await box.put(exporting)).toBe("");
    expect(box.device.liveExports).toEqual([
      {
        nqn: "nqn.t:a",
        port: 4420,
        path: "storage-pool/a.img",
        sizeBytes: 1_048_576n,
        slot: "a",
        allowHosts: [],
        identity: "slot a",
      },
    ]);
    expect(await box.put('/disk/print detail where slot="a"')).toContain("t - NVME-TCP-EXPORT");
    expect(box.device.connectHost("nqn.t:a", "host")).toBe(true);
    await box.put('/disk/set [find where slot="a"] nvme-tcp-export=no');
    expect(box.device.hosts.connected("nqn.t:a")).toEqual([]);
    expect(box.device.liveExports).toEqual([]);
    expect(box.device.connectHost("nqn.t:a", "host")).toBe(false);
  });

  test("an export that ends and begins again in one line has dropped the hosts", async () => {
    await box.put(exporting);
    box.device.connectHost("nqn.t:a", "host");
    await box.put("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(box.device.hosts.connected("nqn.t:a")).toEqual([]);
  });

  test("a new NQN drops the hosts of the old one", async () => {
    await box.put(exporting);
    box.device.connectHost("nqn.t:a", "host");
    await box.put('/disk/set [find where slot="a"] nvme-tcp-server-nqn="nqn.t:a.2"');
    expect(box.device.hosts.dropped).toBe(1);
    expect(box.device.connectHost("nqn.t:a", "host")).toBe(false);
    expect(box.device.connectHost("nqn.t:a.2", "host")).toBe(true);
  });

  test("succeeds in silence on an empty find, fails on a missing name or number", async () => {
    expect(await box.line('/disk/set [find where slot="none"] comment="x"')).toMatchObject({
      outcome: "ok",
      output: [],
      mutated: false,
    });
    expect(await box.fail("/disk/set none comment=x")).toBe("no such item");
    expect(await box.fail("/disk/set *FFF comment=x")).toBe("no such item");
    expect(await box.fail("/disk/set comment=x")).toBe("missing value(s) of argument(s) numbers");
  });

  test("changes every item of the list, by name and by number", async () => {
    await box.put(addLine("b"));
    await box.put("/disk/set a,b comment=both");
    expect(box.device.disks.map((disk) => disk.comment)).toEqual(["both", "both"]);
    await box.put(`/disk/set ${box.device.disk("a")?.id} comment=""`);
    expect(box.device.disk("a")?.comment).toBe("");
    expect(await box.put(':put [:len [/disk/find where comment="both"]]')).toBe("1");
    await box.put("/disk/set b !comment");
    expect(await box.put(':put [:len [/disk/find where comment="both"]]')).toBe("0");
  });

  test("growing takes space; hosts see it only after a new export", async () => {
    await box.put(exporting);
    const before = free();
    expect(box.device.disk("a")?.exportedSize).toBe(1_048_576n);
    await box.put('/disk/set [find where slot="a"] file-size=2M');
    expect(before - free()).toBe(1_048_576n);
    expect(box.device.disk("a")).toMatchObject({ size: 2_097_152n, exportedSize: 1_048_576n });
    await box.put("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
    expect(box.device.disk("a")?.exportedSize).toBe(2_097_152n);
  });

  test.each([
    ["smaller", "file-size=1", "invalid value of file-size, must not be smaller than the file"],
    ["too large", "file-size=2T", "failure: no space left on device"],
    ["slot taken", "slot=b", "failure: already have such entry"],
    ["another path", "file-path=storage-pool/z", "failure: can not change file-path"],
  ])("refuses: %s", async (_what, setting, message) => {
    await box.put(addLine("b"));
    await box.put(exporting);
    const result = await box.line(`/disk/set a ${setting}`);
    expect(result).toMatchObject({ outcome: "runtime-error", error: message, mutated: false });
    expect(box.device.disk("a")).toMatchObject({ slot: "a", size: 1_048_576n, exported: true });
  });

  test("disable takes the block device away, enable brings it back", async () => {
    await box.put(exporting);
    await box.put("/disk/disable a");
    expect(await box.rows('slot="a"')).toMatchObject([{ disabled: true }]);
    expect(box.device.liveExports).toEqual([]);
    await box.put("/disk/enable a");
    expect(box.device.liveExports).toHaveLength(1);
  });
});

describe("/disk remove", () => {
  test("the item goes, the file stays", async () => {
    await box.put(addLine("a"));
    const before = free();
    expect(await box.put('/disk/remove [find where slot="a"]')).toBe("");
    expect(box.device.disk("a")).toBeUndefined();
    expect(box.device.file("storage-pool/a.img")?.size).toBe(1_048_576n);
    expect(free()).toBe(before);
    expect(await box.fail("/disk/remove a")).toBe("no such item");
    expect(await box.put('/disk/remove [find where slot="a"]')).toBe("");
    expect(await box.fail("/disk/remove storage-pool")).toBe(
      "failure: could not unmount, stop using it first",
    );
  });
});

describe("/disk print and get", () => {
  test("as-value through serialize: one line, sorted keys, absent properties absent", async () => {
    await box.put(addLine("a"));
    const text = await box.put(
      ':put [:serialize to=json options=json.no-string-conversion value=[/disk/print detail as-value where slot="a"]]',
    );
    expect(text.split("\n")).toHaveLength(1);
    const [row] = JSON.parse(text);
    expect(Object.keys(row)).toEqual(Object.keys(row).sort());
    expect(row).toMatchObject({ slot: "a", "block-device": true, size: 1_048_576, "nvme-tcp-export": false });
    for (const absent of ["comment", "mounted", "nvme-tcp-server-nqn", "free", "mount-point"])
      expect(row).not.toHaveProperty(absent);
    expect(row["file-path"]).toBe("/storage-pool/a.img");
    expect(await box.rows('slot="none"')).toEqual([]);
  });

  test("digits become floats without json.no-string-conversion", async () => {
    await box.put(addLine("456"));
    expect(await box.put(":put [:serialize to=json value=[/disk/get 456 slot]]")).toBe("456.000000");
    expect(
      await box.put(":put [:serialize to=json options=json.no-string-conversion value=[/disk/get 456 slot]]"),
    ).toBe('"456"');
  });

  test("detail text: flags, quotes, grouped numbers, rounded sizes, comment", async () => {
    await box
      .put('/disk/add type=file slot=a file-path=storage-pool/a file-size=1T comment="x"')
      .catch(() => {});
    await box.put(
      '/disk/add type=file slot=a file-path=storage-pool/a file-size=50G mount-filesystem=no comment="x y"',
    );
    const text = await box.put('/disk/print detail without-paging where slot="a"');
    expect(text).toStartWith(
      'Flags: B - BLOCK-DEVICE\n;;; x y\n 1 B type=file slot="a" slot-default="" parent="" fs=- model="/storage-pool/a" size=53 687 091 200 ',
    );
    expect(text).toContain("file-path=/storage-pool/a file-size=50.0GiB file-offset=0");
    expect(text).toEndWith("\n");
  });

  test("a print of some rows numbers them by their place in the whole list, in all text forms", async () => {
    for (const slot of ["a", "b", "c", "d"]) await box.put(addLine(slot));
    const some = 'where slot="b" or slot="d"';
    const starts = (text: string) => text.match(/^ ?\d/gm)?.map((number) => number.trim());
    for (const form of ["detail", "terse", "brief", ""]) {
      expect({ form, numbers: starts(await box.put(`/disk/print ${form} ${some}`)) }).toEqual({
        form,
        numbers: ["2", "4"],
      });
    }
    expect(starts(await box.put("/disk/print detail d"))).toEqual(["4"]);
  });

  test("records are separated by a line of one blank; terse and table have one line each", async () => {
    await box.put(addLine("a"));
    expect((await box.put("/disk/print detail")).split("\n").filter((line) => line === " ")).toHaveLength(1);
    expect((await box.put("/disk/print terse")).trimEnd().split("\n")).toHaveLength(2);
    expect(await box.put("/disk/print")).toContain("Columns: SLOT, MODEL, SIZE, FREE, FS");
  });

  test("print count-only, proplist, numbers", async () => {
    await box.put(addLine("a"));
    expect(await box.put("/disk/print count-only where type=file")).toBe("1");
    expect(await box.put(":put [/disk/print count-only as-value where type=file]")).toBe("1");
    expect(await box.put(':put [/disk/print as-value proplist=slot,size where slot="a"]')).toMatch(
      /^\.id=\*[0-9A-F]+;slot=a;size=1048576$/,
    );
    expect(await box.fail("/disk/print proplist=slot,nope")).toBe(
      "input does not match any value of proplist",
    );
    expect(await box.put("/disk/print terse proplist=slot a")).toBe(" 1 B slot=a\n");
  });

  test("get gives the bare value, nothing for an absent one, and fails on a missing item", async () => {
    await box.put(addLine("a"));
    expect(await box.put(':put [/disk/get [find where slot="a"] size]')).toBe("1048576");
    expect(await box.put(":put [/disk/get a comment]")).toBe("");
    expect(await box.put(":put [/disk/get a value-name=file-size]")).toBe("1048576");
    expect(await box.fail(':put [/disk/get [find where slot="none"] size]')).toBe("no such item");
    expect(await box.fail(":put [/disk/get a nope]")).toBe("input does not match any value of value-name");
  });

  test("monitor-traffic once prints key: value lines", async () => {
    await box.put(addLine("a"));
    expect(await box.put("/disk/monitor-traffic a once")).toMatch(/ {2,}read-rate: 0bps\n/);
    expect(await box.fail("/disk/monitor-traffic a")).toContain("once");
  });
});
