import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable, repository } from "../support/executable.ts";
import { capture } from "../support/processes.ts";
import { secretKey } from "../support/secret-key.ts";

// The executable with nothing around it: an empty directory, an environment without PATH and HOME.

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-alone-"));
  await mkdir(join(directory, "empty"));
});
afterAll(() => rm(directory, { recursive: true }));

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  capture(executable, args, { env, cwd: join(directory, "empty") });

const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { version: string };

describe("alone in an empty directory, with an empty environment", () => {
  test("version: as text by three names, as JSON", async () => {
    for (const name of ["version", "--version", "-V"]) {
      const { code, stdout, stderr } = await run([name]);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/^rds-csi \S+ \(commit \S+, bun [\d.]+, linux\/\w+\)\n$/);
      expect(stdout).toStartWith(`rds-csi ${version} `);
    }
    const { code, stdout } = await run(["version", "-o", "json"]);
    expect([code, Object.keys(JSON.parse(stdout))]).toEqual([
      0,
      ["version", "commit", "runtime", "platform"],
    ]);
  });

  test("help of every command: on standard output, exit 0, within 100 columns", async () => {
    const commands = [
      [],
      ["controller"],
      ["node"],
      ["simulate"],
      ["volumes"],
      ["volumes", "list"],
      ["version"],
      ["completion"],
    ];
    for (const command of commands) {
      const { code, stdout, stderr } = await run([...command, "--help"]);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toStartWith(`Usage: ${["rds-csi", ...command].join(" ")} `);
      expect(stdout).toContain("Exit codes:\n  0  success");
      const long = stdout.split("\n").filter((line) => line.length > 120);
      expect(long).toEqual([]);
    }
  });

  const wrong: readonly [string, readonly string[], RegExp][] = [
    ["nothing at all", [], /^Usage: rds-csi /],
    ["an unknown command", ["nope"], /^error: unknown command 'nope'/],
    [
      "an unknown option",
      ["node", "--bogus"],
      /^rds-csi: 1 mistake in the command line:\n {2}--bogus is no option of this command/,
    ],
    [
      "an unknown option of version",
      ["version", "--bogus"],
      /^rds-csi: 1 mistake in the command line:\n {2}--bogus is no option of this command/,
    ],
    ["a surplus argument", ["version", "extra"], /^error: too many arguments for 'version'/],
    ["a missing value", ["node", "--node-id"], /^error: option '--node-id <id>' argument missing/],
    [
      "an unknown form of output",
      ["volumes", "list", "-o", "xml"],
      /^ {2}--output is "xml", not one of table, wide, json, yaml/m,
    ],
    ["a bad limit", ["volumes", "list", "--timeout", "0"], /--timeout/],
    ["an unknown shell", ["completion", "csh"], /csh/],
  ];
  for (const [name, args, message] of wrong) {
    test(`${name}: exit 2, on standard error only`, async () => {
      const { code, stdout, stderr } = await run(args);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(message);
    });
  }

  test("every mistake of the configuration at once, whatever it comes from: exit 2, nothing done", async () => {
    const config = join(directory, "config.yaml");
    await writeFile(config, "pool: '*'\nrds-adress: 192.0.2.1\nreserve-bytes: -1\n");
    const { code, stdout, stderr } = await run(
      ["controller", "--config", config, "--fencing", "maybe", "--rds-key-file", "relative/key"],
      { RDS_CSI_RDS_ADDRESS: "a b", RDS_CSI_RDS_PASSWORD: "hunter2", RDS_CSI_NODES: "ok,-bad" },
    );
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toStartWith("rds-csi: 9 mistakes in the configuration:\n");
    for (const part of [
      `rds-adress in ${config}`,
      `key pool in ${config}`,
      `key reserve-bytes in ${config}`,
      "--fencing",
      "--rds-key-file",
      "RDS_CSI_RDS_ADDRESS",
      "RDS_CSI_RDS_PASSWORD",
      "RDS_CSI_NODES",
      "--rds-host-key and --rds-host-key-file",
    ]) {
      expect(stderr.split("\n").filter((line) => line.startsWith(`  `) && line.includes(part))).not.toEqual(
        [],
      );
    }
    expect(stderr).not.toContain("hunter2");
    expect(await readdir(join(directory, "empty"))).toEqual([]);
  });

  test("node and simulate: what is required is named", async () => {
    const node = await run(["node", "--data-path", "loop"]);
    expect([node.code, node.stderr.split("\n")[0]]).toEqual([2, "rds-csi: 2 mistakes in the configuration:"]);
    expect(node.stderr).toContain("  --node-id is required.\n");
    expect(node.stderr).toContain("  --loop-exports-dir is required with --data-path loop.\n");
    const simulate = await run(["simulate", "--switch", "nope=1", "--listen", "here"]);
    expect([simulate.code, simulate.stderr.split("\n")[0]]).toEqual([
      2,
      "rds-csi: 4 mistakes in the configuration:",
    ]);
  });

  test("a socket that cannot be had: exit 1, with the path and the reason", async () => {
    const key = secretKey("user key");
    await writeFile(join(directory, "key"), key.private, { mode: 0o600 });
    const rds = [
      "--rds-address",
      "127.0.0.1:1",
      "--rds-key-file",
      join(directory, "key"),
      "--nodes",
      "a",
      "--orchestrator",
      "none",
    ];
    const pin = ["--rds-host-key", key.public];
    for (const [path, reason] of [
      [join(directory, "no/such/dir.sock"), "ENOENT"],
      [join(directory, "config-file"), "a file that is not a socket is in the way"],
    ] as const) {
      await writeFile(join(directory, "config-file"), "precious");
      const { code, stdout, stderr } = await run(["controller", ...rds, ...pin, "--endpoint", path]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(`cannot listen on ${path}: `);
      expect(stderr).toContain(reason);
      expect(readFileSync(join(directory, "config-file"), "utf8")).toBe("precious");
    }
    const { code, stderr } = await run(["controller", ...rds, ...pin, "--endpoint", `/${"x".repeat(107)}`]);
    expect([code, stderr.includes("107")]).toEqual([2, true]);
  });

  test("an RDS that is away: volumes list gives up in time with exit 1, and names it", async () => {
    const list = (timeout: string) => [
      ...["volumes", "list", "--timeout", timeout, "--rds-address", "127.0.0.1:1"],
      ...["--rds-key-file", join(directory, "key"), "--rds-host-key", secretKey("user key").public],
    ];
    const patient = spawn(executable, list("60"), { stdio: "ignore", env: {} });
    const patientEnded = once(patient, "exit");
    const { code, stdout, stderr } = await run(list("1"));
    const endedFirst = patient.exitCode === null;
    patient.kill();
    await patientEnded;
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^rds-csi: the RDS at 127\.0\.0\.1:1 is not reachable over SSH: /);
    expect(endedFirst).toBe(true);
  });

  test("it leaves no file behind", async () => {
    expect(await readdir(join(directory, "empty"))).toEqual([]);
  });
});

describe("in a hostile environment", () => {
  const evil = async () => {
    const path = join(directory, "evil-preload.js");
    await writeFile(path, "globalThis.preloaded = true;");
    return path;
  };

  test("variables that make Bun load code, open a port or write files: exit 2 with their names", async () => {
    const preload = await evil();
    for (const [name, value] of [
      ["BUN_OPTIONS", `--preload ${preload}`],
      ["BUN_OPTIONS", ""],
      ["BUN_INSPECT", "127.0.0.1:0"],
      ["BUN_INSPECT_CONNECT_TO", "unix:///nowhere.sock"],
      ["BUN_INSPECT_PRELOAD", preload],
      ["BUN_JSC_useDollarVM", "1"],
      ["BUN_BYTECODE_ORDER_OUT", join(directory, "order")],
      ["BUN_CRASH_REPORT_URL", "http://127.0.0.1:1"],
      ["BUN_FEATURE_FLAG_INTERNAL_FOR_TESTING", "1"],
    ] as const) {
      for (const args of [["version"], ["controller"], ["node-helper", "users", "/dev/null"]]) {
        const { code, stdout, stderr } = await run(args, { [name]: value });
        expect([name, code, stdout]).toEqual([name, 2, ""]);
        expect(stderr).toContain(`rds-csi: ${name} in the environment would change how this program runs.\n`);
      }
    }
  });

  test("others of the same beginning are those of Services or of an installed Bun: no matter", async () => {
    const env = {
      BUN_INSTALL: "/opt/bun",
      BUN_PORT: "tcp://192.0.2.10:80",
      BUN_OPTIONS_SERVICE_HOST: "192.0.2.10",
      BUN_INSPECT_PORT: "tcp://192.0.2.10:80",
      BUN_DEBUG_SERVICE_HOST: "192.0.2.10",
      BUN_DEBUG_PORT: "tcp://192.0.2.10:80",
      BUN_INTERNAL_API_PORT_80_TCP_ADDR: "192.0.2.10",
      NODE_OPTIONS: `--require ${await evil()} --inspect=127.0.0.1:0`,
    };
    const { code, stderr } = await run(["version"], env);
    expect([code, stderr]).toEqual([0, ""]);
  });
});

describe("in a hostile directory", () => {
  test("its .env, bunfig.toml, tsconfig.json, package.json and node_modules have no effect", async () => {
    const hostile = join(directory, "hostile");
    const evil = `require("node:fs").writeFileSync(${JSON.stringify(join(directory, "PWNED"))}, "x");`;
    for (const name of ["cpu-features", "ssh2", "commander", "nan"]) {
      await mkdir(join(hostile, "node_modules", name), { recursive: true });
      await writeFile(join(hostile, "node_modules", name, "index.js"), evil);
    }
    await writeFile(join(hostile, "evil.js"), evil);
    await writeFile(join(hostile, ".env"), "RDS_CSI_NODE_ID=hijacked\nRDS_CSI_LOG_LEVEL=debug\n");
    await writeFile(join(hostile, ".env.production"), "RDS_CSI_NODE_ID=hijacked\n");
    await writeFile(join(hostile, "bunfig.toml"), 'preload = ["./evil.js"]\n');
    await writeFile(join(hostile, "tsconfig.json"), '{"compilerOptions":{"paths":{"ssh2":["./evil.js"]}}}');
    await writeFile(join(hostile, "package.json"), '{"imports":{"#x":"./evil.js"},"version":"6.6.6"}');
    const where = { cwd: hostile, env: {} };
    expect((await capture(executable, ["version"], where)).stdout).toStartWith(`rds-csi ${version} `);
    const node = await capture(executable, ["node"], where);
    expect(node.stderr).toContain("  --node-id is required.\n");
    const list = await capture(
      executable,
      [
        ...["volumes", "list", "--timeout", "1", "--rds-address", "127.0.0.1:1"],
        ...["--rds-key-file", join(directory, "key"), "--rds-host-key", secretKey("user key").public],
      ],
      where,
    );
    expect(list.code).toBe(1);
    expect((await readdir(directory)).includes("PWNED")).toBe(false);
  });
});
