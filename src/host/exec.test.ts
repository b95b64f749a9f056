import { afterAll, describe, expect, test } from "bun:test";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { until } from "../../test/support/until.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { complaint, exec } from "./exec.ts";

const sh = (script: string, deadlineMs = 10_000, more = {}) =>
  exec({ program: "sh", args: ["-c", script], deadlineMs, ...more });

const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
};

describe("exec", () => {
  test("exit code, both outputs; a failure is a result", async () => {
    expect(await sh("echo out; echo err >&2; exit 3")).toEqual({
      code: 3,
      stdout: "out\n",
      stderr: "err\n",
      truncated: false,
    });
    expect((await sh("kill -9 $$")).code).toBeNull();
  });

  test("a program that is to show signs of life is ended when it shows none, and not while it does", async () => {
    const talks = "for i in $(seq 25); do echo $i >&2; sleep 0.1; done";
    expect(await sh(talks, 60_000, { quietMs: 2_000 })).toMatchObject({ code: 0 });
    await expect(sh("echo 1; sleep 60", 20_000, { quietMs: 200 })).rejects.toMatchObject({
      id: "deadlineExceeded",
      message: expect.stringContaining("within 0.2 s"),
    });
  });

  test("arguments are not words of a shell", async () => {
    const args = ["%s|", "a b", "$HOME", "`id`", "'", "\n"];
    expect((await exec({ program: "printf", args, deadlineMs: 5_000 })).stdout).toBe("a b|$HOME|`id`|'|\n|");
  });

  test("the environment of the driver is not passed on", async () => {
    process.env.RDS_CSI_TEST_SECRET = "s3cret";
    const { stdout } = await exec({ program: "env", args: [], deadlineMs: 5_000 });
    delete process.env.RDS_CSI_TEST_SECRET;
    expect(
      stdout
        .split("\n")
        .map((line) => line.split("=")[0])
        .filter(Boolean)
        .sort(),
    ).toEqual(["LC_ALL", "PATH"]);
  });

  test("programs speak the language that is read, whatever the driver's own locale is", async () => {
    const before = { ...process.env };
    Object.assign(process.env, { LANG: "de_DE.UTF-8", LC_ALL: "de_DE.UTF-8", LANGUAGE: "de" });
    try {
      const { stdout } = await exec({ program: "env", args: [], deadlineMs: 5_000 });
      expect(stdout.split("\n").filter((line) => /^(LC_|LANG)/.test(line))).toEqual(["LC_ALL=C"]);
      const failed = await exec({ program: "cat", args: ["/no/such/file"], deadlineMs: 5_000 });
      expect(failed.stderr).toContain("No such file or directory");
    } finally {
      for (const name of ["LANG", "LC_ALL", "LANGUAGE"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });

  test("a missing program is named", async () => {
    await expect(exec({ program: "no-such-program-x", args: [], deadlineMs: 1_000 })).rejects.toMatchObject({
      id: "toolMissing",
      message: expect.stringContaining("no-such-program-x"),
    });
  });

  test("a program that cannot be started is an error of the call, also where the runtime throws at once", async () => {
    const started = exec({ program: "/bin/\0", args: [], deadlineMs: 1_000 });
    await expect(started).rejects.toMatchObject({ id: "nodeCommandFailed" });
  });

  test("output beyond the limit is dropped and said so", async () => {
    const result = await sh("head -c 300000 /dev/zero | tr '\\0' x", 10_000, { maxOutputBytes: 1000 });
    expect(result.stdout.length).toBe(1000);
    expect(result.truncated).toBe(true);
  });

  test("deadline: a process that ignores SIGTERM and its children are killed", async () => {
    const pidFile = `/tmp/rds-csi-exec-${process.pid}-${Math.trunc(performance.now())}`;
    const script = `trap '' TERM HUP INT; sleep 300 & echo $$ $! > ${pidFile}; while :; do sleep 1; done`;
    await expect(sh(script, 400)).rejects.toMatchObject({ id: "deadlineExceeded" });
    const pids = readFileSync(pidFile, "utf8").trim().split(" ").map(Number);
    await exec({ program: "rm", args: [pidFile], deadlineMs: 60_000 });
    expect(pids).toHaveLength(2);
    await until("the processes are gone", () => pids.every((pid) => !isAlive(pid)));
  });

  test("a grandchild that keeps the pipe open does not delay the result", async () => {
    const { stdout } = await sh("sleep 600 & echo $!");
    expect(isAlive(Number(stdout))).toBe(true);
    process.kill(Number(stdout), "SIGKILL");
  });

  test("abort: the reason comes through, or CANCELLED", async () => {
    const reason = failure("shuttingDown", {});
    const one = new AbortController();
    const running = sh("sleep 30", 60_000, { signal: one.signal });
    one.abort(reason);
    await expect(running).rejects.toBe(reason);
    await expect(sh("true", 1_000, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(sh("true", 1_000, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      id: "cancelled",
    });
  });

  test("complaint: a reason that is followed by the program's usage or by much else is not cut off", () => {
    const usage = `Usage: mkfs.xfs\n${"/* option */\t[-x value]\n".repeat(60)}`;
    const failed = (stderr: string) => complaint({ code: 1, stdout: "", stderr, truncated: false });
    expect(failed(`Filesystem must be larger than 300MB.\n${usage}`)).toBe(
      "Filesystem must be larger than 300MB. (exit code 1)",
    );
    expect(failed(usage)).toStartWith("Usage: mkfs.xfs / /* option */");
    const long = failed(`first reason\n${"progress\n".repeat(500)}last reason`);
    expect(long).toStartWith("first reason / progress");
    expect(long).toEndWith("progress / last reason (exit code 1)");
    expect(long.length).toBeLessThan(550);
    // Searched blank by blank, this would take minutes, longer than a test may.
    expect(failed(`a${" ".repeat(1_000_000)}b`)).toBe("a / b (exit code 1)");
  });

  test("complaint: the end of stderr, else of stdout, and the code", () => {
    const result = { code: 32, stdout: "x", stderr: "a\n  b \n", truncated: false };
    expect(complaint(result)).toBe("a / b (exit code 32)");
    expect(complaint({ ...result, stderr: "" })).toBe("x (exit code 32)");
    const silent = { ...result, stderr: "", stdout: "", code: null };
    expect(complaint(silent)).toBe("no message (ended by a signal)");
    expect(complaint({ ...silent, signal: "SIGKILL" })).toBe("no message (ended by SIGKILL)");
  });
});

const freezer = `/sys/fs/cgroup/freezer/rds-csi-exec-${process.pid}`;
const noFreezer = (() => {
  try {
    accessSync("/sys/fs/cgroup/freezer/cgroup.procs", constants.W_OK);
    return "";
  } catch {
    return "(no cgroup v1 freezer)";
  }
})();

describe.skipIf(noFreezer !== "")(`exec and a process that cannot be killed ${noFreezer}`, () => {
  afterAll(async () => {
    if (!existsSync(freezer)) return;
    writeFileSync(`${freezer}/freezer.state`, "THAWED");
    await until("the freezer is empty", () => readFileSync(`${freezer}/cgroup.procs`, "utf8") === "");
    rmdirSync(freezer);
  });

  test("the call settles at its deadline, the process is left behind", async () => {
    mkdirSync(freezer);
    // Frozen in a cgroup v1, a process does not die of SIGKILL: as good as uninterruptible sleep.
    const script = `echo $$ > ${freezer}/cgroup.procs; echo FROZEN > ${freezer}/freezer.state; sleep 60`;
    await expect(sh(script, 500)).rejects.toMatchObject({ id: "deadlineExceeded" });
    const pids = readFileSync(`${freezer}/cgroup.procs`, "utf8")
      .trim()
      .split("\n")
      .filter(Boolean)
      .map(Number);
    expect(pids.length).toBeGreaterThan(0);
    expect(pids.every(isAlive)).toBe(true);
  });
});
