import { Command, Option, type ParseOptionsResult } from "commander";
import { ConfigError, type Mistake } from "../config/config-error.ts";
import { didYouMean } from "../config/did-you-mean.ts";
import { envNameOf, type OptionDefinition, type OptionTable, type Parser } from "../config/option.ts";
import { duration, integer, oneOf } from "../config/parsers.ts";
import type { Input } from "../config/sources.ts";
import type { VolumeName } from "../inspect/resolve.ts";
import { wrap } from "./diagnose/wrap.ts";
import type { Io } from "./io.ts";
import { knownNames } from "./options.ts";

/**
 * A command of the command line. Mistakes in its options are collected, so that a person sees all of them at once: unknown
 * options when the command line is parsed, wrong values together with those of the configuration.
 */
export class CliCommand extends Command {
  readonly #mistakes: Mistake[] = [];
  #table: OptionTable = {};

  override createCommand(name?: string): CliCommand {
    return new CliCommand(name);
  }

  /** @throws ConfigError naming every unknown option, and every wrong value so far */
  override parseOptions(args: string[]): ParseOptionsResult {
    const parsed = super.parseOptions(args);
    const unknown = parsed.unknown
      .filter((word) => /^-./.test(word))
      .map((word) => word.replace(/=.*$/s, ""));
    if (this.commands.length > 0 || unknown.length === 0) return parsed;
    if (unknown.some((word) => word === "--help" || word === "-h")) return parsed;
    const known = this.options.flatMap(({ long }) => long ?? []);
    const remedy = `Run \`${pathOf(this)} --help\` for its options`;
    for (const where of unknown) {
      const meant = didYouMean(where, known);
      this.#mistakes.push({
        where,
        problem: "is no option of this command",
        remedy: meant === undefined ? remedy : `Did you mean ${meant}? ${remedy}`,
      });
    }
    throw new ConfigError(this.#mistakes, "command line");
  }

  /** Adds an option of this command that takes one of some words. The first one is the default. */
  choice(flags: string, description: string, words: readonly [string, ...string[]]): this {
    return this.#own(new Option(flags, description).choices(words).default(words[0]), oneOf(...words));
  }

  /**
   * Adds an option of this command that takes names, separated by commas or by repeating it.
   * @param words the names that there are; default: any
   */
  names(flags: string, description: string, words: readonly string[] = []): this {
    const option = new Option(flags, `${description}, separated by commas`);
    if (words.length > 0) option.choices(words);
    return this.addOption(
      option.argParser((text, before: readonly string[] = []) => {
        const names = text.split(",");
        const wrong = names.find((name) => name === "" || (words.length > 0 && !words.includes(name)));
        if (wrong === undefined) return [...before, ...names];
        const expected = `Expected: ${words.length > 0 ? words.join(", ") : "names"}, separated by commas`;
        const meant = didYouMean(wrong, words);
        const remedy = meant === undefined ? expected : `Did you mean ${meant}? ${expected}`;
        const problem = wrong === "" ? "has an empty name" : `has the unknown name ${JSON.stringify(wrong)}`;
        this.#mistakes.push({ where: option.long ?? "", problem, remedy });
        return before;
      }),
    );
  }

  /** Adds an option of this command that takes seconds, at most an hour. */
  seconds(flags: string, description: string, fallback: number): this {
    return this.#own(new Option(flags, description).default(fallback), integer(1, 3_600, "of seconds "));
  }

  /** Adds an option of this command that takes a whole number, and must be given. */
  count(flags: string, description: string, minimum: number, maximum: number): this {
    const option = new Option(flags, description).makeOptionMandatory();
    return this.#own(option, integer(minimum, maximum));
  }

  /** Adds an option of this command that takes a duration, as seconds; undefined unless it is given. */
  duration(flags: string, description: string): this {
    return this.#own(new Option(flags, description), duration);
  }

  #own(option: Option, parse: Parser<string | number>): this {
    const { defaultValue, long } = option;
    const read = (text: string): unknown => {
      const parsed = parse(text);
      if ("value" in parsed) return parsed.value;
      this.#mistakes.push({
        where: `${long}`,
        problem: parsed.problem,
        remedy: `Expected: ${parse.expects}`,
      });
      return defaultValue;
    };
    return this.addOption(option.argParser(read));
  }

  /**
   * Adds the options of a table, and `--config`. The texts are collected only: the configuration loader, which also sees the
   * environment and the file, reads them. They come after the command's own options.
   */
  configured(table: OptionTable): this {
    this.#table = table;
    this.optionsGroup("Configuration, by flag, environment variable or key of the --config file:");
    this.option(
      "--config <path>",
      `YAML or JSON file with these options (env: ${envNameOf("config")})`,
      collect,
    );
    for (const definition of Object.values(table))
      this.option(`--${definition.name} ${definition.placeholder}`, help(definition), collect);
    return this;
  }

  /** The values that completion offers for an option. */
  wordsOf(option: Option): readonly string[] {
    const found = Object.values(this.#table).find(({ name }) => name === option.name());
    return option.argChoices ?? found?.words ?? [];
  }

  /** What a person names by its argument. One that is no name ends the command, as wrong usage. @param namespace of the option */
  async nameOf(text: string, namespace: string | undefined): Promise<VolumeName> {
    const { parseVolumeName } = await import("../inspect/resolve.ts");
    return (
      parseVolumeName(text, namespace) ??
      this.error("error: expected namespace/name, or a name and maybe --namespace")
    );
  }

  /** The settings of this command: the flags that were given, the environment, and the mistakes so far. */
  input(env: Io["env"]): Input {
    const names = new Set([...Object.values(this.#table).map(({ name }) => name), "config"]);
    const flags = this.options
      .filter((option) => names.has(option.name()))
      .map((option) => [option.name(), this.getOptionValue(option.attributeName())] as const)
      .filter(([, value]) => Array.isArray(value));
    return { flags: Object.fromEntries(flags), env, knownNames, mistakes: this.#mistakes };
  }

  /** For commands without configuration. @throws ConfigError if an option has a wrong value */
  check(): void {
    if (this.#mistakes.length > 0) throw new ConfigError(this.#mistakes, "command line");
  }

  /** Adds examples to the help. A line that is too long is broken as a shell reads it. */
  examples(io: Io, ...lines: readonly string[]): this {
    const broken = (line: string): string =>
      (line.includes("'") ? [line] : wrap(line, io.columns && io.columns - 4, "    ")).join(" \\\n  ");
    return this.addHelpText(
      "after",
      () => `\nExamples:\n${lines.map((line) => `  ${broken(line)}`).join("\n")}`,
    );
  }
}

/** The words of a command from the program's name on. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const collect = (value: string, previous: readonly string[] = []): readonly string[] => [...previous, value];

function help(definition: OptionDefinition<unknown>): string {
  const { name, description, expects, defaultText = "", repeatable } = definition;
  const facts = [
    definition.required ? "required" : defaultText === "" ? "" : `default: ${defaultText}`,
    repeatable ? "may be repeated" : "",
    `env: ${envNameOf(name)}`,
  ].filter((fact) => fact !== "");
  return `${description}: ${expects} (${facts.join("; ")})`;
}
