import { type ConfiguredCommand, commandOptions } from "../../../src/cli/options.ts";
import { envNameOf, type OptionDefinition, type OptionTable } from "../../../src/config/option.ts";

/** An option of one command. */
interface Use {
  readonly command: ConfiguredCommand;
  readonly option: OptionDefinition<unknown>;
}

/** The commands of the driver, in the order of the columns. The simulator's options have a table of their own. */
const DRIVER: readonly ConfiguredCommand[] = [
  "controller",
  "node",
  "volumes",
  "snapshots",
  "diagnose",
  "probe",
  "check",
];

/** Each option of the driver's commands by its name, as the first command has it. */
export function driverOptions(): ReadonlyMap<string, OptionDefinition<unknown>> {
  return new Map([...usesByName(DRIVER)].flatMap(([name, [first]]) => (first ? [[name, first.option]] : [])));
}

/** A text of the tables in Markdown. Angle brackets outside of code would be HTML. */
const cell = (text: string): string =>
  text.replaceAll("|", "\\|").replace(/(?<!`[^`]*)<([a-z-]+)>/g, "&lt;$1&gt;");
const row = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;

/** The options of some commands by name, in the order of their tables. */
function usesByName(commands: readonly ConfiguredCommand[]): ReadonlyMap<string, readonly Use[]> {
  const uses = commands.flatMap((command) =>
    Object.values(commandOptions[command] as OptionTable).map((option): Use => ({ command, option })),
  );
  return Map.groupBy(uses, ({ option }) => option.name);
}

/** One text if all commands agree; else each text behind the commands that it is for. */
function agreed(uses: readonly Use[], textOf: (option: OptionDefinition<unknown>) => string): string {
  const texts = [...Map.groupBy(uses, ({ option }) => textOf(option))];
  if (texts.length === 1) return texts[0]?.[0] ?? "";
  return texts
    .map(([text, users]) => `${users.map(({ command }) => command).join(", ")}: ${text}`)
    .join("; ");
}

function defaultOf({ required, defaultText }: OptionDefinition<unknown>): string {
  if (required) return "**required**";
  if (defaultText === undefined) return "none";
  if (defaultText === "") return "off";
  return /^\S+$/.test(defaultText) ? `\`${defaultText}\`` : defaultText;
}

function meaningOf({ description, expects, repeatable }: OptionDefinition<unknown>): string {
  return `${description} (${expects}${repeatable ? "; may be repeated" : ""})`;
}

/** The table of some commands: one row for each option, with a column for each command if there are several. */
function matrix(commands: readonly ConfiguredCommand[]): string {
  const columns = commands.length > 1 ? commands : [];
  const titles = ["flag", ...columns, "default", "environment; file key", "meaning"];
  const rows = [...usesByName(commands)].map(([name, uses]) => {
    const marks = columns.map((command) => (uses.some((use) => use.command === command) ? "✓" : ""));
    const [placeholder = ""] = uses.map(({ option }) => option.placeholder);
    const aliases = uses.flatMap(({ option }) => option.envAliases);
    const variables = [...new Set([envNameOf(name), ...aliases])].map((variable) => `\`${variable}\``);
    return row([
      `\`--${name} ${placeholder}\``,
      ...marks,
      agreed(uses, defaultOf),
      `${variables.join(", ")}; \`${name}\``,
      agreed(uses, meaningOf),
    ]);
  });
  return [row(titles), row(titles.map(() => "---")), ...rows].join("\n");
}

/** `docs/configuration.md`, complete. `scripts/docs` writes it, and a test compares the file with it. */
export function configurationDocs(): string {
  return `${[
    "# Configuration",
    "<!-- Generated from src/config by scripts/docs; a test compares. Do not edit. -->",
    [
      "Each option can be set in three places. The first that has it wins: the flag, the environment variable, the file",
      "named by `--config` (or `RDS_CSI_CONFIG`). The file is YAML or JSON with one key per option, named like the flag",
      "without `--`. A repeatable option takes a list. One file may serve all commands; a key that no command knows is a",
      "mistake. An empty environment variable counts as unset. All mistakes are reported at once, with exit code 2.",
    ].join("\n"),
    [
      "Files alone hold secrets: a private key, a passphrase or a password in a flag, variable or configuration file is",
      "refused. Kubernetes makes variables such as `RDS_CSI_NVME_PORT` for a Service named `rds-csi-nvme`. Set",
      "`enableServiceLinks: false` in pod templates, or choose other Service names.",
    ].join("\n"),
    "## The driver",
    [
      "A ✓ marks the commands `rds-csi controller`, `rds-csi node`, `rds-csi volumes …`, `rds-csi snapshots …` and",
      "`rds-csi diagnose` that have the option; `rds-csi snapshots prune` has those of Kubernetes and of the log only. Where",
      "commands differ, each value is preceded by its commands.",
    ].join("\n"),
    matrix(DRIVER),
    "## The simulator",
    "The options of `rds-csi simulate`; [simulator.md](simulator.md) explains them.",
    matrix(["simulate"]),
  ].join("\n\n")}\n`;
}
