import { spawn } from "node:child_process";
import process from "node:process";

/**
 * Runs `bun test`, 60 s a test unless RDS_CSI_TEST_TIMEOUT (milliseconds) says otherwise, with this script's arguments and closes with `N passed, N failed, N skipped`. A run that ended
 * without a summary (a test that called process.exit, a crash of the runner) counts as failed.
 */
const timeout = process.env.RDS_CSI_TEST_TIMEOUT ?? "60000";
const child = spawn(process.execPath, ["test", `--timeout=${timeout}`, ...process.argv.slice(2)], {
  stdio: ["ignore", "inherit", "pipe"],
});
let tail = "";
child.stderr.on("data", (data: Buffer) => {
  process.stderr.write(data);
  tail = (tail + data.toString("utf8")).slice(-16_384);
});
child.on("close", (code) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are what is removed
  const summary = tail.replace(/\x1b\[[0-9;]*m/g, "");
  const count = (kind: string): number => {
    const found = [...summary.matchAll(new RegExp(`^\\s*(\\d+) ${kind}`, "gm"))].at(-1);
    return Number(found?.[1] ?? 0);
  };
  const complete = /^Ran \d+ tests? across/m.test(summary);
  let failed = count("fail") + count("error");
  if (!complete || (code !== 0 && failed === 0)) failed = Math.max(1, failed);
  console.log(`${count("pass")} passed, ${failed} failed, ${count("skip") + count("todo")} skipped`);
  process.exitCode = failed > 0 ? 1 : (code ?? 1);
});
