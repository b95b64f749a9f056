import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { findLeaks } from "./canary.ts";

const key = newEd25519Key();
const TOKEN = "Kt7Qx2-vLm9_Zc4Rb8";
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "rds-csi-canary-test-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function look(emitted: string) {
  const secrets = [
    { name: "the key", text: key.private, known: key.public },
    { name: "the token", text: TOKEN, known: "" },
  ];
  writeFileSync(
    join(directory, "secrets-1.jsonl"),
    secrets.map((each) => `${JSON.stringify(each)}\n`).join(""),
  );
  writeFileSync(join(directory, "emitted-1-log.log"), emitted);
  const { leaks, ...rest } = findLeaks(directory);
  expect(rest).toEqual({ secrets: 2, files: 1, bytes: emitted.length });
  return leaks.map(({ secret, where }) => `${secret} ${where}`);
}

describe("findLeaks", () => {
  test("finds a key as it is, escaped, quoted, and in part", () => {
    const middle = key.private.split("\n").at(-4) ?? "";
    for (const text of [key.private, JSON.stringify({ error: key.private }), `x="${middle.slice(5, 30)}…"`])
      expect(look(`first\n${text}`).map((leak) => leak.split(":")[0])).toEqual(["the key emitted-1-log.log"]);
  });

  test("finds a token inside other text, once per file", () => {
    expect(look(`a\nauthorization: Bearer ${TOKEN}\n${TOKEN}`)).toEqual(["the token emitted-1-log.log:2"]);
  });

  test("what is public is no leak, nor is other text", () => {
    expect(look(`${key.public}\n${newEd25519Key().public}\n${"A".repeat(80)}\nfine`)).toEqual([]);
  });

  test("a secret that is too short to be looked for is refused", () => {
    writeFileSync(join(directory, "secrets-2.jsonl"), '{"name":"short","text":"hunter2","known":""}\n');
    expect(() => look("x")).toThrow('"short" is too short');
    rmSync(join(directory, "secrets-2.jsonl"));
  });
});

/** Runs one test file through the script that runs all of them. */
function runTests(body: string, env: Readonly<Record<string, string>> = {}, more: readonly string[] = []) {
  // Beside this file: a test outside the repository is not found.
  const cache = join(import.meta.dir, "../../.cache");
  mkdirSync(cache, { recursive: true });
  const inside = mkdtempSync(join(cache, "canary-"));
  try {
    const canary = join(import.meta.dir, "../../test/support/canary.ts");
    writeFileSync(
      join(inside, "planted.test.ts"),
      `import { test } from "bun:test";
      import { emitted, registerSecret } from ${JSON.stringify(canary)};
      import { existsSync } from "node:fs";
      const skips = process.env.PLANTED_SKIPS !== undefined && existsSync(import.meta.dir + "/mark");
      test.skipIf(skips)("t", () => { ${body} });
      test("u", () => {});`,
    );
    const script = join(import.meta.dir, "run-tests.ts");
    const args = [script, ...more, `--path-ignore-patterns=none`, join(inside, "planted.test.ts")];
    const { status, stdout } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
    return { status, lines: stdout.trimEnd().split("\n") };
  } finally {
    rmSync(inside, { recursive: true });
  }
}

describe("a test run", () => {
  const plant = `registerSecret("planted password", ${JSON.stringify(TOKEN)});`;

  test("fails by name if a secret is in a collected text or on its own output", () => {
    const collected = runTests(`${plant} emitted("log", "password " + ${JSON.stringify(TOKEN)});`);
    expect(collected.status).toBe(1);
    expect(collected.lines.at(-1)).toBe("2 passed, 1 failed, 0 skipped");
    expect(collected.lines.join("\n")).toMatch(/^canary: "planted password" is in emitted-\d+-log\.log:1$/m);
    const printed = runTests(`${plant} console.log(${JSON.stringify(TOKEN)});`);
    expect(printed.status).toBe(1);
    expect(printed.lines.join("\n")).toMatch(/^canary: "planted password" is in emitted-stdout\.log:\d+$/m);
  });

  test("passes and says how much it looked at if there is none", () => {
    const clean = runTests(`${plant} emitted("log", "fine");`);
    expect(clean.lines.at(-1)).toBe("2 passed, 0 failed, 0 skipped");
    expect(clean.lines.at(-2)).toMatch(/^canary: none of 1 secrets is in 3 files, \d+ bytes$/);
    expect(clean.status).toBe(0);
  });

  const once = `const fs = require("node:fs"); const mark = import.meta.dir + "/mark";
    if (!fs.existsSync(mark)) { fs.writeFileSync(mark, ""); throw new Error("the first time"); }`;

  test("repeats a file with a failed test once where that is asked for, and names the test that passed then", () => {
    const flaky = runTests(once, { RDS_CSI_TEST_REPEAT: "1" });
    expect(flaky.lines).toContainEqual(expect.stringMatching(/^flaky: .*planted\.test\.ts › t$/));
    expect(flaky.lines).toContain("  Error: the first time");
    expect(flaky.lines.at(-1)).toBe("2 passed, 0 failed, 0 skipped");
    expect(flaky.status).toBe(0);
    const never = runTests(`throw new Error("always");`, { RDS_CSI_TEST_REPEAT: "1" });
    expect(never.lines.join("\n")).not.toContain("flaky:");
    expect(never.lines.join("\n")).toMatch(/^failed: .*planted\.test\.ts › t\n {2}Error: always$/m);
    expect(never.lines.at(-1)).toBe("1 passed, 1 failed, 0 skipped");
    expect(never.status).toBe(1);
    expect(runTests(once).lines.at(-1)).toBe("1 passed, 1 failed, 0 skipped");
    const late = runTests(once, { RDS_CSI_TEST_REPEAT: "1", RDS_CSI_TEST_REPEAT_UNTIL: "1" });
    expect(late.lines.join("\n")).toMatch(/^not repeated, as no time is left: .*planted\.test\.ts$/m);
    expect(late.lines.at(-1)).toBe("1 passed, 1 failed, 0 skipped");
  });

  test("a failure stays one unless the same test is seen to pass when it is repeated", () => {
    const env = { RDS_CSI_TEST_REPEAT: "1" };
    const skipped = runTests(once, { ...env, PLANTED_SKIPS: "1" });
    expect(skipped.lines.join("\n")).toContain("repeat: ");
    expect([skipped.lines.at(-1), skipped.status]).toEqual(["1 passed, 1 failed, 0 skipped", 1]);
    const options = runTests(once, env, ["-t", "^(?!x)"]);
    expect([options.lines.at(-1), options.status]).toEqual(["2 passed, 0 failed, 0 skipped", 0]);
    const noReport = runTests(
      `require("node:fs").mkdirSync(process.env.RDS_CSI_CANARY_DIR + "/report.xml"); ${once}`,
      env,
    );
    expect([noReport.lines.at(-1), noReport.status]).toEqual(["1 passed, 1 failed, 0 skipped", 1]);
  });
});
