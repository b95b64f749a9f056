import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SIGN_OF_LIFE } from "../../src/routeros/transport/idle-watch.ts";
import type { SentCommand } from "./control.ts";
import { type Stand, until } from "./stand.ts";

/** Flags of a controller whose commands can be told apart by their cause. */
export const LOGS_COMMANDS = ["--log-format", "json", "--log-level", "debug"] as const;

interface LogLine {
  readonly msg: string;
  readonly line?: string;
  readonly method?: string;
}

/**
 * The lines that `work` caused. A controller's background jobs send theirs at any time; its log, which must have
 * LOGS_COMMANDS, names the cause of each. Signs of life and trials of a channel are left out, too; any other line
 * without a nonce counts.
 */
export async function commandsOfCalls(stand: Stand, work: () => Promise<unknown>): Promise<SentCommand[]> {
  const sent = (await stand.control.commandsDuring(work)).filter(({ line }) => !isOfConnection(line));
  let causes = new Map<string, string>();
  await until("the log names the cause of each command", async () => {
    causes = new Map((await logOf(stand)).map(({ line = "", method = "" }) => [nonceOf(line), method]));
    return sent.every(({ line }) => nonceOf(line) === "" || causes.has(nonceOf(line)));
  });
  return sent.filter(({ line }) => !isBackground(causes.get(nonceOf(line))));
}

/** How many commands have ended for background jobs, but for the preflight of a controller that starts. */
export async function endedForJobs(stand: Stand): Promise<number> {
  const ended = (await logOf(stand)).filter(({ msg }) => msg === "command ended");
  return ended.filter(({ method }) => isBackground(method) && method !== "preflight").length;
}

const nonceOf = (line: string) => /~\w+:([0-9a-f]{16})[:~]/.exec(line)?.[1] ?? "";

const isOfConnection = (line: string) => line === SIGN_OF_LIFE || /^:delay \d+ms$/.test(line);

/** RPCs have capital names, background jobs small ones, a scrape none. */
const isBackground = (method = "") => /^[a-z]/.test(method);

async function logOf({ directory }: Stand): Promise<LogLine[]> {
  const text = await readFile(join(directory, "controller.log"), "utf8");
  const commands = text.split("\n").filter((line) => line.includes('"msg":"command ') && line.endsWith("}"));
  return commands.map((line) => JSON.parse(line));
}
