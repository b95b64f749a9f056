import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A secret that was found in the output of a run. */
export interface Leak {
  readonly secret: string;
  /** File name, and the number of the line from 1. */
  readonly where: string;
}

/** The result of a look at a run. */
export interface CanaryReport {
  readonly secrets: number;
  readonly files: number;
  readonly bytes: number;
  /** One per secret and file. */
  readonly leaks: readonly Leak[];
}

interface Secret {
  readonly name: string;
  readonly text: string;
  readonly known: string;
}

/** So many characters in a row give a secret away. */
const WINDOW = 16;
/** Any part of a secret of WINDOW + STRIDE characters is found. */
const STRIDE = 4;
const WORD = /[A-Za-z0-9+/_-]{16,}/g;

/** A directory for one run; its tests get it as RDS_CSI_CANARY_DIR. */
export function makeCanaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), "rds-csi-canary-"));
}

export function removeCanaryDirectory(directory: string): void {
  rmSync(directory, { recursive: true });
}

/**
 * Looks for the secrets that the tests of a run registered in everything that the run emitted.
 * @param directory holds `secrets-*.jsonl` and `emitted-*.log`; see test/support/canary.ts
 * @throws RangeError for a secret that is too short to be told from other text
 */
export function findLeaks(directory: string): CanaryReport {
  const names = readdirSync(directory);
  const secrets = names
    .filter((name) => name.startsWith("secrets-"))
    .flatMap((name) => readFileSync(join(directory, name), "utf8").split("\n"))
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Secret);
  const index = new Map<string, string>();
  for (const secret of secrets) for (const part of partsOf(secret)) index.set(part, secret.name);

  const leaks: Leak[] = [];
  let bytes = 0;
  const emitted = names.filter((name) => name.startsWith("emitted-"));
  for (const file of emitted) {
    const text = readFileSync(join(directory, file), "utf8");
    bytes += text.length;
    const found = new Set<string>();
    for (const [at, line] of text.split("\n").entries()) {
      for (const secret of secretsIn(line, index)) {
        if (found.has(secret)) continue;
        found.add(secret);
        leaks.push({ secret, where: `${file}:${at + 1}` });
      }
    }
  }
  return { secrets: secrets.length, files: emitted.length, bytes, leaks };
}

/** Pieces of a secret that stand in no other text: without the frame of a PEM and without public parts. */
function partsOf({ name, text, known }: Secret): string[] {
  const lines = text.split(/\r?\n/).filter((line) => !line.startsWith("-----"));
  const words = lines.flatMap((line) => line.match(WORD) ?? []);
  if (words.length === 0) throw new RangeError(`the secret "${name}" is too short to be looked for`);
  const parts: string[] = [];
  for (const word of words) {
    for (let at = 0; at + WINDOW <= word.length; at += STRIDE) {
      const part = word.slice(at, at + WINDOW);
      // Runs of zeros are in every key.
      if (new Set(part).size >= 8 && !known.includes(part)) parts.push(part);
    }
  }
  return parts;
}

function secretsIn(line: string, index: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  // An escaped line end is no letter.
  for (const word of line.replace(/\\+[nrt]/g, " ").match(WORD) ?? []) {
    for (let at = 0; at + WINDOW <= word.length; at += 1) {
      const name = index.get(word.slice(at, at + WINDOW));
      if (name !== undefined) found.push(name);
    }
  }
  return found;
}
