import { type Command, InvalidArgumentError, Option } from "commander";
import { VOLUME_STATES } from "./model.ts";
import { type Selection, SORT_KEYS, type SortKey } from "./select.ts";

/** Reads `a,b` and repeated options as one list. @throws InvalidArgumentError */
function names(text: string, before: readonly string[] = []): readonly string[] {
  const given = text.split(",");
  if (given.includes("")) throw new InvalidArgumentError("Expected a name, or several with commas.");
  return [...before, ...given];
}

/** As names, of a fixed set. @throws InvalidArgumentError listing the set */
function oneOf<T extends string>(allowed: readonly T[]) {
  return (text: string, before: readonly T[] = []): readonly T[] => {
    const unknown = text.split(",").find((each) => !allowed.includes(each as T));
    if (unknown === undefined) return [...before, ...(text.split(",") as T[])];
    throw new InvalidArgumentError(`${JSON.stringify(unknown)} is none of ${allowed.join(", ")}.`);
  };
}

/** Adds the options that choose and sort the volumes of `volumes list`. */
export function addListOptions(list: Command): Command {
  const several = "; several with commas";
  return list
    .addOption(
      new Option(
        "-n, --namespace <namespaces>",
        `only volumes of claims in this namespace${several}`,
      ).argParser(names),
    )
    .addOption(new Option("--node <nodes>", `only volumes attached to this node${several}`).argParser(names))
    .addOption(
      new Option("--state <states>", `only volumes in this state${several}`)
        .choices(VOLUME_STATES)
        .argParser(oneOf(VOLUME_STATES)),
    )
    .option("--problems", "only volumes with a problem: an error or a warning", false)
    .addOption(
      new Option("--sort <key>", "order; default: problems first, JSON and YAML by handle").choices(
        SORT_KEYS,
      ),
    );
}

/** What the parsed options choose. */
export function listSelection(options: {
  readonly namespace?: readonly string[];
  readonly node?: readonly string[];
  readonly state?: Selection["states"];
  readonly problems: boolean;
  readonly sort?: SortKey;
}): { readonly selection: Selection; readonly sort: SortKey | undefined } {
  const { namespace: namespaces = [], node: nodes = [], state: states = [], problems, sort } = options;
  return { selection: { namespaces, nodes, states, problems }, sort };
}
