import type { Command } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** A word of the command line with what may follow it. */
interface Node {
  /** Sub-commands from the program's name on, joined by blanks; "" for the program itself. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly help: string }[];
}

function nodes(command: Command, path: readonly string[] = []): Node[] {
  const visible = command.createHelp();
  const subcommands = visible.visibleCommands(command).filter((each) => each.name() !== "help");
  const choices = command.registeredArguments.flatMap(({ description }) => description.split(", "));
  const words = [
    ...subcommands.map((each) => ({ word: each.name(), help: each.description() })),
    ...choices.map((word) => ({ word, help: "" })),
    ...visible
      .visibleOptions(command)
      .flatMap((option) =>
        option.long === undefined || option.long === null
          ? []
          : [{ word: option.long, help: option.description }],
      ),
  ];
  return [
    { path: path.join(" "), words },
    ...subcommands.flatMap((each) => nodes(each, [...path, each.name()])),
  ];
}

/** Single-quoted for POSIX shells and fish; help is cut to its first clause. */
const quote = (text: string): string => `'${text.replaceAll("'", "")}'`;
const brief = (text: string): string => (text.split(/[:;(]/)[0] ?? "").trim().slice(0, 60);

const bashCases = (all: readonly Node[]): string =>
  all
    .map(
      ({ path, words }) => `    ${quote(path)}) words=${quote(words.map(({ word }) => word).join(" "))} ;;`,
    )
    .join("\n");

/** A bash function that finds the sub-command before the cursor and offers its words; file names otherwise. */
function bash(all: readonly Node[]): string {
  return `# bash completion for rds-csi
_rds_csi() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' words='' index word
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case " ${all.map(({ path }) => path.replaceAll(" ", "_")).join(" ")} " in
      *" \${path:+\${path// /_}_}$word "*) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${bashCases(all)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _rds_csi rds-csi
`;
}

/** zsh runs the bash function. */
const zsh = (all: readonly Node[]): string =>
  `#compdef rds-csi\nautoload -U +X bashcompinit && bashcompinit\n${bash(all)}`;

function fish(all: readonly Node[]): string {
  const lines = all.flatMap(({ path, words }) => {
    const seen =
      path === ""
        ? "__fish_use_subcommand"
        : path
            .split(" ")
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join("; and ");
    return words.map(({ word, help }) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `complete -c rds-csi -n ${quote(seen)} ${what}${help === "" ? "" : ` -d ${quote(brief(help))}`}`;
    });
  });
  return `# fish completion for rds-csi\n${lines.join("\n")}\n`;
}

/** A completion script, made from the command tree. */
export function completionScript(program: Command, shell: Shell): string {
  const all = nodes(program);
  return shell === "bash" ? bash(all) : shell === "zsh" ? zsh(all) : fish(all);
}
