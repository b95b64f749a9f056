import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type ExecResult, exec } from "../host/exec.ts";
import { fuserPids } from "./fuser.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-fuser-"));
});
afterAll(() => rm(directory, { recursive: true }));

const answers = (result: Partial<ExecResult>) => async () => ({
  code: 0,
  stdout: "",
  stderr: "",
  truncated: false,
  ...result,
});

describe("fuser", () => {
  test.skipIf(!existsSync("/usr/bin/fuser"))(
    "finds this process on a file that it holds open, and nobody after",
    async () => {
      const file = join(directory, "held");
      await writeFile(file, "x");
      const handle = await open(file, "r");
      expect(await fuserPids(exec, file)).toEqual([process.pid]);
      await handle.close();
      expect(await fuserPids(exec, file)).toEqual([]);
    },
  );

  test("silence with status 1 is nobody; a complaint or another status is unknown", async () => {
    expect(await fuserPids(answers({ code: 1 }), "/dev/x")).toEqual([]);
    expect(await fuserPids(answers({ code: 1, stderr: " \n" }), "/dev/x")).toEqual([]);
    expect(await fuserPids(answers({ stdout: " 12  345" }), "/dev/x")).toEqual([12, 345]);
    for (const result of [
      { code: 1, stderr: "Specified filename /dev/x does not exist." },
      { code: 1, stdout: "12a" },
      { code: 1, stdout: "12" },
      { code: 0, stdout: " 12 34x" },
      { code: 0, stdout: " 12 x34" },
      { code: 1, stderr: "/dev/x: Cannot open /proc/12/fd: No such device" },
      { code: 2 },
      { code: null },
      { code: 0 },
    ]) {
      await expect(fuserPids(answers(result), "/dev/x")).rejects.toThrow("whether /dev/x is in use");
    }
  });
});
