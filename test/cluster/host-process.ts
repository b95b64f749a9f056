import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { startOf } from "./machine.ts";
import { until } from "./run.ts";

/** Starts a program on this computer that stays; number and start time go to `<file>.json`, output to `<file>.log`. */
export async function startOnHost(file: string, command: readonly string[], cwd: string): Promise<void> {
  const [program = "", ...args] = command;
  const log = openSync(`${file}.log`, "w");
  const child = spawn(program, args, { stdio: ["ignore", log, log], detached: true, cwd });
  closeSync(log);
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} cannot be started`);
  await writeFile(`${file}.json`, JSON.stringify({ pid, started: startOf(pid) }));
}

/** Ends what `startOnHost` started, and nothing else that has its process number by now. */
export async function endOnHost(file: string): Promise<void> {
  const text = await readFile(`${file}.json`, "utf8").catch(() => undefined);
  if (text === undefined) return;
  const { pid, started } = JSON.parse(text) as { pid: number; started: string };
  const runs = () => startOf(pid) !== undefined && startOf(pid) === started;
  if (runs()) process.kill(pid, "SIGKILL");
  await until(`the end of process ${pid}`, () => !runs(), { timeoutMs: 10_000 });
}
