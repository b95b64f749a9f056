import { ros, type Script } from "../../routeros/script.ts";
import { type Bench, LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, handled, shown, unclear } from "../experiment.ts";

/** Whether a line of statements runs. @returns its error text, undefined if it runs */
async function refusal(bench: Bench, script: Script): Promise<string | undefined> {
  try {
    const told = await bench.tell(script);
    return told.ok ? undefined : told.text;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The pool's disk as RouterOS prints it for scripts. */
const pool = ({ settings }: Bench, how: Script): Script =>
  ros`[/disk/print ${how} where slot=${settings.pool}]`;

/** The type of a property of the pool's disk, such as `bool`, `str` or `nothing`. */
async function typeOf(bench: Bench, property: string, how: Script = ros`as-value`): Promise<string> {
  return await bench.value(ros`[:typeof (${pool(bench, how)}->0->${property})]`);
}

function works(
  id: string,
  question: string,
  does: string,
  name: string,
  missing: string,
  script: (bench: Bench) => Script,
): Experiment {
  return {
    id,
    stage: "read-only",
    question,
    does,
    answers: { works: handled("The driver uses it."), missing: handled(missing) },
    settles: [name],
    limitMs: 40_000,
    ask: async (bench): Promise<Answer> => {
      const text = await refusal(bench, script(bench));
      const answer = text === undefined ? "works" : "missing";
      return { answer, came: text === undefined ? "it runs" : shown(text), switches: { [name]: answer } };
    },
  };
}

async function proplist(bench: Bench): Promise<Answer> {
  const how = ros`as-value proplist=slot,mounted`;
  const text = await refusal(bench, ros`:local r ${pool(bench, how)}`);
  if (text !== undefined) return { answer: "missing", came: shown(text), switches: { proplist: "missing" } };
  const [all, chosen] = [await typeOf(bench, "mounted"), await typeOf(bench, "mounted", how)];
  const came = `the flag mounted is ${all} in the whole row, ${chosen} in the chosen one`;
  if (isAbsent(all)) return unclear(`${came}; is the pool ${bench.settings.pool} mounted?`);
  const answer = isAbsent(chosen) ? "without-flags" : "works";
  return { answer, came, switches: { proplist: answer } };
}

const isAbsent = (type: string): boolean => type === "nothing" || type === "nil";

async function flags(bench: Bench): Promise<Answer> {
  const [mounted, disabled] = [await typeOf(bench, "mounted"), await typeOf(bench, "disabled")];
  const came = `mounted, which is set, is ${mounted}; disabled, which is not set, is ${disabled}`;
  if (mounted !== "bool" && mounted !== "str")
    return unclear(`${came}; is the pool ${bench.settings.pool} mounted?`);
  const answer = mounted === "bool" ? "bool" : "text";
  return {
    answer,
    came,
    switches: { booleans: answer, "false-flags": isAbsent(disabled) ? "absent" : "false" },
  };
}

async function numbering(bench: Bench): Promise<Answer> {
  const print = (where: Script) =>
    bench.raw(ros`/disk/print detail without-paging${where}`.render(""), LINE_MS, undefined, true);
  const all = await print(ros``);
  const one = await print(ros` where slot=${bench.settings.pool}`);
  const numbers = (text: string) => [...text.matchAll(/^ {0,3}(\d+) /gm)].map(([, number]) => Number(number));
  const [listed, [number]] = [numbers(all.stdout), numbers(one.stdout)];
  const came = `${listed.length} records in all; the pool's has the number ${number ?? "-"} when it is asked for alone`;
  if (number === undefined) return unclear(came);
  return { answer: number === 0 ? "perhaps-own" : "whole-list", came };
}

async function serialized(bench: Bench): Promise<Answer> {
  const values: readonly (readonly [string, Script])[] = [
    ["nothing", ros`({}->"none")`],
    ["no rows", ros`[/disk/find where slot="csi-probe-none"]`],
    ["a boolean", ros`(1 = 1)`],
    ["digits as text", ros`"0123"`],
    ["a size", ros`1099511627776`],
    ["marks", ros`${'a"b\\c$d?e'}`],
  ];
  const came: string[] = [];
  for (const [name, value] of values) {
    const text = await bench
      .value(ros`[:serialize to=json options=json.no-string-conversion value=${value}]`)
      .catch((error: unknown) => `refused: ${error instanceof Error ? error.message : error}`);
    came.push(`${name} ${shown(text)}`);
  }
  // All bytes of ASCII but NUL.
  const bytes = String.fromCharCode(...Array.from({ length: 127 }, (_, at) => at + 1));
  const length = await bench
    .value(ros`[:len ${bytes}]`)
    .catch((error: unknown) => `refused: ${error instanceof Error ? error.message : error}`);
  came.push(`a text of 127 bytes has the length ${shown(length)}`);
  const isExact =
    length === "127" &&
    came.includes("a size 1099511627776") &&
    came.some((line) => line === `digits as text "0123"`);
  return { answer: isExact ? "exact" : "other", came: came.join("; ") };
}

/** The forms in which lists come. */
export const LISTS: readonly Experiment[] = [
  works(
    "json",
    "Can RouterOS write JSON?",
    "writes a number as JSON",
    "serialize",
    "The driver reads one property a line, which takes longer.",
    () => ros`:put [:serialize to=json value=1]`,
  ),
  works(
    "detail-as-value",
    "Does `print detail as-value` work?",
    "prints the pool's disk so",
    "as-value-in-detail",
    "The driver reads `print as-value`.",
    (bench) => ros`:local r ${pool(bench, ros`detail as-value`)}`,
  ),
  {
    id: "proplist",
    stage: "read-only",
    question: "Can `print` show chosen properties, and flags among them?",
    does: "prints two properties of the pool's disk",
    answers: {
      works: handled("Long lists come with chosen properties."),
      "without-flags": handled("The driver notices that flags are missing, and reads whole rows."),
      missing: handled("The driver reads whole rows, so that long lists take more commands."),
    },
    settles: ["proplist"],
    limitMs: 60_000,
    ask: proplist,
  },
  {
    id: "flags",
    stage: "read-only",
    question: "How do scripts see flags that are set and flags that are not?",
    does: "reads two flags of the pool's disk",
    answers: {
      bool: handled("The driver reads booleans."),
      text: handled("The driver reads the words yes and no as booleans."),
    },
    settles: ["booleans", "false-flags"],
    limitMs: 40_000,
    ask: flags,
  },
  {
    id: "json-values",
    stage: "read-only",
    question: "How does JSON show nothing, booleans, sizes, digits and marks?",
    does: "writes six values as JSON",
    answers: {
      exact: handled("Sizes and texts come exactly."),
      other: {
        weight: "limits",
        driver:
          "A size or a text of digits does not come exactly. The driver notices rows that it cannot read, and uses the next form.",
      },
    },
    settles: [],
    limitMs: 120_000,
    ask: serialized,
  },
  {
    id: "numbering",
    stage: "read-only",
    question: "Which number has a record that is asked for alone?",
    does: "prints all disks, and the pool's alone",
    answers: {
      "whole-list": handled("That of the whole list. The driver uses ids and slots, never numbers."),
      "perhaps-own": handled("0, which may be its place in either list. The driver never uses numbers."),
    },
    settles: [],
    limitMs: 40_000,
    ask: numbering,
  },
];
