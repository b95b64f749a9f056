import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { type Command, exec } from "../host/exec.ts";
import { createHelper, helperCommand, SCAN_LIMIT_MS, SERVE } from "../host/helper.ts";

const MIB = 1024 * 1024;
const [program = "", ...prefix] = helperCommand();
const run = (args: readonly string[]) => exec({ program, args: [...prefix, ...args], deadlineMs: 20_000 });

describe("helper process", () => {
  test.each([
    [],
    ["blank"],
    ["blank", "/dev/null"],
    ["blank", "/dev/null", "x", "deep"],
    ["blank", "/dev/null", "-1", "deep"],
    ["blank", "/dev/null", "1"],
    ["inspect", "/dev/null", "1"],
    ["ext4"],
    ["format", "/dev/null", "1:3"],
    ["uuid", "/dev/null", "ext4", "nil"],
    ["uuid", "/dev/null", "btrfs", "01234567-89ab-4def-8123-456789abcdef"],
    ["set-uuid", "/dev/null", "1", "xfs", "01234567-89ab-4def-8123-456789abcdef"],
    ["set-uuid", "/dev/null", "1:3", "xfs", "generate"],
    ["end-controller", "/sys"],
    ["end-controller", "/sys", "../nvme0", "nqn"],
    ["end-controller", "/sys", "nvme0"],
  ])("wrong usage does nothing: %p", async (...args) => {
    expect(await run(args)).toMatchObject({ code: 2, stdout: "" });
  });

  test("answers through a real process: blank, data, unreadable", async () => {
    const directory = mkdtempSync(join(tmpdir(), "rds-csi-helper-"));
    try {
      const path = join(directory, "image");
      writeFileSync(path, "");
      truncateSync(path, 20 * MIB);
      const helper = createHelper(exec);
      const size = BigInt(20 * MIB);
      expect(await helper.lookForData(path, size, false)).toMatchObject({ kind: "blank" });
      expect(await helper.lookForData(path, size + 512n, true)).toMatchObject({ kind: "unreadable" });
      writeFileSync(path, "x".repeat(MIB));
      truncateSync(path, 20 * MIB);
      expect(await helper.lookForData(path, size, false)).toEqual({ kind: "data", offset: 0 });
      expect(await helper.ext4State(path)).toEqual({ kind: "other" });
      expect(await helper.ext4State(join(directory, "none"))).toMatchObject({ kind: "unreadable" });
      expect(await helper.inspect(path, ["7:1"], [])).toMatchObject({ exclusive: "changed" });
      expect(await helper.inspect(join(directory, "none"), ["7:1"], [])).toMatchObject({
        exclusive: "error",
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test.each([
    ["", "exec"],
    [", from an input that does not wait", "dd iflag=nonblock count=0 status=none; exec"],
  ])("serves one question after the other until its input ends%s", async (_, start) => {
    const args = ["-c", `${start} "$0" "$@"`, program, ...prefix, SERVE];
    const child = spawn("sh", args, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "close");
    let answers = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      answers += text;
    });
    const lines = () => answers.split("\n").length - 1;
    const questions = ["1", "2", "3"].map((name) => JSON.stringify([Number(name), "ext4", `/ü${name}`]));
    const input = Buffer.from(`${questions.join("\n")}\n`);
    // In the middle of a character of the third question.
    const cut = input.lastIndexOf("ü") + 1;
    child.stdin?.write(input.subarray(0, cut));
    await until("two questions are answered", async () => lines() === 2);
    child.stdin?.write(input.subarray(cut));
    await until("the third question is answered", async () => lines() === 3);
    expect(answers.split("\n").map((line) => line.slice(0, 2))).toEqual(["1 ", "2 ", "3 ", ""]);
    expect(answers).toContain("'/ü3'");
    child.stdin?.end();
    expect(await ended).toEqual([0, null]);
  });

  test("serving ends at a question that is none", async () => {
    const child = spawn(program, [...prefix, SERVE], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin?.write('[1,"format","/dev/null"]\n');
    expect(await once(child, "close")).toEqual([2, null]);
  });

  test("a helper that fails, or does not answer in JSON, tells nothing", async () => {
    for (const result of [
      { code: 1, stdout: "", stderr: "crash" },
      { code: null, stdout: '{"kind":"blank"}', stderr: "" },
      { code: 0, stdout: "", stderr: "" },
      { code: 0, stdout: '{"kind":', stderr: "" },
    ]) {
      const helper = createHelper(async () => ({ ...result, truncated: false }));
      await expect(helper.lookForData("/dev/x", 1n, false)).rejects.toMatchObject({ id: "nodeStateUnknown" });
    }
  });

  test("a scan is waited for as long as it shows signs of life, and has time to say why it ended", async () => {
    const commands: Command<string>[] = [];
    const stdout = JSON.stringify({
      exclusive: "free",
      processes: { uses: [], unreadable: 0 },
      backing: { files: [], remote: [] },
    });
    const helper = createHelper(async (command) => {
      commands.push(command);
      return { code: 0, stdout, stderr: "", truncated: false };
    });
    await helper.inspect("/dev/x", ["259:1"], []);
    expect(commands[0]).toMatchObject({ quietMs: 20_000 });
    expect(commands[0]?.deadlineMs).toBeGreaterThan(SCAN_LIMIT_MS);
  });

  test("compiled, the executable starts itself; from source, the runtime starts the file", () => {
    expect(helperCommand("file:///$bunfs/root/rds-csi", "/usr/bin/rds-csi")).toEqual([
      "/usr/bin/rds-csi",
      "node-helper",
    ]);
    expect(helperCommand("file:///src/host/helper.ts", "/usr/bin/bun")).toEqual([
      "/usr/bin/bun",
      "/src/node/helper-entry.ts",
    ]);
  });
});
