import { describe, expect, test } from "bun:test";
import { addLine, testConsole } from "../../test/support/simulator-console.ts";

/**
 * Texts that RouterOS devices printed, as others published them (RDS2216 and CHR; the facts' sections 3.1 and 13 name each),
 * and what the simulator prints in the same situation. Values differ; form, names and order do not.
 */
const RECORDED = {
  /** RDS2216, 7.24.4, wide terminal: a RAID with a file system, and a file disk. `...` stands where the source cut. */
  legend: "Flags: B - BLOCK-DEVICE; M - MOUNTED; r - RAID-MEMBER",
  pool:
    'type=raid slot="raid10" slot-default="" parent="" fs-label="ocp-storage" fs-uuid="40437dbc-..." fs=xfs model="RAID0 striped" ' +
    "size=16 003 143 565 312 free=14 789 895 307 264 total-inodes=1 562 806 656 free-inodes=1 562 806 652 use=8% " +
    'mount-point="raid10" mount-filesystem=yes mount-read-only=no compress=no sector-size=512 raid-type=0 raid-device-count=4 ' +
    'raid-max-component-size=none raid-chunk-size=256K raid-master=none state="clean" raid-uuid="eadca0af-..." ' +
    "nvme-tcp-export=no iscsi-export=no nfs-sharing=no smb-sharing=no media-sharing=no media-interface=none swap=no",
  file:
    'type=file slot="vm-storage-001" slot-default="" parent="" fs=- model="/raid10/vm-storage-001.img" size=1 099 511 627 776 ' +
    "mount-filesystem=no mount-read-only=no compress=no sector-size=512 raid-master=none nvme-tcp-export=yes " +
    'nvme-tcp-server-port=4420 nvme-tcp-server-nqn="nqn.2026-09.com.mikrotik:rds2216.vm-storage-001" ' +
    'nvme-tcp-server-allow-host-name="" iscsi-export=no nfs-sharing=no smb-sharing=no media-sharing=no media-interface=none swap=no ' +
    "file-path=/raid10/vm-storage-001.img file-size=1024.0GiB file-offset=0",
} as const;

const names = (record: string): string[] =>
  [...record.matchAll(/(?:^| )([a-z][a-z0-9-]*)=/g)].map(([, name = ""]) => name);

/** How a value is written: quoted, digits in groups, yes or no, ... */
const shapes = (record: string): string[] =>
  [...record.matchAll(/(?:^| )([a-z][a-z0-9-]*)=("[^"]*"|[^ =]+(?: \d{3}(?= |$))*)/g)].map(
    ([, name, value = ""]) => {
      const shape = value.startsWith('"')
        ? '""'
        : value
            .replace(/\d+/g, "9")
            .replace(/9( 9)+/, "9 9")
            .replace(/^\/.*/, "/path");
      return `${name}=${shape}`;
    },
  );

describe("texts of real devices", () => {
  test("print detail of a pool and a file disk: the same properties, in the same order and form", async () => {
    const box = await testConsole({ pools: [{ slot: "raid10", fs: "xfs", size: 16_003_143_565_312n }] });
    await box.put("/disk/print");
    await box.put(
      '/disk/add type=file slot="vm-storage-001" file-path=raid10/vm-storage-001.img file-size=1T mount-filesystem=no ' +
        'nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.2026-09.com.mikrotik:rds2216.vm-storage-001"',
    );
    const lines = (await box.put("/disk/print detail")).split("\n");
    expect(lines[0]).toBe("Flags: B - BLOCK-DEVICE; M - MOUNTED; t - NVME-TCP-EXPORT");
    expect(RECORDED.legend).toStartWith("Flags: B - BLOCK-DEVICE; M - MOUNTED; ");
    const records = lines
      .filter((line) => /^ ?\d/.test(line))
      .map((line) => line.replace(/^ ?\d+ [BM ]+t? *(?=type=)/, ""));
    expect(records.map(names)).toEqual([names(RECORDED.pool), names(RECORDED.file)]);
    const [pool = "", file = ""] = records;
    expect(shapes(file)).toEqual(shapes(RECORDED.file));
    expect(shapes(pool).toSorted()).toEqual(shapes(RECORDED.pool).toSorted());
  });

  test("/disk/print: SIZE and FREE side by side, right-aligned, FS after them", async () => {
    const box = await testConsole({ pools: [{ slot: "raid10", fs: "xfs", size: 16_003_143_565_312n }] });
    await box.put("/disk/add type=file slot=a file-path=raid10/a.img file-size=1T mount-filesystem=no");
    const lines = (await box.put("/disk/print")).split("\n");
    expect(lines[1]).toBe("Columns: SLOT, MODEL, SIZE, FREE, FS");
    const [, , head = "", pool = "", file = ""] = lines;
    const end = head.indexOf(" SIZE") + " SIZE".length;
    expect(pool.slice(0, end)).toEndWith("16 003 143 565 312");
    expect(file.slice(0, end)).toEndWith(" 1 099 511 627 776");
    expect(head.slice(end)).toMatch(/^ +FREE +FS$/);
    expect(pool.slice(end)).toMatch(/^ +\d{1,3}( \d{3})+ +xfs$/);
  });

  test("/system/resource/print has units; as-value has numbers", async () => {
    const box = await testConsole();
    box.clock.advance(((2 * 24 + 3) * 60 + 4) * 60_000 + 5_000);
    const text = await box.put("/system/resource/print");
    expect(text).toMatch(/^ +uptime: 2d3h4m5s$/m);
    expect(text).toMatch(/^ +free-memory: \d+\.\d[KMG]iB$/m);
    expect(text).toMatch(/^ +total-memory: \d+\.\d[KMG]iB$/m);
    expect(text).toMatch(/^ +cpu-load: \d+%$/m);
    const json = JSON.parse(
      await box.put(":put [:serialize to=json value=[/system/resource/print as-value]]"),
    );
    expect(json).toMatchObject({ uptime: "2d03:04:05", "cpu-load": 1 });
    expect(Number.isInteger(json["free-memory"])).toBe(true);
  });

  test("a dot distributes over an array (manual, Scripting)", async () => {
    const box = await testConsole();
    expect(await box.put(':put ("v=" . {"cccc";"ddddd"})')).toBe("v=cccc;v=ddddd");
    expect(await box.put(':put ({"a";"b"} . "!")')).toBe("a!;b!");
    expect(await box.put(':put [:len ("x" . {"a";"b";"c"})]')).toBe("3");
  });

  test(":tobool of yes: nothing up to 7.21, true on 7.24.5", async () => {
    const old = await testConsole({ switches: { version: "7.21.5 (stable)" } });
    expect(await old.put(':put [:typeof [:tobool "yes"]]')).toBe("nothing");
    expect(await old.put(":put [:tobool true]")).toBe("true");
    expect(await (await testConsole()).put(':put [:tobool "yes"]')).toBe("true");
  });

  test("/ip/service: available-from came with 7.24; address works everywhere", async () => {
    const box = await testConsole();
    const policies = ["read", "write"] as const;
    const put = async (line: string) => (await box.line(line, { policies })).output.join("\n");
    await put("/ip/service/set ssh available-from=192.0.2.0/24");
    expect(await put("/ip/service/print detail")).toContain("available-from=192.0.2.0/24");
    expect(box.device.management.sshAddresses).toEqual(["192.0.2.0/24"]);
    await put("/ip/service/set ssh address=192.0.2.7/32");
    expect(await put(":put [/ip/service/get ssh available-from]")).toBe("192.0.2.7/32");
    const old = await testConsole({ switches: { version: "7.23.1 (stable)" } });
    expect(await old.fail("/ip/service/set ssh available-from=192.0.2.0/24")).toContain(
      "bad parameter available-from",
    );
    expect(await old.put("/ip/service/print detail")).not.toContain("available-from");
  });

  test("/user/ssh-keys: key-owner up to 7.20, info from 7.21", async () => {
    const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0X3Z0VbXf1YJc4o4yq1bq0yq3m1cZb3nq6b1m0R0aF me";
    for (const [version, name] of [
      ["7.20.8 (long-term)", "key-owner"],
      ["7.21 (stable)", "info"],
    ] as const) {
      const box = await testConsole({ switches: { version } });
      const policies = ["read", "write", "policy"] as const;
      await box.line("/user/group/add name=g policy=read", { policies });
      await box.line('/user/add name=u group=g password="x"', { policies });
      const added = await box.line(`/user/ssh-keys/add user=u key="${key}"`, { policies });
      expect(added.error).toBeUndefined();
      const { output } = await box.line(":put [/user/ssh-keys/print as-value]", { policies });
      expect(output.join()).toContain(`;${name}=me`);
    }
  });

  test("slots of 40 characters: accepted before 7.24, refused since", async () => {
    const slot = `pvc-${"0a1b2c3d-0000-4000-8000-0123456789ab"}`;
    const old = await testConsole({ switches: { version: "7.21 (stable)" } });
    await old.put(addLine(slot));
    expect(old.device.disk(slot)).toBeDefined();
    expect(await (await testConsole()).fail(addLine(slot))).toBe("failure: bad name");
  });
});
