import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { deviceNumber } from "../../src/host/files.ts";
import { createHelper } from "../../src/host/helper.ts";
import type { MkfsMark } from "../../src/host/helper-answers.ts";
import { createHelperProcesses } from "../../src/host/helper-processes.ts";
import { executable, noDevices, repository } from "../support/executable.ts";

const MIB = 1024 * 1024;
/** Deno, which `.ci/run` provides. */
const deno = process.env.RDS_CSI_TEST_DENO ?? "";
const noDeno = deno === "" ? "(skipped: RDS_CSI_TEST_DENO names no deno)" : "";
const underDeno = [deno, "run", "--quiet", "--allow-all"];
const entry = join(repository, "src/node/helper-entry.ts");

let directory = "";
const devices: string[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-helper-"));
});
afterAll(() => {
  for (const device of devices) execFileSync("losetup", ["--detach", device]);
  rmSync(directory, { recursive: true });
});

function loop() {
  const image = join(directory, `image-${devices.length}`);
  writeFileSync(image, "");
  truncateSync(image, 16 * MIB);
  const device = execFileSync("losetup", ["--find", "--show", image]).toString().trim();
  devices.push(device);
  return { image, device, number: deviceNumber(statSync(device).rdev) };
}

/** What the kernel answers to another claim of a device. */
function claim(device: string): string {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
    return "free";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Runs an action while another process has a filesystem of the device mounted, which no mount table here shows. */
async function mountedElsewhere(device: string, action: () => Promise<void>): Promise<void> {
  execFileSync("mkfs.ext4", ["-q", device]);
  const script = `mount ${device} ${directory} && cd / && echo ready && exec cat`;
  const child = spawn("unshare", ["--mount", "sh", "-c", script], { stdio: ["pipe", "pipe", "ignore"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    await Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), ended]);
    expect(claim(device)).toBe("EBUSY");
    await action();
  } finally {
    child.stdin.end();
    await ended;
  }
}

const UUID = "01234567-89ab-4def-8123-456789abcdef";

const RUNTIMES = [
  { name: "the executable", command: [executable, "node-helper"], missing: "" },
  { name: "Bun, from source", command: [process.execPath, entry], missing: "" },
  { name: "Deno, from source", command: [...underDeno, entry], missing: noDeno },
];
for (const { name, command, missing } of RUNTIMES) {
  const skipped = missing || noDevices;
  describe.skipIf(skipped !== "")(`the helper of ${name} ${skipped}`, () => {
    const helper = createHelper(createHelperProcesses(command), command);

    test("a device is free, or busy while a mount that no table here shows or another claim has it", async () => {
      const { device, number } = loop();
      const answer = async (wanted = number) => (await helper.inspect(device, [wanted], [])).exclusive;
      expect(await answer()).toBe("free");
      expect(await answer("7:9999")).toBe("changed");
      expect((await helper.inspect(`${device}-none`, [number], [])).exclusive).toBe("error");
      const other = openSync(device, constants.O_RDONLY | constants.O_EXCL);
      expect(await answer()).toBe("busy");
      closeSync(other);
      expect(await answer()).toBe("free");
      await mountedElsewhere(device, async () => expect(await answer()).toBe("busy"));
      expect(await answer()).toBe("free");
    });

    test("a mark is written to a free device and taken away; a device that something has stays as it is", async () => {
      const { image, device, number } = loop();
      const size = BigInt(16 * MIB);
      const mark: MkfsMark = {
        ...{ volume: "csi-0123456789abcdef0123456789ab", epoch: 3 },
        ...{ filesystem: "ext4", token: "0123456789abcdef0123456789abcdef" },
      };
      const zeros = () => readFileSync(image).every((byte) => byte === 0);
      const other = openSync(device, constants.O_RDONLY | constants.O_EXCL);
      expect(await helper.writeMark(device, number, size, mark)).toEqual({
        kind: "refused",
        detail: expect.stringContaining("EBUSY"),
      });
      closeSync(other);
      expect(zeros()).toBe(true);
      expect(await helper.writeMark(device, "7:9999", size, mark)).toMatchObject({ kind: "refused" });
      expect(zeros()).toBe(true);
      expect(await helper.writeMark(device, number, size, mark)).toEqual({ kind: "done" });
      expect(await helper.findFilesystem(device, size, "ext4")).toMatchObject({ marks: [mark, mark] });
      expect(await helper.eraseMarks(device, number, size, mark.volume)).toEqual({ kind: "done" });
      expect(zeros()).toBe(true);
    });

    test("a filesystem of a free device gets another UUID; a device that something has stays as it is", async () => {
      const { image, device, number } = loop();
      execFileSync("mkfs.ext4", ["-q", device]);
      const before = readFileSync(image);
      const other = openSync(device, constants.O_RDONLY | constants.O_EXCL);
      expect(await helper.changeUuid(device, number, "ext4", UUID)).toEqual({
        kind: "refused",
        detail: expect.stringContaining("EBUSY"),
      });
      closeSync(other);
      expect(await helper.changeUuid(device, "7:9999", "ext4", UUID)).toMatchObject({ kind: "refused" });
      expect(await helper.changeUuid(device, number, "xfs", UUID)).toMatchObject({ kind: "kept" });
      expect(readFileSync(image).equals(before)).toBe(true);
      expect(await helper.lookForUuid(device, "ext4", UUID)).toMatchObject({ kind: "changeable" });
      expect(await helper.changeUuid(device, number, "ext4", UUID)).toEqual({ kind: "done" });
      expect(await helper.lookForUuid(device, "ext4", UUID)).toEqual({ kind: "same" });
      expect(spawnSync("e2fsck", ["-f", "-n", device]).status).toBe(0);
    });
  });
}

const SOURCES = [
  { name: "Bun", command: [process.execPath], missing: "" },
  { name: "Deno", command: underDeno, missing: noDeno },
];
for (const { name, command, missing } of SOURCES) {
  const skipped = missing || noDevices;
  test.skipIf(skipped !== "")(`under ${name} a claim lasts until it is closed ${skipped}`, async () => {
    const { device } = loop();
    const program = join(directory, `claim-${name}.ts`);
    const lines = [
      `import { openExclusive } from ${JSON.stringify(join(repository, "src/mount/exclusive.ts"))};`,
      `import { constants, fstatSync } from "node:fs";`,
      `import process from "node:process";`,
      `const device = openExclusive(${JSON.stringify(device)}, constants.O_RDWR);`,
      "console.log(fstatSync(device.fd).rdev);",
      `process.stdin.once("data", () => { device.close(); console.log("closed"); });`,
      `process.stdin.once("end", () => process.exit(0));`,
    ];
    writeFileSync(program, lines.join("\n"));
    const [runtime = "", ...args] = command;
    const child = spawn(runtime, [...args, program], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.once("close", resolve));
    let output = "";
    const said = (text: string) =>
      new Promise<void>((resolve, reject) => {
        const look = () => output.includes(text) && resolve();
        child.stdout.on("data", look);
        void ended.then(() => reject(new Error(`it ended and said ${JSON.stringify(output)}`)));
      });
    child.stdout.on("data", (data) => (output += data));
    try {
      await said(`${statSync(device).rdev}\n`);
      expect(claim(device)).toBe("EBUSY");
      child.stdin.write("close\n");
      await said("closed\n");
      expect(claim(device)).toBe("free");
    } finally {
      child.stdin.end();
      await ended;
    }
  });
}
