import { type Command, Option } from "commander";
import type { Input } from "../config/load.ts";
import { envNameOf, type OptionDefinition, type OptionTable } from "../config/option.ts";

const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [
  ...(previous ?? []),
  value,
];

function help(definition: OptionDefinition<unknown>): string {
  const { name, description, expects, defaultText, repeatable } = definition;
  const facts = [
    definition.required
      ? "required"
      : defaultText === undefined || defaultText === ""
        ? ""
        : `default: ${defaultText}`,
    repeatable ? "may be repeated" : "",
    `env: ${envNameOf(name)}`,
  ].filter((fact) => fact !== "");
  return `${description}: ${expects} (${facts.join("; ")})`;
}

/**
 * Adds the options of a table, and `--config`. Commander collects texts only; what they mean is decided by the
 * configuration loader, which also sees the environment and the file.
 */
export function addOptions(command: Command, table: OptionTable): Command {
  for (const definition of Object.values(table)) {
    command.addOption(
      new Option(`--${definition.name} ${definition.placeholder}`, help(definition)).argParser(collect),
    );
  }
  return command.addOption(
    new Option(
      "--config <path>",
      `YAML or JSON file with these options (env: ${envNameOf("config")})`,
    ).argParser(collect),
  );
}

/** The flags that were set on a command, by option name. */
export function inputOf(
  command: Command,
  table: OptionTable,
  env: Readonly<Record<string, string | undefined>>,
): Input {
  const names = new Set([...Object.values(table).map(({ name }) => name), "config"]);
  const flags: Record<string, readonly string[]> = {};
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (names.has(option.name()) && Array.isArray(value)) flags[option.name()] = value as string[];
  }
  return { flags, env };
}
