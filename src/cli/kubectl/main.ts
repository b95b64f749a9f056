import { spawn } from "node:child_process";
import process from "node:process";
import { ExitCode } from "../exit-codes.ts";
import { processIo } from "../io.ts";
import { reportError } from "../report-error.ts";
import { buildPlugin } from "./plugin.ts";

/** Longest answer that is kept, characters: the pods of a large cluster. */
const MOST = 64 * 1024 * 1024;

/** Runs the plugin of kubectl. @param args without its name @returns the exit code */
export async function pluginMain(args: readonly string[]): Promise<number> {
  const io = processIo();
  let code: number = ExitCode.ok;
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const deps = { kubectl: answerOf, attached, isTerminal };
  try {
    await buildPlugin(io, deps, (given) => {
      code = given;
    }).parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    const report = reportError(error, false, io.stop);
    if (report.text !== "") io.err(report.text);
    return report.code;
  }
}

async function answerOf(args: readonly string[]): Promise<string> {
  const texts = { out: "", err: "" };
  const child = spawn("kubectl", args, { stdio: ["ignore", "pipe", "pipe"] });
  for (const [stream, key] of [
    [child.stdout, "out"],
    [child.stderr, "err"],
  ] as const)
    stream.setEncoding("utf8").on("data", (text: string) => {
      if (texts[key].length < MOST) texts[key] += text;
    });
  const code = await ended(child);
  if (code !== 0) throw new Error(texts.err.trim() || `kubectl ended with ${code}`);
  return texts.out;
}

/** The terminal's signals reach kubectl, too; this process waits for it. */
async function attached(args: readonly string[]): Promise<number> {
  const code = await ended(spawn("kubectl", args, { stdio: "inherit" }));
  return typeof code === "number" ? code : ExitCode.failure;
}

/** @returns exit code, or the name of the signal @throws Error when it cannot be started */
function ended(child: ReturnType<typeof spawn>): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? String(signal)));
  });
}
