import { describe, expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { hasTool } from "../../test/support/loop-node.ts";
import { until } from "../../test/support/until.ts";
import { both, cleanups, temporary, useSimulators } from "./simulator.fixture.ts";

useSimulators();

/** A directory in an XFS or Btrfs of its own, which the end of the test unmounts. */
function mounted(kind: "xfs" | "btrfs"): string {
  const dir = temporary();
  const [image, target] = [path.join(dir, "image"), path.join(dir, "mounted")];
  writeFileSync(image, "");
  truncateSync(image, 512 << 20);
  mkdirSync(target);
  execFileSync(`mkfs.${kind}`, ["-q", image]);
  execFileSync("mount", ["-o", "loop", image, target]);
  cleanups.push(() => execFileSync("umount", [target]));
  return target;
}

const missing = (kind: string): string => {
  if (process.getuid?.() !== 0) return "(needs root)";
  if (!hasTool(`mkfs.${kind}`)) return `(needs mkfs.${kind})`;
  return readFileSync("/proc/filesystems", "utf8").includes(`\t${kind}\n`)
    ? ""
    : `(needs ${kind} in the kernel)`;
};

const RECORDS = 2048;
const BYTES = 4096;

/** Writes numbered records one after the other, round by round, until it is killed. */
const WRITER = `
import { openSync, writeSync } from "node:fs";
const file = openSync(process.argv[1], "r+");
const record = Buffer.alloc(${BYTES});
for (let sequence = 1; ; sequence += 1) {
  for (let at = 0; at < ${BYTES}; at += 4) record.writeUInt32LE(sequence, at);
  writeSync(file, record, 0, ${BYTES}, (sequence % ${RECORDS}) * ${BYTES});
}`;

/** The oldest and the newest number in a copy, and how many numbers there are. */
function contents(image: Buffer): { span: number; torn: number; newest: number } {
  const numbers: number[] = [];
  let torn = 0;
  for (let at = 0; at < RECORDS; at += 1) {
    const record = image.subarray(at * BYTES, (at + 1) * BYTES);
    const number = record.readUInt32LE(0);
    if (record.readUInt32LE(BYTES - 4) !== number) torn += 1;
    numbers.push(number);
  }
  const newest = Math.max(...numbers);
  return { span: newest - Math.min(...numbers), torn, newest };
}

describe.each(["xfs", "btrfs"] as const)("the files backend on %s", (kind) => {
  const noFilesystem = missing(kind);

  test.skipIf(noFilesystem !== "")(
    `a snapshot under a writer has every record before the newest ${noFilesystem}`,
    async () => {
      const dir = mounted(kind);
      const [simulator, client] = await both({ backend: { kind: "files", dir } });
      expect(simulator.device.backend.instantCopies).toBe(true);
      const add = "/disk/btrfs/subvolume/add fs=storage-pool-fs";
      const size = RECORDS * BYTES;
      await client.exec(
        `${add} name=v; /disk/add type=file slot=v file-path=storage-pool/v/d file-size=${size} mount-filesystem=no`,
      );
      const image = path.join(dir, "files/storage-pool/v/d");
      const writer = spawn(process.execPath, ["-e", WRITER, image], { stdio: "inherit" });
      const ended = once(writer, "exit");
      cleanups.push(async () => {
        writer.kill("SIGKILL");
        await ended;
      });
      await until("the writer has been round once", () => contents(readFileSync(image)).span === RECORDS - 1);
      let newest = 0;
      for (let cut = 0; cut < 20; cut += 1) {
        await until("the writer has gone on", () => contents(readFileSync(image)).newest > newest);
        await client.exec(`${add} name=s${cut} parent=v read-only=yes`);
        const found = contents(readFileSync(path.join(dir, `files/storage-pool/s${cut}/d`)));
        expect([cut, found.span, found.torn]).toEqual([cut, RECORDS - 1, 0]);
        newest = found.newest;
      }
    },
  );
});

test("where blocks cannot be shared the backend says so", async () => {
  const dir = temporary();
  const [simulator] = await both({ backend: { kind: "files", dir } });
  const other = execFileSync("stat", ["--file-system", "--format=%T", dir]).toString().trim();
  expect(simulator.device.backend.instantCopies).toBe(["btrfs", "xfs"].includes(other));
});
