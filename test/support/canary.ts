import { appendFileSync, copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

// Canaries: secrets of the tests, by name, and everything that the run emitted. scripts/lib/run-tests.ts makes the directory, and
// fails the run if one is found in the other. Without it (a plain `bun test`) nothing is collected.

/** Where secrets and emitted texts are collected; see `scripts/lib/canary.ts`. */
const directory = process.env.RDS_CSI_CANARY_DIR;
let files = 0;

/**
 * Names a secret that must never be seen in anything that the program emits.
 * @param text PEM, or at least 16 characters of base64's alphabet or `-` and `_`
 * @param known what of it is public, e.g. the public key
 * @returns the secret
 */
export function registerSecret(name: string, text: string, known = ""): string {
  if (directory !== undefined) {
    appendFileSync(
      join(directory, `secrets-${process.pid}.jsonl`),
      `${JSON.stringify({ name, text, known })}\n`,
    );
  }
  return text;
}

/** Keeps a text that the program emitted: logs, events, metrics, output. */
export function emitted(what: string, text: string): void {
  if (directory !== undefined && text !== "")
    appendFileSync(join(directory, `emitted-${process.pid}-${what}.log`), `${text}\n`);
}

/** Keeps a file that the program wrote, e.g. a log. */
export function emittedFile(what: string, path: string): void {
  if (directory === undefined || !existsSync(path)) return;
  files += 1;
  copyFileSync(path, join(directory, `emitted-${process.pid}-${what}-${files}.log`));
}
