import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Machine } from "./machine.ts";

/** Copies the logs of a machine, as far as it still answers, into `<directory>/<its name>`. */
export async function keepLogs(machine: Machine, directory: string): Promise<void> {
  if (!machine.on) return;
  const to = join(directory, machine.name);
  mkdirSync(to, { recursive: true });
  const commands: Record<string, string> = { dmesg: "dmesg", mounts: "cat /proc/mounts" };
  const logs = await machine.run("ls /run/*.log", 5_000).catch(() => undefined);
  for (const log of logs?.stdout.split("\n").filter((path) => path !== "") ?? []) {
    commands[basename(log)] = `tail -c 4M ${log}`;
  }
  for (const [name, command] of Object.entries(commands)) {
    const ran = await machine.run(`timeout 5 ${command}`, 10_000).catch(() => undefined);
    if (ran !== undefined) writeFileSync(join(to, name), ran.stdout);
  }
}
