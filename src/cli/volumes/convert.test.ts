import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fastClock } from "../../../test/support/clock.ts";
import { fileOf } from "../../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../../test/support/own-stack.ts";
import { GIB, MIB, type Stack } from "../../../test/support/rds-stack.ts";
import { until } from "../../../test/support/until.ts";
import type { Input } from "../../config/load.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { VolumeName } from "../../inspect/resolve.ts";
import { testIo } from "../cli.fixture.ts";
import { ExitCode } from "../exit-codes.ts";
import { runVolumesConvert } from "./convert.ts";
import { runVolumesList } from "./list.ts";
import { runVolumesRecord } from "./record.ts";
import { runVolumesShow } from "./show.ts";

const open = useStack();
const FAST = fastClock(400);
const ID = volumeIdFromName("pvc-1");
const [OLD, NEW] = [fileOf(ID, "plain"), fileOf(ID, "subvolume")];

async function start(): Promise<Stack> {
  const on = await open({
    simulatorClock: FAST,
    pools: [{ slot: "storage-pool", fs: "btrfs", size: 8n * GIB }],
  });
  await createVolume(on, { required: 8n * MIB, parameters: { layout: "plain" } });
  await on.simulator.device.writeFile(OLD, 5n * MIB, "data");
  return on;
}

function inputOf(on: Stack, profile?: string): Input {
  const { host, port, hostKeyFingerprints } = on.simulator;
  const flags = {
    "rds-address": [`${host}:${port}`],
    "rds-key-file": [on.keyFile],
    "rds-host-key": [...hostKeyFingerprints],
    "cluster-id": ["test"],
    ...(profile === undefined ? {} : { "device-profile": [profile] }),
  };
  return { flags, env: {} };
}

async function run(
  on: Stack,
  yes: boolean,
  stop = new AbortController().signal,
  abort = false,
  name: VolumeName = { namespace: undefined, name: ID },
) {
  const io = testIo({ stop });
  const code = await runVolumesConvert(inputOf(on), { name, yes, abort, timeoutSeconds: 20 }, io, FAST);
  return { code, out: io.written.out };
}

describe("volumes convert", () => {
  test("is refused on a device whose files go with their disks", async () => {
    const on = await start();
    const directory = await mkdtemp(join(tmpdir(), "rds-csi-convert-"));
    const profile = join(directory, "box.yaml");
    await writeFile(
      profile,
      "format: 1\nanswers:\n  file-that-exists: { answer: file-gone, came: it went }\n",
    );
    const before = structuredClone(on.simulator.device.disk(ID));
    const options = { name: { namespace: undefined, name: ID }, yes: true, abort: false, timeoutSeconds: 20 };
    const work = runVolumesConvert(inputOf(on, profile), options, testIo({}), FAST);
    await expect(work).rejects.toThrow("this RDS cannot do copies");
    expect(on.simulator.device.disk(ID)).toEqual(before as never);
    await rm(directory, { recursive: true });
  });

  test("prints the plan, and changes nothing without --yes", async () => {
    const on = await start();
    const before = on.simulator.device.disk(ID);
    const { code, out } = await run(on, false);
    expect(code).toBe(ExitCode.ok);
    expect(out).toBe(
      [
        `Volume ${ID} moves into a subvolume of pool storage-pool.`,
        "  1. mark: mark the volume: no node gets it, and no call changes it, until the last step.",
        `  2. make: make the subvolume storage-pool/csi/${ID} with a file of 8Mi; pool storage-pool has 7.9Gi free.`,
        `  3. copy: copy 8Mi from ${OLD} to ${NEW}, part by part, and wait 120 s until the RDS has surely written it.`,
        `  4. switch: make the volume's disk item anew on ${NEW}; the old file stays, with the record beside it.`,
        `  5. tidy: look whether the volume has the new file, of its whole size, and remove ${OLD}.`,
        "  6. unmark: unmark the volume: handle, record and epoch are those that it had.",
        "Nothing was changed. The same command with --yes carries the plan out.\n",
      ].join("\n"),
    );
    expect(on.simulator.device.disk(ID)).toEqual(before);
  });

  test("with --yes moves the volume; then there is nothing to do", async () => {
    const on = await start();
    const { code, out } = await run(on, true);
    expect(code).toBe(ExitCode.ok);
    expect(out).toMatch(
      /mark …\nmake …\ncopy …\ncopy: whole; waiting 1[0-2]\d s, until the RDS has surely written it to its disks\nswitch …\ntidy …\nunmark …\nDone\.\n$/,
    );
    const { device } = on.simulator;
    expect(Buffer.from(await device.readFile(NEW, 5n * MIB, 4)).toString()).toBe("data");
    expect(device.file(OLD)).toBeUndefined();
    expect((await run(on, true)).out).toBe(
      `Volume ${ID} is in a subvolume already: ${NEW}. Nothing to do.\n`,
    );
  });

  test("interrupted, the plan says where it goes on", async () => {
    const on = await start();
    const { faults } = on.simulator;
    const stop = new AbortController();
    const rule = faults.hang({ line: /subvolume\/add/ });
    const given = run(on, true, stop.signal).catch(() => {});
    await until("the line is held", () => faults.hanging > 0);
    stop.abort();
    await given;
    rule.remove();
    const { out } = await run(on, false);
    expect(out).toContain("It was begun, and goes on here:\n  1. make: ");
    faults.release();
    await run(on, true);
    expect(Buffer.from(await on.simulator.device.readFile(NEW, 5n * MIB, 4)).toString()).toBe("data");
  });

  test("killed while the volume has no item of its own: what lists and shows it says how to go on, and no loss is advised", async () => {
    const on = await start();
    const { faults, commands, device } = on.simulator;
    faults.add({ kind: "cutMidway", statement: 1 }, { line: /:local tidy/ });
    const stop = new AbortController();
    const given = run(on, true, stop.signal).catch(() => {});
    await until("the step is cut", () => commands.some(({ outcome }) => outcome === "cut"));
    stop.abort();
    await given;
    expect(device.disk(ID)).toBeUndefined();
    const before = device.disks;
    const named = {
      name: { namespace: undefined, name: "pvc-1" },
      output: "json",
      timeoutSeconds: 20,
    } as const;
    const listed = testIo();
    await runVolumesList(inputOf(on), { ...named, failOnProblems: false }, listed);
    const shown = testIo();
    expect(await runVolumesShow(inputOf(on), { ...named, failOnProblems: true }, shown)).toBe(3);
    for (const { out } of [listed.written, shown.written]) {
      const [volume] = [JSON.parse(out)].flatMap((read) => read.items ?? read);
      expect(volume.state).toBe("copying");
      expect((volume.findings ?? volume.drift).map(({ id }: { id: string }) => id)).toEqual([
        "volume-converting",
      ]);
      expect(out).toContain(`volumes convert ${ID} --yes`);
      expect(out).not.toMatch(/\/disk (add|remove)|\/file remove|--restore/);
    }
    const record = { ...named, action: "restore", yes: true, replaceReadable: true } as const;
    await expect(runVolumesRecord(inputOf(on), record, testIo())).rejects.toMatchObject({
      id: "volumeConverting",
    });
    expect(device.disks).toEqual(before);
    await run(on, true, undefined, false, named.name);
    expect(device.disks.map(({ slot, filePath }) => [slot, filePath])).toEqual([[ID, NEW]]);
  });

  test("--abort gives up what was begun, plan first; then the volume can be used", async () => {
    const on = await start();
    const { faults, device } = on.simulator;
    const before = device.disk(ID)?.comment;
    const stop = new AbortController();
    faults.hang({ line: /\/disk\/copy/ });
    const given = run(on, true, stop.signal).catch(() => {});
    await until("the line is held", () => faults.hanging > 0);
    stop.abort();
    await given;
    const begun = device.disks;
    expect((await run(on, false, undefined, true)).out).toEndWith("carries the plan out.\n");
    expect(device.disks).toEqual(begun);
    expect((await run(on, true, undefined, true)).out).toEndWith("Done.\n");
    faults.release();
    await until("all lines have ended", () =>
      on.simulator.commands.every(({ finishedAt }) => finishedAt !== undefined),
    );
    expect(device.disks.map(({ slot, comment }) => [slot, comment])).toEqual([[ID, `${before};i=1`]]);
    expect([device.file(OLD)?.size, device.file(NEW)]).toEqual([8n * MIB, undefined]);
    await expect(run(on, true, undefined, true)).rejects.toMatchObject({ id: "conversionRefused" });
  });
});
