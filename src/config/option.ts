/** What a parser makes of a text: a value, or what is wrong with the text as a phrase ("is not …"). */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };
export type Parser<T> = (text: string) => Parsed<T>;

export const good = <T>(value: T): Parsed<T> => ({ value });
export const bad = (problem: string): { readonly problem: string } => ({ problem });

/** One option, whatever it is set by: `--name`, `RDS_CSI_NAME` or the key `name` of the configuration file. */
export interface OptionDefinition<T> {
  /** Lower-case words joined by hyphens. */
  readonly name: string;
  /** Shown in help: `<host[:port]>`. */
  readonly placeholder: string;
  /** One sentence without a full stop, for help and docs. */
  readonly description: string;
  /** What a right value looks like; the remedy of every mistake. */
  readonly expects: string;
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

/** What is common to all ways to make an option. */
interface Basics {
  readonly name: string;
  readonly placeholder: string;
  readonly description: string;
  readonly expects: string;
  readonly envAliases?: readonly string[];
}

const fill = (basics: Basics) => ({ envAliases: [], split: (text: string) => [text], ...basics });

/** The value of an option that is not repeatable. */
function single<T>(
  texts: readonly string[],
  parse: Parser<T>,
): { value: T } | { problems: readonly string[] } {
  if (texts.length > 1) return { problems: [`is set ${texts.length} times, but has one value only`] };
  const parsed = parse(texts[0] ?? "");
  return "value" in parsed ? parsed : { problems: [parsed.problem] };
}

/** An option that must be set. */
export function required<T>(basics: Basics, parse: Parser<T>): OptionDefinition<T> {
  return {
    ...fill(basics),
    repeatable: false,
    required: true,
    defaultText: undefined,
    read: (texts) => (texts === undefined ? { problems: ["is required"] } : single(texts, parse)),
  };
}

/** An option with a default, which is written as its user would write it. */
export function withDefault<T>(basics: Basics, defaultText: string, parse: Parser<T>): OptionDefinition<T> {
  return {
    ...fill(basics),
    repeatable: false,
    required: false,
    defaultText,
    read: (texts) => single(texts ?? [defaultText], parse),
  };
}

/** An option that may stay unset; `shownDefault` says what is used then. */
export function optional<T>(
  basics: Basics,
  parse: Parser<T>,
  shownDefault?: string,
): OptionDefinition<T | undefined> {
  return {
    ...fill(basics),
    repeatable: false,
    required: false,
    defaultText: shownDefault,
    read: (texts) => (texts === undefined ? { value: undefined } : single(texts, parse)),
  };
}

const commas = (text: string): readonly string[] =>
  text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** An option with any number of values. */
export function many<T>(
  basics: Basics & { readonly split?: (text: string) => readonly string[]; readonly defaultText?: string },
  parse: Parser<T>,
): OptionDefinition<readonly T[]> {
  const { defaultText, ...rest } = basics;
  return {
    ...fill(rest),
    split: basics.split ?? commas,
    repeatable: true,
    required: false,
    defaultText,
    read: (texts) => {
      const values: T[] = [];
      const problems: string[] = [];
      for (const text of texts ?? (defaultText === undefined ? [] : [defaultText])) {
        const parsed = parse(text);
        if ("value" in parsed) values.push(parsed.value);
        else problems.push(`${JSON.stringify(text)} ${parsed.problem}`);
      }
      return problems.length > 0 ? { problems } : { value: Object.freeze(values) };
    },
  };
}

/** The environment variable of an option: `RDS_CSI_` and the name in upper snake case. */
export function envNameOf(name: string): string {
  return `RDS_CSI_${name.toUpperCase().replaceAll("-", "_")}`;
}
