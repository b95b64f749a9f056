import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import path from "node:path";
import { addLine } from "../../test/support/simulator-console.ts";
import { EXPERIMENTS } from "../probe/catalogue.ts";
import { UNTOLD } from "../probe/untold.ts";
import { PROFILES } from "./profiles.ts";
import { withSwitches } from "./switches.fixture.ts";
import {
  checkSwitches,
  DEFAULT_SWITCHES,
  parseSimulatorSwitch,
  SWITCH_DOCS,
  type Switches,
} from "./switches.ts";
import { hasVersion, versionParts } from "./version.ts";

describe("each switch of disks has an effect", () => {
  test("version", async () => {
    const old = await withSwitches({ version: "7.20 (stable)" });
    expect(await old.put(":put [/system/resource/get version]")).toBe("7.20 (stable)");
    const line = addLine("a", 'nvme-tcp-server-nqn="x"');
    expect(await old.fail(`/file/add name=storage-pool/d type=directory; ${line}`)).toContain("syntax error");
    expect(old.device.file("storage-pool/d")).toBeUndefined();
    expect(await old.fail('/disk/find where nvme-tcp-server-nqn="x"')).toContain("expected end of command");
    await (await withSwitches({ version: "7.21 (stable)" })).put(line);
    expect(await (await withSwitches({ version: "7.12 (stable)" })).fail(":onerror e in={} do={}")).toContain(
      "bad command name onerror",
    );
  });

  test("onerror-suffix", async () => {
    const line = ":onerror e in={ /disk/remove none } do={ :put $e }";
    expect(await (await withSwitches({ onerrorSuffix: "none" })).put(line)).toBe("no such item");
    expect(await (await withSwitches({})).put(line)).toBe("no such item (/disk/remove; line 1)");
  });

  test("slot-too-long, slot-maximum", async () => {
    const line = addLine("x".repeat(40));
    const cut = await withSwitches({ slotTooLong: "truncate" });
    await cut.put(line);
    expect(cut.device.disks[0]?.slot).toBe("x".repeat(32));
    const accepting = await withSwitches({ slotTooLong: "accept" });
    await accepting.put(line);
    expect(accepting.device.disks[0]?.slot).toBe("x".repeat(40));
    await (await withSwitches({ slotMaximum: 40 })).put(line);
  });

  test("duplicate-slot-text, duplicate-nqn", async () => {
    const box = await withSwitches({ duplicateSlotText: "failure: taken", duplicateNqn: "error" });
    await box.put(addLine("a", "nvme-tcp-server-nqn=n"));
    expect(await box.fail(addLine("a"))).toBe("failure: taken");
    expect(await box.fail(addLine("b", "nvme-tcp-server-nqn=n"))).toBe(
      "failure: already have such nvme-tcp-server-nqn",
    );
    await box.put("/disk/set a nvme-tcp-server-nqn=n");
    const lax = await withSwitches({});
    await lax.put(`${addLine("a", "nvme-tcp-server-nqn=n")}; ${addLine("b", "nvme-tcp-server-nqn=n")}`);
  });

  test("existing-file", async () => {
    const run = async (existingFile: Switches["existingFile"]) => {
      const box = await withSwitches({ existingFile });
      await box.device.addFile("storage-pool/a.img", 4096n);
      const result = await box.line(addLine("a"));
      return result.error ?? box.device.disk("a")?.size;
    };
    expect(await run("keep")).toBe(4096n);
    expect(await run("grow")).toBe(1_048_576n);
    expect(await run("error")).toBe("failure: file exists");
  });

  test("shared-file", async () => {
    const box = await withSwitches({ sharedFile: "shared" });
    await box.put(addLine("a"));
    await box.put("/disk/add copy-from=a slot=b");
    expect(box.device.disk("b")?.filePath).toBe("storage-pool/a.img");
  });

  test("parent-missing", async () => {
    const box = await withSwitches({ parentMissing: "create" });
    await box.put("/disk/add type=file slot=a file-path=storage-pool/x/y/a.img file-size=1M");
    expect(box.device.file("storage-pool/x/y")?.directory).toBe(true);
  });

  test("pool-unmounted", async () => {
    const box = await withSwitches({ poolUnmounted: "item-without-device" });
    await box.device.setPool("storage-pool", { mounted: false });
    await box.put(addLine("a"));
    expect(box.device.disk("a")).toMatchObject({ ready: false, size: undefined });
  });

  test("no-space, no-space-text", async () => {
    const run = async (noSpace: Switches["noSpace"]) => {
      const box = await withSwitches({ noSpace, noSpaceText: "failure: full" });
      expect(await box.fail("/disk/add type=file slot=a file-path=storage-pool/a file-size=2T")).toBe(
        "failure: full",
      );
      return [box.device.disks.length, box.device.file("storage-pool/a")?.size];
    };
    expect(await run("clean")).toEqual([0, undefined]);
    expect(await run("item-left")).toEqual([1, undefined]);
    expect(await run("file-left")).toEqual([0, 0n]);
  });

  test("allocation", async () => {
    const box = await withSwitches({ allocation: "sparse" });
    const before = box.device.freeBytes("storage-pool");
    await box.put(addLine("a"));
    expect(box.device.freeBytes("storage-pool")).toBe(before);
    await box.device.writeFile("storage-pool/a.img", 0n, "x");
    await box.put(":put 1");
    expect(before - box.device.freeBytes("storage-pool")).toBe(4096n);
  });

  test("ready-delay-ms", async () => {
    const box = await withSwitches({ readyDelayMs: 3000 });
    await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    const [early] = await box.rows('slot="a"');
    expect(early).not.toHaveProperty("block-device");
    expect(early).not.toHaveProperty("size");
    expect(box.device.liveExports).toEqual([]);
    box.clock.advance(2999);
    expect(box.device.disk("a")?.ready).toBe(false);
    box.clock.advance(1);
    expect(await box.rows('slot="a"')).toMatchObject([{ "block-device": true, size: 1_048_576 }]);
    expect(box.device.liveExports).toHaveLength(1);
  });
});

describe("each switch of the console and of files has an effect", () => {
  test("file-path-slash, file-size-value, booleans, false-flags", async () => {
    const row = async (switches: Partial<Switches>) => {
      const box = await withSwitches(switches);
      await box.put(addLine("a"));
      return (await box.rows('slot="a"'))[0];
    };
    expect(await row({ filePathSlash: "without" })).toMatchObject({ "file-path": "storage-pool/a.img" });
    expect(await row({ fileSizeValue: "human" })).toMatchObject({
      "file-size": "1024.0KiB",
      size: 1_048_576,
    });
    expect(await row({ booleans: "text" })).toMatchObject({ "block-device": "yes", "nvme-tcp-export": "no" });
    expect(await row({ falseFlags: "false" })).toMatchObject({ mounted: false, disabled: false });
    expect(await row({})).not.toHaveProperty("mounted");
  });

  test("serialize, as-value-in-detail", async () => {
    expect(
      await (await withSwitches({ serialize: "missing" })).fail(":put 1; :put [:serialize to=json value=1]"),
    ).toBe("bad command name serialize (line 1 column 16)");
    const box = await withSwitches({ asValueInDetail: "missing" });
    expect(await box.fail(":put [/disk/print detail as-value]")).toContain("expected end of command");
    await box.put(":put [/disk/print as-value]; /disk/print detail");
  });

  test("wrap-width, wrap-put", async () => {
    const narrow = await withSwitches({}, 80);
    await narrow.put(addLine("a"));
    const lines = (await narrow.put("/disk/print detail where slot=a")).split("\n");
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    // Behind the number, the flags and their blanks: the column of the first key.
    expect(lines[1]).toMatch(/^ 1 B type=/);
    expect(lines[2]).toMatch(/^ {5}\S/);
    const long = `:put "${"x y".repeat(100)}"`;
    expect(await narrow.put(long)).toBe("x y".repeat(100));
    const cutting = await withSwitches({ wrapPut: "yes" }, 80);
    const cut = (await cutting.put(long)).split("\n");
    expect(cut.map((line) => line.length)).toEqual([80, 80, 80, 60]);
    expect(cut.join("")).toBe("x y".repeat(100));
  });

  test("file-remove-in-use", async () => {
    const lax = await withSwitches({});
    await lax.put(`${addLine("a")}; /file/remove storage-pool/a.img`);
    expect(lax.device.disk("a")?.ready).toBe(false);
    const strict = await withSwitches({ fileRemoveInUse: "error" });
    await strict.put(addLine("a"));
    expect(await strict.fail("/file/remove storage-pool/a.img")).toBe(
      "failure: could not remove, file is in use",
    );
  });

  test("subvolume-removal, subvolume-in-use, subvolume-exists-text", async () => {
    const box = await withSwitches({
      subvolumeRemoval: "dead",
      subvolumeInUse: "allowed",
      subvolumeExistsText: "failure: exists",
    });
    await box.put("/disk/btrfs/subvolume/add fs=storage-pool-fs name=v");
    expect(await box.fail("/disk/btrfs/subvolume/add fs=storage-pool-fs name=v")).toBe("failure: exists");
    await box.put("/disk/add type=file slot=d file-path=storage-pool/v/d file-size=1M");
    await box.put("/disk/btrfs/subvolume/remove [find]");
    expect(await box.put(":put [:len [/disk/btrfs/subvolume/find where dead]]")).toBe("1");
    expect(box.device.disk("d")?.ready).toBe(false);
    box.clock.advance(500);
    expect(await box.put(":put [:len [/disk/btrfs/subvolume/find]]")).toBe("0");
  });

  test("directory-exists-text", async () => {
    const box = await withSwitches({ directoryExistsText: "failure: there already" });
    await box.put("/file/add name=storage-pool/d type=directory");
    expect(await box.fail("/file/add name=storage-pool/d type=directory")).toBe("failure: there already");
  });

  test("copy, copy-ms, copy-sparse", async () => {
    const box = await withSwitches({
      copy: "async",
      copyMs: 100,
      allocation: "prealloc",
      copySparse: "full",
    });
    await box.put(addLine("a"));
    const before = box.clock.now();
    const { output } = await box.line("/file/copy storage-pool/a.img name=storage-pool/b.img");
    expect(output).toEqual([]);
    await Promise.all(box.background);
    expect(box.clock.now() - before).toBe(100);
    expect(box.device.file("storage-pool/b.img")?.charged).toBe(1_048_576n);
    const sparse = await withSwitches({ allocation: "sparse", copySparse: "preserved" });
    await sparse.put(`${addLine("a")}; /file/copy storage-pool/a.img name=storage-pool/b.img`);
    expect(sparse.device.file("storage-pool/b.img")?.charged).toBe(0n);
  });

  test("unknown-argument: refused as a whole before 7.22, a failure of its command from then on", async () => {
    const line =
      ":onerror e in={ /file/add name=storage-pool/d type=directory; /disk/add wrong=1 } do={ :put $e }";
    const there = async (switches: Partial<Switches>) => {
      const box = await withSwitches(switches);
      const { outcome, output, error } = await box.line(line);
      return [outcome, output.join(), error, box.device.file("storage-pool/d") !== undefined];
    };
    const ran = "bad parameter wrong (line 1 column 73)";
    expect(await there({})).toEqual(["ok", `${ran} (/disk/add; line 1)`, undefined, true]);
    expect(await there({ unknownArgument: "bad-parameter", version: "7.21" })).toEqual(await there({}));
    for (const [switches, text] of [
      [{ version: "7.21.5 (stable)" }, "syntax error"],
      [{ unknownArgument: "syntax-error" }, "syntax error"],
      [{ unknownArgument: "expected-end" }, "expected end of command"],
    ] as const) {
      expect(await there(switches)).toEqual(["parse-error", "", `${text} (line 1 column 73)`, false]);
    }
  });

  test("unknown-command: ends the line, or fails like a command, or refuses the line", async () => {
    const line =
      ":onerror e in={ /file/add name=storage-pool/d type=directory; /nope } do={ :put $e }; :put 2";
    const text = "bad command name nope (line 1 column 64)";
    for (const [unknownCommand, outcome, output, error, there] of [
      ["uncatchable", "parse-error", [], text, true],
      ["catchable", "ok", [`${text} (/nope; line 1)`, "2"], undefined, true],
      ["whole-line", "parse-error", [], text, false],
    ] as const) {
      const box = await withSwitches({ unknownCommand });
      expect(await box.line(line)).toMatchObject({ outcome, output, error } as never);
      expect(box.device.file("storage-pool/d") !== undefined).toBe(there);
    }
  });

  test("missing-item, detail-comment", async () => {
    const box = await withSwitches({
      missingItem: "internal-number",
      detailComment: "inline",
    });
    await box.put(addLine("a", 'comment="c d"'));
    expect(await box.fail(":put [/disk/get [find where slot=none] size]")).toBe(
      "invalid internal item number",
    );
    expect(await box.put("/disk/print detail where slot=a")).toContain("\n 1 B ;;; c d\n     type=file");
  });
});

describe("names and values", () => {
  test("are parsed in both spellings", () => {
    expect(parseSimulatorSwitch("ready-delay-ms=300")).toEqual({ readyDelayMs: 300 });
    expect(parseSimulatorSwitch("readyDelayMs=300")).toEqual({ readyDelayMs: 300 });
    expect(parseSimulatorSwitch("no-space-text=a=b")).toEqual({ noSpaceText: "a=b" });
    expect(checkSwitches({ "line-ending": "lf", wrapWidth: 80 })).toEqual({
      lineEnding: "lf",
      wrapWidth: 80,
    });
  });

  test.each([
    ["readydelay=1", 'no switch "readydelay"'],
    ["line-ending=cr", "switch line-ending needs one of crlf, lf"],
    ["ready-delay-ms=-1", "switch ready-delay-ms needs an integer"],
    ["ready-delay-ms=soon", "switch ready-delay-ms needs an integer"],
    ["nothing", "not of the form name=value"],
    ["=x", "not of the form name=value"],
  ])("%s is refused", (text, message) => {
    expect(() => parseSimulatorSwitch(text)).toThrow(message);
  });

  test("profiles only use switches that exist, and versions are read", () => {
    for (const { switches } of Object.values(PROFILES))
      expect(checkSwitches({ ...switches })).toEqual(switches);
    expect(versionParts("7.26beta4 (development)")).toEqual([7, 26, 0]);
    expect(hasVersion("7.23.8 (long-term)", "7.23")).toBe(true);
    expect(hasVersion("7.9.2 (stable)", "7.21")).toBe(false);
    expect(() => versionParts("seven")).toThrow("is not a RouterOS version");
  });
});

test("docs/simulator.md has the table of the switches and of the profiles", () => {
  const page = readFileSync(path.resolve(import.meta.dir, "../../docs/simulator.md"), "utf8");
  for (const { name, values, default: first, description } of SWITCH_DOCS) {
    const others = values.filter((value) => value !== first).join(", ");
    const told = EXPERIMENTS.filter(({ settles }) => settles.includes(name)).map(
      ({ id }) => `[${id}](probe.md#${id})`,
    );
    const probe = told.length > 0 ? told.join(", ") : `no: ${UNTOLD[name]}`;
    expect(page).toContain(`| \`${name}\` | ${first} | ${others} | ${description} | ${probe} |`);
  }
  expect(page.match(/^\| `[a-z-]+` (?:\|[^|\n]*){4}\|$/gm)).toHaveLength(SWITCH_DOCS.length);
  for (const [name, { description }] of Object.entries(PROFILES))
    expect(page).toContain(`| \`${name}\` | ${description} |`);
  expect(Object.keys(DEFAULT_SWITCHES)).toHaveLength(SWITCH_DOCS.length);
});
