import { envNameOf, type OptionDefinition, type OptionTable } from "./option.ts";
import { commandOptions } from "./options.ts";

const TITLES: Readonly<Record<keyof typeof commandOptions, string>> = {
  controller: "`rds-csi controller`",
  node: "`rds-csi node`",
  simulate: "`rds-csi simulate`",
  volumes: "`rds-csi volumes …`",
  diagnose: "`rds-csi diagnose`",
};

const cell = (text: string): string => text.replaceAll("|", "\\|");

function row(option: OptionDefinition<unknown>): string {
  const { name, placeholder, description, expects, defaultText, repeatable } = option;
  const shown = option.required
    ? "**required**"
    : defaultText === undefined
      ? "none"
      : defaultText === ""
        ? "off"
        : /^\S+$/.test(defaultText)
          ? `\`${defaultText}\``
          : defaultText;
  const variables = [envNameOf(name), ...option.envAliases].map((variable) => `\`${variable}\``).join(", ");
  const several = repeatable ? "; may be repeated" : "";
  const flag = `\`--${name} ${placeholder}\``;
  return `| ${cell(flag)} | ${cell(variables)} | ${cell(shown)} | ${cell(`${description} (${expects}${several})`)} |`;
}

/** `docs/configuration.md`, complete. A test compares the file with it; `src/cli/write-docs.ts` writes it. */
export function configurationDocs(): string {
  const sections = Object.entries(commandOptions).map(([command, table]) => {
    const rows = Object.values(table as OptionTable).map(row);
    return [
      `## ${TITLES[command as keyof typeof commandOptions]}`,
      "",
      "| flag | environment | default | meaning |",
      "| --- | --- | --- | --- |",
      ...rows,
    ].join("\n");
  });
  return `${[
    "# Configuration",
    "<!-- Generated from src/config/options.ts by `bun src/cli/write-docs.ts`; a test compares. Do not edit. -->",
    [
      "Every option can be set in three places. The first that has it wins: the flag, the environment variable, the file",
      "named by `--config` (or `RDS_CSI_CONFIG`). The file is YAML or JSON with one key per option, named like the flag",
      "without `--`; repeatable options take a list. One file may serve all commands; a key that no command knows is a",
      "mistake. An empty environment variable counts as unset. All mistakes are reported at once, with exit code 2.",
    ].join("\n"),
    [
      "Secrets are read from files only: a private key, a passphrase or a password in a flag, variable or configuration",
      "file is refused. Kubernetes makes variables such as `RDS_CSI_NVME_PORT` for a Service named `rds-csi-nvme`; set",
      "`enableServiceLinks: false` in pod templates, or choose other Service names.",
    ].join("\n"),
    ...sections,
  ].join("\n\n")}\n`;
}
