import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure } from "../domain/errors/driver-error.ts";
import { HELPER_COMMAND } from "../host/helper.ts";

import { testIo } from "./cli.fixture.ts";
import { completionScript, SHELLS } from "./completion.ts";
import { cliDocs } from "./docs.ts";
import { EXIT_CODE_DOCS, ExitCode } from "./exit-codes.ts";
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
    for (const name of ["controller", "node", "simulate", "volumes", "diagnose", "version", "completion"])
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
      ["node", "--node-id"],
    ]) {
      const { code, out, err } = await run(...args);
      expect([args, code]).toEqual([args, ExitCode.usage]);
      expect(out).toBe("");
      expect(err.length).toBeGreaterThan(10);
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

describe("errors for people", () => {
  test("catalogue errors: summary and remedy; stack for debug only", () => {
    const error = failure("rdsUnreachable", { address: "rds:22", reason: "no route" }, new Error("deep"));
    const brief = reportError(error, false);
    expect(brief).toMatchObject({ code: ExitCode.failure });
    expect(brief.text).toContain("rds:22 is not reachable");
    expect(brief.text).toContain(error.remedy);
    expect(brief.text).not.toContain("    at ");
    expect(reportError(error, true).text).toMatch(/ {4}at [\s\S]*caused by Error: deep/);
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
    expect(offer("rds-csi", "completion", "z")).toEqual(["zsh"]);
    expect(offer("rds-csi", "controller", "--fencing", "off", "--rds-host-key-")).toEqual([
      "--rds-host-key-file",
    ]);
  });
});

test("docs/cli.md is what the command tree says (bun src/cli/write-docs.ts writes it)", async () => {
  expect(await readFile(join(import.meta.dir, "../../docs/cli.md"), "utf8")).toBe(cliDocs());
});
