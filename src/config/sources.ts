import { readFile } from "node:fs/promises";
import { parseDocument } from "yaml";
import type { Mistake } from "./config-error.ts";
import { envNameOf, type OptionDefinition, type OptionTable } from "./option.ts";
import { looksLikeKey } from "./parsers.ts";

/** Raw settings. Flags by option name, each with the values in order of appearance. */
export interface Sources {
  readonly flags: Readonly<Record<string, readonly string[]>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ConfigFile | undefined;
}

export interface ConfigFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, readonly string[]>;
}

/** The texts of one option and where they are from. */
export interface Found {
  readonly where: string;
  /** Whether the configuration file has it, which several commands share. */
  readonly fromFile: boolean;
  readonly texts: readonly string[];
}

/** Names under which people put secrets; there is no such option, and the value must not be shown. */
const SECRETS: ReadonlyMap<string, string> = new Map([
  ["rds-key", "rds-key-file"],
  ["rds-private-key", "rds-key-file"],
  ["rds-password", "rds-key-file"],
  ["rds-passphrase", "rds-key-passphrase-file"],
  ["rds-key-passphrase", "rds-key-passphrase-file"],
]);

const secretRemedy = (name: string): string => `Put the secret into a file and name it with --${name}`;

/** Secrets in the environment, by name. */
export function findInlineSecrets(sources: Sources): Mistake[] {
  const mistakes: Mistake[] = [];
  for (const [name, instead] of SECRETS) {
    const env = envNameOf(name);
    if ((sources.env[env] ?? "") !== "") {
      mistakes.push({
        where: env,
        problem: "holds a secret, which is refused",
        remedy: secretRemedy(instead),
      });
    }
  }
  return mistakes;
}

/** Looks an option up: flag, then environment, then file. An empty environment variable counts as unset. */
export function find(definition: OptionDefinition<unknown>, sources: Sources): Found | undefined {
  const split = (texts: readonly string[]): readonly string[] =>
    definition.repeatable ? texts.flatMap((text) => definition.split(text)) : texts;
  const flag = sources.flags[definition.name];
  if (flag !== undefined) return { where: `--${definition.name}`, fromFile: false, texts: split(flag) };
  for (const env of [envNameOf(definition.name), ...definition.envAliases]) {
    const value = sources.env[env];
    if (value !== undefined && value !== "") return { where: env, fromFile: false, texts: split([value]) };
  }
  const inFile = sources.file?.values.get(definition.name);
  if (inFile === undefined) return undefined;
  const where = `key ${definition.name} in ${sources.file?.path}`;
  return { where, fromFile: true, texts: split(inFile) };
}

/**
 * Reads a configuration file: YAML or JSON, one key per option, lists for repeatable options. Every scalar is taken as
 * the text that stands there. Keys of other commands' options are allowed, so that all commands can share one file.
 * @param known the option names of all commands
 */
export async function readConfigFile(
  path: string,
  known: ReadonlySet<string>,
): Promise<{ file: ConfigFile; mistakes: Mistake[] }> {
  const values = new Map<string, readonly string[]>();
  const mistakes: Mistake[] = [];
  const mistake = (where: string, problem: string, remedy: string): void => {
    mistakes.push({ where, problem, remedy });
  };
  const file = { path, values };
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = (error as { code?: string }).code ?? String(error);
    mistake("--config", `names ${path}, which cannot be read (${code})`, "Name a readable YAML or JSON file");
    return { file, mistakes };
  }
  const document = parseDocument(text, { schema: "failsafe", uniqueKeys: true, logLevel: "silent" });
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const line = error.linePos?.[0].line ?? 1;
      mistake(`${path}:${line}`, `is not YAML or JSON (${error.code})`, "Correct the line");
    }
    return { file, mistakes };
  }
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    mistake(path, "uses YAML aliases, which are not supported", "Write the value out");
    return { file, mistakes };
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    mistake(path, "does not hold keys and values", "Write one line `name: value` per option");
    return { file, mistakes };
  }
  for (const [key, value] of Object.entries(content as Record<string, unknown>)) {
    const where = `key ${key} in ${path}`;
    const instead = SECRETS.get(key);
    if (instead !== undefined) mistake(where, "holds a secret, which is refused", secretRemedy(instead));
    else if (!known.has(key)) mistake(where, "is unknown", `Remove it${guess(key, known)}`);
    else if (typeof value === "string") values.set(key, [value]);
    else if (Array.isArray(value) && value.every((item) => typeof item === "string")) values.set(key, value);
    else mistake(where, "is neither a value nor a list of values", "Write `name: value` or a list of values");
  }
  return { file, mistakes };
}

/** ", or write X" for the known name that differs in case, `_` or a letter only. */
function guess(key: string, known: ReadonlySet<string>): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_]/g, "");
  for (const name of known) if (plain(name) === plain(key)) return `, or write ${name}`;
  return "";
}

/** A private key pasted where a value belongs; the value is not shown. */
export function keyMistake(found: Found): Mistake | undefined {
  if (!found.texts.some(looksLikeKey)) return undefined;
  return {
    where: found.where,
    problem: "holds a private key, which is refused",
    remedy: secretRemedy("rds-key-file"),
  };
}

/** Reads every option of a table; mistakes are added to the list. */
export function readValues(
  table: OptionTable,
  sources: Sources,
  mistakes: Mistake[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [property, definition] of Object.entries(table)) {
    const found = find(definition, sources);
    const pasted = found === undefined ? undefined : keyMistake(found);
    if (pasted !== undefined) {
      mistakes.push(pasted);
      continue;
    }
    const result = definition.read(found?.texts);
    if ("value" in result) values[property] = result.value;
    else {
      for (const problem of result.problems) {
        const where = found?.where ?? `--${definition.name}`;
        mistakes.push({ where, problem, remedy: remedyOf(definition, found === undefined) });
      }
    }
  }
  return values;
}

function remedyOf(definition: OptionDefinition<unknown>, unset: boolean): string {
  const { name, expects } = definition;
  return unset ? `Set --${name}, ${envNameOf(name)} or the key ${name}: ${expects}` : `Expected: ${expects}`;
}
