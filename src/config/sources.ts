import { readFile } from "node:fs/promises";
import { errorCode } from "../domain/error-code.ts";
import { ConfigError, type Mistake } from "./config-error.ts";
import { didYouMean } from "./did-you-mean.ts";
import { beginningOf, envNameOf, type OptionDefinition, type OptionTable, type ValuesOf } from "./option.ts";
import { driverNames } from "./options.ts";
import { looksLikeKey } from "./parsers.ts";

/** The settings of a command, as the command line gives them. */
export interface Input {
  /** By option name, each with the values in order of appearance. `config` names the configuration file. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Keys that the file may hold besides the options of this command; default: any of the driver's commands. */
  readonly knownNames?: ReadonlySet<string>;
  /** Mistakes that the command line has found already. */
  readonly mistakes?: readonly Mistake[];
}

interface Sources extends Pick<Input, "flags" | "env"> {
  readonly file: ConfigFile | undefined;
}

interface ConfigFile {
  readonly path: string;
  /** undefined: the file cannot be read or parsed, so each option may be set in it. */
  readonly values: ReadonlyMap<string, readonly string[]> | undefined;
}

/** The values of a table without those that are wrong, which the mistakes name. */
export interface Draft<T> {
  readonly values: Partial<T>;
  readonly sources: Sources;
  readonly mistakes: Mistake[];
}

/** The texts of one option and where they are from. */
export interface Found {
  readonly where: string;
  /** Whether the configuration file has it, which several commands share. */
  readonly fromFile: boolean;
  readonly texts: readonly string[];
}

/** Names under which people put secrets, and the option to use instead. The value is never shown. */
const SECRETS: ReadonlyMap<string, string> = new Map([
  ["rds-key", "rds-key-file"],
  ["rds-private-key", "rds-key-file"],
  ["rds-password", "rds-key-file"],
  ["rds-passphrase", "rds-key-passphrase-file"],
  ["rds-key-passphrase", "rds-key-passphrase-file"],
]);

const KEY_REFUSED = "holds a private key, which is refused";

function secretMistake(
  where: string,
  instead: string,
  problem = "holds a secret, which is refused",
): Mistake {
  return { where, problem, remedy: `Put the secret into a file and name it with --${instead}` };
}

/** Reads the options of a table from flags, environment and file. A mistake leaves its value out. */
export async function draft<T extends OptionTable>(table: T, input: Input): Promise<Draft<ValuesOf<T>>> {
  const { config, ...flags } = input.flags;
  const { env } = input;
  const mistakes: Mistake[] = [...(input.mistakes ?? [])];
  const path = config?.at(-1) ?? env[envNameOf("config")] ?? "";
  const isKey = looksLikeKey(path);
  if (isKey) mistakes.push(secretMistake("--config", "rds-key-file", KEY_REFUSED));
  const read = path === "" || isKey ? undefined : await readConfigFile(path, input.knownNames ?? driverNames);
  mistakes.push(...(read?.mistakes ?? []));
  for (const [name, instead] of SECRETS) {
    if ((env[envNameOf(name)] ?? "") !== "") mistakes.push(secretMistake(envNameOf(name), instead));
  }
  const sources: Sources = { flags, env, file: read?.file };
  return { values: readValues(table, sources, mistakes) as Partial<ValuesOf<T>>, sources, mistakes };
}

/** Freezes the complete configuration. @throws ConfigError with every mistake */
export function finish<T extends object>({ mistakes }: { mistakes: readonly Mistake[] }, config: () => T): T {
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze(config());
}

/** Adds a mistake. @param at where it is: an option, which is named as it was set, or a text */
export function addMistake(
  { sources, mistakes }: Pick<Draft<unknown>, "sources" | "mistakes">,
  at: OptionDefinition<unknown> | string,
  problem: string,
  remedy: string,
): void {
  const where = typeof at === "string" ? at : (find(at, sources)?.where ?? `--${at.name}`);
  mistakes.push({ where, problem, remedy });
}

/** Adds a mistake if one of the values of an option stands twice. @param thing the kind of thing that a value names, e.g. `pool` */
export function refuseTwice(
  found: Draft<unknown>,
  option: OptionDefinition<unknown>,
  values: readonly string[] = [],
  thing: string,
): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) addMistake(found, option, `names ${twice} twice`, `Name every ${thing} once`);
}

/** The ways to set an option, as the start of a remedy. */
export function howToSet({ name }: OptionDefinition<unknown>): string {
  return `Set --${name}, ${envNameOf(name)} or the key ${name}`;
}

/** Looks an option up: flag, then environment, then file. An empty environment variable counts as unset. */
export function find(definition: OptionDefinition<unknown>, sources: Sources): Found | undefined {
  const { name, repeatable, envAliases } = definition;
  const found = (where: string, texts: readonly string[], fromFile = false): Found => ({
    where,
    fromFile,
    texts: repeatable ? texts.flatMap(definition.split) : texts,
  });
  const flag = sources.flags[name];
  if (flag !== undefined) return found(`--${name}`, flag);
  for (const variable of [envNameOf(name), ...envAliases]) {
    const value = sources.env[variable];
    if (value !== undefined && value !== "") return found(variable, [value]);
  }
  const inFile = sources.file?.values?.get(name);
  return inFile === undefined ? undefined : found(`key ${name} in ${sources.file?.path}`, inFile, true);
}

/**
 * Reads a configuration file: YAML or JSON, one key per option, lists for repeatable options. A scalar is taken as the
 * text that stands there. Keys of other commands' options are allowed, so that all commands can share one file.
 * @param known the option names of all commands
 */
export async function readConfigFile(
  path: string,
  known: ReadonlySet<string>,
): Promise<{ file: ConfigFile; mistakes: Mistake[] }> {
  const unusable = (where: string, problem: string, remedy: string) => ({
    file: { path, values: undefined },
    mistakes: [{ where, problem, remedy }],
  });
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const problem = `names ${path}, which cannot be read (${errorCode(error) ?? error})`;
    return unusable("--config", problem, "Name a readable YAML or JSON file");
  }
  // Loaded for a file alone.
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { schema: "failsafe", uniqueKeys: true, logLevel: "silent" });
  const [broken] = document.errors;
  if (broken !== undefined) {
    const line = broken.linePos?.[0].line ?? 1;
    return unusable(`${path}:${line}`, `is not YAML or JSON (${broken.code})`, "Correct the line");
  }
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    return unusable(path, "uses YAML aliases, which are not supported", "Write the value out");
  }
  if (typeof content !== "object" || content === null || Array.isArray(content))
    return unusable(path, "does not hold keys and values", "Write one line `name: value` per option");
  const values = new Map<string, readonly string[]>();
  const mistakes: Mistake[] = [];
  for (const [key, value] of Object.entries(content as Record<string, unknown>)) {
    const where = `key ${beginningOf(key)} in ${path}`;
    const instead = SECRETS.get(key);
    if (looksLikeKey(key)) mistakes.push(secretMistake(`a name in ${path}`, "rds-key-file", KEY_REFUSED));
    else if (instead !== undefined) mistakes.push(secretMistake(where, instead));
    else if (!known.has(key)) {
      const meant = didYouMean(key, known);
      const remedy = meant === undefined ? "Remove the key" : `Did you mean ${meant}? Else remove the key`;
      mistakes.push({ where, problem: "is unknown", remedy });
    } else if (typeof value === "string") values.set(key, [value]);
    else if (Array.isArray(value) && value.every((item) => typeof item === "string")) values.set(key, value);
    else {
      const problem = "is neither a value nor a list of values";
      mistakes.push({ where, problem, remedy: "Write `name: value` or a list of values" });
    }
  }
  return { file: { path, values }, mistakes };
}

/** Reads every option of a table; mistakes are added to the list. */
function readValues(table: OptionTable, sources: Sources, mistakes: Mistake[]): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [property, definition] of Object.entries(table)) {
    const { name, expects } = definition;
    const found = find(definition, sources);
    // A file that cannot be read may set it: only the file is a mistake then.
    if (found === undefined && sources.file !== undefined && sources.file.values === undefined) continue;
    if (found?.texts.some(looksLikeKey)) {
      mistakes.push(secretMistake(found.where, "rds-key-file", KEY_REFUSED));
      continue;
    }
    const result = definition.read(found?.texts);
    if ("value" in result) values[property] = result.value;
    else {
      const where = found?.where ?? `--${name}`;
      const remedy = found === undefined ? `${howToSet(definition)}: ${expects}` : `Expected: ${expects}`;
      mistakes.push(...result.problems.map((problem) => ({ where, problem, remedy })));
    }
  }
  return values;
}
