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

/** A value in a message, cut and quoted. */
const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

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

/** The part of a definition that every kind of option has. */
interface Basics {
  /** Name and placeholder: `rds-port <port>`. */
  readonly flag: string;
  readonly description: string;
  /** Default: as the parser says. */
  readonly expects?: string;
  readonly envAliases?: readonly string[];
  readonly defaultText?: string | undefined;
  readonly split?: (text: string) => readonly string[];
}

type Result<T> = ReturnType<OptionDefinition<T>["read"]>;

/** An option with one value that may stay unset: the base of each kind. */
function define<T>(basics: Basics, { words, expects }: Parser<unknown>, read: OptionDefinition<T>["read"]) {
  const { flag, ...rest } = basics;
  const [name = "", placeholder = ""] = flag.split(" ");
  return {
    ...{ name, placeholder, expects, words, read, repeatable: false, required: false },
    ...{ envAliases: [], defaultText: undefined, split: (text: string) => [text] },
    ...rest,
  };
}

/** The value of an option that has one value only. */
function single<T>(texts: readonly string[], parse: Parser<T>): Result<T> {
  if (texts.length > 1) return { problems: [`is set ${texts.length} times, but has one value only`] };
  const parsed = parse(texts[0] ?? "");
  return "value" in parsed ? parsed : { problems: [parsed.problem] };
}

/** An option that must be set. */
export function required<T>(basics: Basics, parse: Parser<T>): OptionDefinition<T> {
  const missing = { problems: ["is required"] };
  const option = define<T>(basics, parse, (texts) => (texts === undefined ? missing : single(texts, parse)));
  return { ...option, required: true };
}

/** An option with a default, which is written as its user would write it. */
export function withDefault<T>(basics: Basics, defaultText: string, parse: Parser<T>): OptionDefinition<T> {
  return define<T>({ ...basics, defaultText }, parse, (texts) => single(texts ?? [defaultText], parse));
}

/** An option that may stay unset; `defaultText` names the value that is used then. */
export function optional<T>(
  basics: Basics,
  parse: Parser<T>,
  defaultText?: string,
): OptionDefinition<T | undefined> {
  const unset = { value: undefined };
  return define<T | undefined>({ ...basics, defaultText }, parse, (texts) =>
    texts === undefined ? unset : single(texts, parse),
  );
}

const commas = (text: string): readonly string[] =>
  text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** An option with any number of values. */
export function many<T>(basics: Basics, parse: Parser<T>): OptionDefinition<readonly T[]> {
  const { defaultText, split = commas } = basics;
  const option = define<readonly T[]>({ ...basics, split }, parse, (texts) => {
    const values: T[] = [];
    const problems: string[] = [];
    for (const text of texts ?? (defaultText === undefined ? [] : [defaultText])) {
      const parsed = parse(text);
      if ("value" in parsed) values.push(parsed.value);
      else problems.push(`${JSON.stringify(text)} ${parsed.problem}`);
    }
    return problems.length > 0 ? { problems } : { value: Object.freeze(values) };
  });
  return { ...option, repeatable: true };
}

/** The environment variable of an option: `RDS_CSI_` and the name in upper snake case. */
export function envNameOf(name: string): string {
  return `RDS_CSI_${name.toUpperCase().replaceAll("-", "_")}`;
}
