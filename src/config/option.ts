import { shortened } from "../domain/printable.ts";

/** The value of a text, or a phrase about its mistake ("is not …"). */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };
/** Reads a text. */
export interface Parser<T> {
  (text: string): Parsed<T>;
  /** Describes a right value, as in "not a port from 1 to 65535". */
  readonly expects: string;
  /** All values, if it takes these words only; else empty. Completion offers them. */
  readonly words: readonly string[];
}

/** Makes a parser. @param read its undefined means that the text is not as expected */
export function parser<T>(
  expects: string,
  read: (text: string) => T | undefined,
  words: readonly string[] = [],
): Parser<T> {
  const parse = (text: string): Parsed<T> => {
    const value = read(text);
    return value === undefined ? bad(`is ${shown(text)}, not ${expects}`) : good(value);
  };
  return Object.assign(parse, { expects, words });
}

/** A name or a value, cut for a message. */
export function beginningOf(text: string): string {
  return shortened(text, 81);
}

/** A value in a message, cut and quoted. */
const shown = (text: string): string => JSON.stringify(beginningOf(text));

/** The parser with another description of right values, e.g. one with an example. */
export function described<T>(expects: string, parse: (text: string) => Parsed<T>): Parser<T> {
  return Object.assign((text: string) => parse(text), { expects, words: [] });
}

export const good = <T>(value: T): Parsed<T> => ({ value });
export const bad = (problem: string): { readonly problem: string } => ({ problem });

/** One option. It is set by `--name`, by `RDS_CSI_NAME` or by the key `name` of the configuration file. */
export interface OptionDefinition<T> {
  /** Lower-case words joined by hyphens. */
  readonly name: string;
  /** Shown in help: `<host[:port]>`. */
  readonly placeholder: string;
  /** One sentence without a full stop, for help and docs. */
  readonly description: string;
  /** Describes a right value; the remedy of every mistake. */
  readonly expects: string;
  /** All values, if the option takes these words only; else empty. */
  readonly words: readonly string[];
  /** May be set several times, and holds comma-separated lists. */
  readonly repeatable: boolean;
  readonly required: boolean;
  /** The default as one would write it; undefined: none. */
  readonly defaultText: string | undefined;
  /** Further environment variables, weaker than the regular one. */
  readonly envAliases: readonly string[];
  /** Splits a text into the values of a repeatable option. */
  readonly split: (text: string) => readonly string[];
  /** The values as texts, undefined if it was set nowhere. Problems are one phrase per wrong value. */
  readonly read: (texts: readonly string[] | undefined) => { value: T } | { problems: readonly string[] };
}

export type OptionTable = Readonly<Record<string, OptionDefinition<unknown>>>;

/** The values of a table's options. */
export type ValuesOf<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends OptionDefinition<infer V> ? V : never;
};

/** Settings that few options have. */
interface More {
  /** Default: as the parser says. */
  readonly expects?: string;
  readonly envAliases?: readonly string[];
  readonly defaultText?: string | undefined;
  readonly split?: (text: string) => readonly string[];
}

type Read<T> = OptionDefinition<T>["read"];

/** The definition of an option. @param flag name and placeholder: `rds-port <port>` */
function define<T>(flag: string, description: string, parse: Parser<unknown>, read: Read<T>, more: More) {
  const { words, expects } = parse;
  const [name = "", placeholder = ""] = flag.split(" ");
  return {
    ...{ name, placeholder, description, expects, words, read, repeatable: false, required: false },
    ...{ envAliases: [], defaultText: undefined, split: (text: string) => [text], ...more },
  };
}

/** The value of an option that has one value only. */
function single<T>(texts: readonly string[], parse: Parser<T>): ReturnType<Read<T>> {
  if (texts.length > 1) return { problems: [`is set ${texts.length} times, but has one value only`] };
  const parsed = parse(texts[0] ?? "");
  return "value" in parsed ? parsed : { problems: [parsed.problem] };
}

/** An option that must be set. @param flag name and placeholder: `rds-port <port>` */
export function required<T>(
  flag: string,
  description: string,
  parse: Parser<T>,
  more: More = {},
): OptionDefinition<T> {
  const missing = { problems: ["is required"] };
  const read: Read<T> = (texts) => (texts === undefined ? missing : single(texts, parse));
  return { ...define(flag, description, parse, read, more), required: true };
}

/** An option with a default, which is written as its user would write it. */
export function withDefault<T>(
  flag: string,
  description: string,
  parse: Parser<T>,
  defaultText: string,
  more: More = {},
): OptionDefinition<T> {
  const read: Read<T> = (texts) => single(texts ?? [defaultText], parse);
  return define(flag, description, parse, read, { ...more, defaultText });
}

/** An option that may stay unset; `defaultText` names the value that is used then. */
export function optional<T>(
  flag: string,
  description: string,
  parse: Parser<T>,
  defaultText?: string,
  more: More = {},
): OptionDefinition<T | undefined> {
  const unset = { value: undefined };
  const read: Read<T | undefined> = (texts) => (texts === undefined ? unset : single(texts, parse));
  return define(flag, description, parse, read, { ...more, defaultText });
}

const commas = (text: string): readonly string[] =>
  text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** An option with any number of values. */
export function many<T>(
  flag: string,
  description: string,
  parse: Parser<T>,
  more: More = {},
): OptionDefinition<readonly T[]> {
  const { defaultText, split = commas } = more;
  const read: Read<readonly T[]> = (texts) => {
    const values: T[] = [];
    const problems: string[] = [];
    for (const text of texts ?? (defaultText === undefined ? [] : [defaultText])) {
      const parsed = parse(text);
      if ("value" in parsed) values.push(parsed.value);
      else problems.push(`${shown(text)} ${parsed.problem}`);
    }
    return problems.length > 0 ? { problems } : { value: Object.freeze(values) };
  };
  return { ...define(flag, description, parse, read, { ...more, split }), repeatable: true };
}

/** The environment variable of an option: `RDS_CSI_` and the name in upper snake case. */
export function envNameOf(name: string): string {
  return `RDS_CSI_${name.toUpperCase().replaceAll("-", "_")}`;
}
