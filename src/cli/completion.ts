import type { Option } from "commander";
import type { CliCommand } from "./command.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** A word of the command line with its help text. */
interface Word {
  readonly word: string;
  readonly help: string;
}

/** An option that takes a value. */
interface ValueOption {
  /** `-o`, `--output`. */
  readonly flags: readonly string[];
  /** All values, if it takes these words only. */
  readonly words: readonly string[];
  readonly isPath: boolean;
}

/** A command with the words that may follow it. */
interface Node {
  /** Sub-commands from the program's name on, joined by blanks; "" for the program itself. */
  readonly path: string;
  readonly words: readonly Word[];
  readonly options: readonly ValueOption[];
}

const flagsOf = ({ short, long }: Option): string[] =>
  [short ?? "", long ?? ""].filter((flag) => flag !== "");

function nodes(command: CliCommand, path: readonly string[] = []): Node[] {
  const visible = command.createHelp();
  const options = visible.visibleOptions(command);
  const subcommands = visible.visibleCommands(command).filter((each) => each.name() !== "help");
  const choices = command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices);
  return [
    {
      path: path.join(" "),
      words: [
        ...subcommands.map((each) => ({ word: each.name(), help: each.description() })),
        ...choices.map((word) => ({ word, help: "" })),
        ...options.map((option) => ({ word: option.long ?? "", help: option.description })),
      ],
      options: options
        .filter(({ required }) => required)
        .map((option) => ({
          flags: flagsOf(option),
          words: command.wordsOf(option),
          isPath: /<(path|file|socket)>/.test(option.flags),
        })),
    },
    ...subcommands.flatMap((each) => nodes(each as CliCommand, [...path, each.name()])),
  ];
}

/** Single-quoted for POSIX shells and fish; help is cut to its first clause. */
const quote = (text: string): string => `'${text.replaceAll("'", "")}'`;
const brief = (text: string): string => (text.split(/[:;(]/)[0] ?? "").trim().slice(0, 60);

/**
 * A bash function that finds the sub-command before the cursor. After an option that takes a value it offers the values,
 * else the words of the sub-command; file names for paths, and where nothing is known.
 */
function bash(all: readonly Node[]): string {
  const words = all.map(
    ({ path, words }) => `    ${quote(path)}) words=${quote(words.map(({ word }) => word).join(" "))} ;;`,
  );
  const values = all.flatMap(({ path, options }) =>
    options.map(({ flags, words, isPath }) => {
      const patterns = flags.map((flag) => quote(`${path} ${flag}`)).join("|");
      return `    ${patterns}) words=${quote(words.join(" "))} files=${isPath ? "yes" : "no"} ;;`;
    }),
  );
  return `# bash completion for rds-csi
_rds_csi() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path='' words='' files=yes index word
  if [ "$current" = '=' ]; then current=''; elif [ "$previous" = '=' ]; then previous=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case " ${all.map(({ path }) => path.replaceAll(" ", "_")).join(" ")} " in
      *" \${path:+\${path// /_}_}$word "*) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${words.join("\n")}
  esac
  case "$path $previous" in
${values.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ \${#COMPREPLY[@]} -eq 0 ] && [ $files = yes ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _rds_csi rds-csi
`;
}

/** zsh runs the bash function. */
const zsh = (all: readonly Node[]): string =>
  `#compdef rds-csi\nautoload -U +X bashcompinit && bashcompinit\n${bash(all)}`;

function fish(all: readonly Node[]): string {
  const lines = all.flatMap(({ path, words, options }) => {
    const parts = path.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`);
    const seen = path === "" ? "__fish_use_subcommand" : parts.join("; and ");
    return words.map(({ word, help }) => {
      const option = options.find(({ flags }) => flags.includes(word));
      const short = option?.flags.find((flag) => /^-[a-z]$/.test(flag));
      const values = option?.isPath
        ? " -r"
        : ` -x${option?.words.length ? ` -a ${quote(option.words.join(" "))}` : ""}`;
      const what = word.startsWith("--")
        ? `-l ${word.slice(2)}${short === undefined ? "" : ` -s ${short.slice(1)}`}${option === undefined ? "" : values}`
        : `-a ${word}`;
      return `complete -c rds-csi -n ${quote(seen)} ${what}${help === "" ? "" : ` -d ${quote(brief(help))}`}`;
    });
  });
  return `# fish completion for rds-csi\n${lines.join("\n")}\n`;
}

/** A completion script, made from the command tree. */
export function completionScript(program: CliCommand, shell: Shell): string {
  const all = nodes(program);
  return shell === "bash" ? bash(all) : shell === "zsh" ? zsh(all) : fish(all);
}
