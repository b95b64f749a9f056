import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { finished } from "node:stream/promises";
import { findLeaks, makeCanaryDirectory, removeCanaryDirectory } from "./canary.ts";

/**
 * Runs `bun test`, 60 s a test unless RDS_CSI_TEST_TIMEOUT (milliseconds) says otherwise, with this script's arguments and closes with `N passed, N failed, N skipped`. A run that ended
 * without a summary (a test that called process.exit, a crash of the runner) counts as failed. So does each secret of the
 * tests that is found in the output of the run or in the collection of test/support/canary.ts.
 */
const timeout = process.env.RDS_CSI_TEST_TIMEOUT ?? "60000";
const canaries = makeCanaryDirectory();
const colour = process.stdout.isTTY === true ? { FORCE_COLOR: "1" } : {};
const child = spawn(process.execPath, ["test", `--timeout=${timeout}`, ...process.argv.slice(2)], {
  stdio: ["ignore", "pipe", "pipe"],
  env: { ...colour, ...process.env, RDS_CSI_CANARY_DIR: canaries },
});
const kept = {
  stdout: createWriteStream(join(canaries, "emitted-stdout.log")),
  stderr: createWriteStream(join(canaries, "emitted-stderr.log")),
};
let tail = "";
child.stdout.on("data", (data: Buffer) => {
  process.stdout.write(data);
  kept.stdout.write(data);
});
child.stderr.on("data", (data: Buffer) => {
  process.stderr.write(data);
  kept.stderr.write(data);
  tail = (tail + data.toString("utf8")).slice(-16_384);
});

async function leaked(): Promise<number> {
  for (const stream of [kept.stdout, kept.stderr]) {
    stream.end();
    await finished(stream);
  }
  try {
    const { secrets, files, bytes, leaks } = findLeaks(canaries);
    for (const { secret, where } of leaks) console.log(`canary: "${secret}" is in ${where}`);
    if (leaks.length === 0)
      console.log(`canary: none of ${secrets} secrets is in ${files} files, ${bytes} bytes`);
    return leaks.length;
  } finally {
    removeCanaryDirectory(canaries);
  }
}

child.on("close", async (code) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are what is removed
  const summary = tail.replace(/\x1b\[[0-9;]*m/g, "");
  const count = (kind: string): number => {
    const found = [...summary.matchAll(new RegExp(`^\\s*(\\d+) ${kind}`, "gm"))].at(-1);
    return Number(found?.[1] ?? 0);
  };
  const complete = /^Ran \d+ tests? across/m.test(summary);
  let failed = count("fail") + count("error");
  if (!complete || (code !== 0 && failed === 0)) failed = Math.max(1, failed);
  const leaks = await leaked().catch((error: unknown) => {
    console.log(`canary: ${String(error)}`);
    return 1;
  });
  failed += leaks;
  console.log(`${count("pass")} passed, ${failed} failed, ${count("skip") + count("todo")} skipped`);
  process.exitCode = failed > 0 ? 1 : (code ?? 1);
});
