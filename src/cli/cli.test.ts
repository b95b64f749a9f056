import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cliDocs } from "../../scripts/lib/docs/cli-page.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { HELPER_COMMAND } from "../host/helper.ts";
import { testIo } from "./cli.fixture.ts";
import { completionScript, SHELLS } from "./completion.ts";
import { EXIT_CODE_DOCS, ExitCode } from "./exit-codes.ts";
import { Stopped } from "./io.ts";
import { main } from "./main.ts";
import { buildProgram } from "./program.ts";
import { reportError } from "./report-error.ts";

async function run(...args: string[]) {
  const io = testIo();
  return { code: await main(args, io), ...io.written };
}

describe("usage", () => {
  test("--help of every command works and tells the truth about options", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(0);
    for (const name of [
      "controller",
      "node",
      "simulate",
      "volumes",
      "snapshots",
      "diagnose",
      "version",
      "completion",
    ])
      expect(out).toContain(name);
    for (const [exit, meaning] of EXIT_CODE_DOCS) expect(out).toContain(`${exit}  ${meaning}`);
    const controller = await run("controller", "--help");
    expect(controller.out).toContain("--rds-host-key <pin>");
    expect(controller.out).toContain("RDS_CSI_NVME_PORT");
    expect(controller.out).toContain("Examples:");
    expect((await run("volumes", "list", "--help")).out).toContain("--fail-on-problems");
  });

  test("wrong usage is exit code 2, with help on standard error", async () => {
    for (const args of [
      [],
      ["volumes"],
      ["nothing"],
      ["node", "--nope"],
      ["version", "x"],
      ["completion"],
      ["completion", "tcsh"],
      ["volumes", "list", "-o", "xml"],
      ["volumes", "list", "--timeout", "0"],
      ["snapshots"],
      ["snapshots", "show"],
      ["snapshots", "prune", "--selector", "a=b"],
      ["node", "--node-id"],
    ]) {
      const { code, out, err } = await run(...args);
      expect([args, code]).toEqual([args, ExitCode.usage]);
      expect(out).toBe("");
      expect(err.length).toBeGreaterThan(10);
    }
  });

  test("a name that is none is wrong usage, of every command that takes one", async () => {
    for (const command of ["volumes show", "volumes record", "volumes convert", "snapshots show"]) {
      const { code, err } = await run(...command.split(" "), "a/b/c");
      expect([command, code]).toEqual([command, ExitCode.usage]);
      expect(err).toContain("error: expected namespace/name, or a name and maybe --namespace");
    }
  });

  test("configuration mistakes are exit code 2, all at once, without a stack", async () => {
    const { code, err } = await run(
      "controller",
      "--orchestrator",
      "none",
      "--nvme-port",
      "x",
      "--fencing",
      "y",
    );
    expect(code).toBe(ExitCode.usage);
    expect(err).toContain("6 mistakes");
    for (const part of ["--nvme-port", "--fencing", "--rds-address", "RDS_CSI_RDS_KEY_FILE"])
      expect(err).toContain(part);
    expect(err).not.toContain("    at ");
  });

  test("version", async () => {
    expect((await run("version")).out).toMatch(/^rds-csi \d+\.\d+\.\d+\S* \(commit \S+, .+\)\n$/);
    expect(JSON.parse((await run("version", "-o", "json")).out)).toHaveProperty("commit");
    expect(await run("--version")).toMatchObject({ code: 0, out: (await run("version")).out });
  });
});

describe("several mistakes", () => {
  test("every unknown option is reported, with the one that was meant", async () => {
    const { code, err } = await run("volumes", "list", "--time-out", "3", "--nope=1", "-x");
    expect(code).toBe(ExitCode.usage);
    expect(err).toStartWith("rds-csi: 3 mistakes in the command line:\n");
    expect(err).toContain("Did you mean --timeout?");
    expect(err).toMatch(/--nope is no option of this command\.\n.*Run `rds-csi volumes list --help`/);
    expect(err).toContain("-x is no option");
    expect((await run("version", "--output", "xml", "--nope")).err).toContain("2 mistakes");
  });

  test("wrong values of a command's own options are reported together with those of its configuration", async () => {
    const { code, err } = await run("volumes", "list", "-o", "xml", "--timeout", "0", "--fencing", "y");
    expect(code).toBe(ExitCode.usage);
    for (const part of [
      '--output is "xml", not one of table, wide, json, yaml',
      '--timeout is "0", not a whole number of seconds from 1 to 3600',
      '--fencing is "y"',
      "--rds-address is required",
    ])
      expect(err).toContain(part);
    expect((await run("version", "-o", "xml")).err).toContain('--output is "xml"');
  });

  test("a configuration file that is missing is one mistake", async () => {
    for (const args of [
      ["volumes", "list"],
      ["snapshots", "list"],
      ["controller"],
      ["node"],
      ["simulate"],
      ["diagnose"],
    ]) {
      const { code, err } = await run(...args, "--config", "/nothing");
      expect([args, code, err.split("\n")[0]]).toEqual([
        args,
        ExitCode.usage,
        "rds-csi: 1 mistake in the configuration:",
      ]);
      expect(err).toContain("--config names /nothing");
    }
  });
});

describe("help on a terminal", () => {
  const narrow = async (...args: string[]) => {
    const io = testIo({ columns: 80 });
    expect(await main([...args, "--help"], io)).toBe(0);
    return io.written.out;
  };

  test("fits the terminal", async () => {
    for (const args of [
      [],
      ["controller"],
      ["node"],
      ["simulate"],
      ["diagnose"],
      ["volumes"],
      ["volumes", "list"],
      ["volumes", "show"],
      ["volumes", "record"],
      ["snapshots"],
      ["snapshots", "list"],
      ["snapshots", "show"],
      ["snapshots", "prune"],
      ["version"],
      ["completion"],
    ]) {
      const wide = (await narrow(...args)).split("\n").filter((line) => [...line].length > 80);
      // Shells would read a broken quotation, and no word is cut.
      expect(wide.filter((line) => !line.includes("'") && /\S\s+\S/.test(line.trim()))).toEqual([]);
    }
  });

  test("a command's own options come first, then the configuration", async () => {
    for (const [args, own] of [
      [
        ["volumes", "list"],
        ["--output", "--watch", "--timeout", "--fail-on-problems"],
      ],
      [["diagnose"], ["--output", "--volume", "--bundle"]],
      [
        ["volumes", "record"],
        ["--output", "--restore", "--yes"],
      ],
    ] as const) {
      const text = await narrow(...args);
      const configuration = text.indexOf("Configuration, by flag");
      expect(configuration).toBeGreaterThan(0);
      for (const flag of own) expect([flag, text.indexOf(flag) < configuration]).toEqual([flag, true]);
      expect(text.indexOf("--rds-address")).toBeGreaterThan(configuration);
      expect(text.indexOf("--config <path>")).toBeGreaterThan(configuration);
    }
  });
});

describe("errors for people", () => {
  test("catalogue errors: summary and remedy; stack for debug only", () => {
    const error = failure("rdsUnreachable", { address: "rds:22", reason: "no route" }, new Error("deep"));
    const brief = reportError(error, false);
    expect(brief).toMatchObject({ code: ExitCode.failure });
    expect(brief.text).toContain("rds:22 is not reachable");
    expect(brief.text).toContain(error.commandRemedy);
    expect(brief.text).not.toContain("by itself");
    expect(brief.text).not.toContain("    at ");
    expect(reportError(error, true).text).toMatch(/ {4}at [\s\S]*caused by Error: deep/);
  });

  test("a command that was told to stop says so, in no words of a caller", () => {
    const stop = AbortSignal.abort(new Stopped("received SIGINT"));
    const cancelled = failure("cancelled", { what: "reading the list" });
    for (const error of [
      cancelled,
      failure("clusterIdUnknown", { reason: "cancelled" }, cancelled),
      stop.reason,
      new DOMException("aborted", "AbortError"),
    ]) {
      const { text, code } = reportError(error, false, stop);
      expect([text, code]).toEqual([
        "rds-csi: received SIGINT before the command was done.\n",
        ExitCode.failure,
      ]);
    }
    // Other errors are still told.
    const other = failure("volumeNotFound", { volume: "v" });
    expect(reportError(other, false, stop).text).toContain("volume v does not exist");
    expect(reportError(cancelled, false).text).toContain("was cancelled");
  });

  test("anything else", () => {
    expect(reportError(new Error("boom"), false).text).toContain("boom");
    expect(reportError("text", false)).toMatchObject({ code: ExitCode.failure });
  });
});

describe("loading", () => {
  /** Modules that are loaded before a command's action runs. */
  function eager(file: string, seen = new Set<string>()): Set<string> {
    if (seen.has(file)) return seen;
    seen.add(file);
    const source = readFileSync(file, "utf8");
    for (const [, name = ""] of source.matchAll(
      /^(?:import|export) (?!type\b)[^;]*? from "([^"]+)";|^import "([^"]+)";/gm,
    )) {
      if (name.startsWith(".")) eager(join(dirname(file), name), seen);
      else seen.add(name);
    }
    return seen;
  }

  test("no heavy package is loaded before a command needs it", () => {
    const loaded = eager(join(import.meta.dir, "main.ts"));
    expect(loaded.has("commander")).toBe(true);
    for (const heavy of ["ssh2", "@grpc/grpc-js", "@bufbuild/protobuf", "prom-client", "yaml"]) {
      expect([heavy, loaded.has(heavy)]).toEqual([heavy, false]);
    }
    // The walk itself must be able to find them.
    expect(eager(join(import.meta.dir, "volumes/list.ts")).has("ssh2")).toBe(true);
  });

  test("main.ts knows the name of the node's helper", () => {
    expect(readFileSync(join(import.meta.dir, "../main.ts"), "utf8")).toContain(
      `args[0] === "${HELPER_COMMAND}"`,
    );
  });
});

describe("completion", () => {
  const program = buildProgram(testIo(), () => {});

  test("every shell gets every command and option", () => {
    for (const shell of SHELLS) {
      const script = completionScript(program, shell);
      for (const word of [
        "controller",
        "completion",
        "volumes",
        "list",
        "rds-host-key",
        "fail-on-problems",
      ]) {
        expect([shell, word, script.includes(word)]).toEqual([shell, word, true]);
      }
    }
  });

  test("bash offers what follows the words before the cursor", () => {
    const script = completionScript(program, "bash");
    const offer = (...words: string[]): string[] => {
      const last = words.length - 1;
      const list = words.map((word) => `'${word}'`).join(" ");
      const run = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${last}; _rds_csi; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", run], { encoding: "utf8" })
        .split("\n")
        .filter((word) => word !== "");
    };
    expect(offer("rds-csi", "cont")).toEqual(["controller"]);
    expect(offer("rds-csi", "volumes", "")).toContain("list");
    expect(offer("rds-csi", "volumes", "list", "--fail")).toEqual(["--fail-on-problems"]);
    expect(offer("rds-csi", "snapshots", "")).toEqual(["list", "show", "prune", "--help"]);
    expect(offer("rds-csi", "snapshots", "list", "--state", "m")).toEqual(["missing"]);
    expect(offer("rds-csi", "snapshots", "prune", "--sel")).toEqual(["--selector"]);
    expect(offer("rds-csi", "snapshots", "prune", "--rds")).toEqual([]);
    expect(offer("rds-csi", "completion", "z")).toEqual(["zsh"]);
    expect(offer("rds-csi", "controller", "--fencing", "off", "--rds-host-key-")).toEqual([
      "--rds-host-key-file",
    ]);
    // Values, where an option takes some words only.
    expect(offer("rds-csi", "volumes", "list", "-o", "")).toEqual(["table", "wide", "json", "yaml"]);
    expect(offer("rds-csi", "version", "--output", "j")).toEqual(["json"]);
    expect(offer("rds-csi", "version", "--output", "=", "t")).toEqual(["text"]);
    expect(offer("rds-csi", "controller", "--fencing", "epoch")).toEqual(["epoch", "epoch+hosts"]);
    expect(offer("rds-csi", "node", "--remove-startup-taint", "")).toEqual(["true", "false"]);
    expect(offer("rds-csi", "simulate", "--profile", "host")).toEqual(["hostile"]);
    // A text that is not known offers nothing, a path offers files, and words of the help are no values.
    expect(offer("rds-csi", "volumes", "list", "--timeout", "")).toEqual([]);
    expect(offer("rds-csi", "node", "--config", "/etc/host")).toContain("/etc/hostname");
    expect(offer("rds-csi", "volumes", "show", "vol")).toEqual([]);
    expect(offer("rds-csi", "volumes", "show", "Pers")).toEqual([]);
  });

  test("fish gets the values too", () => {
    const lines = completionScript(program, "fish").split("\n");
    const of = (flag: string) =>
      lines.filter((line) => line.includes("from version") && line.includes(`-l ${flag} `));
    expect(of("output")).toEqual([expect.stringContaining("-l output -s o -x -a 'text json' -d")]);
    expect(lines.find((line) => line.includes("-l kubeconfig "))).toContain("-l kubeconfig -r");
  });
});

test("docs/cli.md is what the command tree says (scripts/docs writes it)", async () => {
  expect(await readFile(join(import.meta.dir, "../../docs/cli.md"), "utf8")).toBe(cliDocs());
});
