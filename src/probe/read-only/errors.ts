import type { Bench } from "../bench.ts";
import { type Answer, type Experiment, shown, unclear } from "../experiment.ts";
import { type Raw, textOf } from "../session.ts";

const status = ({ exitCode }: Raw): string => (exitCode === undefined ? "none" : String(exitCode));

/** Which stream has a text. */
function streamOf({ stdout, stderr }: Raw, text: RegExp): string | undefined {
  if (text.test(stdout)) return "stdout";
  return text.test(stderr) ? "stderr" : undefined;
}

const evidence = (answer: Raw): string =>
  `exit status ${status(answer)}; stdout ${JSON.stringify(shown(answer.stdout))}; stderr ${JSON.stringify(shown(answer.stderr))}`;

/** The status and the stream of a line that fails, as one experiment for each kind of failure. */
function failing(
  id: string,
  question: string,
  line: string,
  text: RegExp,
  name: "exit-on-runtime-error" | "exit-on-parse-error",
): Experiment {
  return {
    id,
    stage: "read-only",
    question,
    does: `sends \`${line}\``,
    answers: {
      "by-text": {
        weight: "handled",
        driver:
          "The exit status tells nothing. The driver reads the verdict in the text, which it does anyway.",
      },
      "by-status": {
        weight: "handled",
        driver:
          "The exit status tells a failure. The driver reads the verdict in the text, and needs no status.",
      },
    },
    settles: [name, "error-stream"],
    limitMs: 30_000,
    ask: async (bench) => {
      const answer = await bench.raw(line);
      const stream = streamOf(answer, text);
      if (stream === undefined || answer.exitCode === undefined) return unclear(evidence(answer));
      return {
        answer: answer.exitCode === 0 ? "by-text" : "by-status",
        came: evidence(answer),
        switches: { [name]: String(answer.exitCode), "error-stream": stream },
      };
    },
  };
}

const BEFORE = "csi-probe-before";
const CAUGHT = "csi-probe-caught";

async function unknownCommand(bench: Bench): Promise<Answer> {
  const plain = await bench.raw(`:put "${BEFORE}"; /csi-probe/print; :put "csi-probe-after"`);
  if (!textOf(plain).includes(BEFORE)) {
    return { answer: "whole-line", came: evidence(plain), switches: { "unknown-command": "whole-line" } };
  }
  if (textOf(plain).includes("csi-probe-after")) return unclear(evidence(plain));
  const caught = await bench.raw(`:onerror e in={ /csi-probe/print } do={ :put "${CAUGHT}" }`);
  const answer = textOf(caught).includes(CAUGHT) ? "catchable" : "uncatchable";
  return {
    answer,
    came: `${evidence(plain)}; inside :onerror ${evidence(caught)}`,
    switches: { "unknown-command": answer },
  };
}

async function unknownArgument(bench: Bench): Promise<Answer> {
  const answer = await bench.raw(`:put "${BEFORE}"; /system/identity/print csi-probe=1`);
  const text = textOf(answer).replace(BEFORE, "");
  const isWhole = text.length === textOf(answer).length;
  const found = [
    ["expected-end", /expected end of command/i, true],
    ["syntax-error", /syntax error/i, true],
    ["bad-parameter", /bad parameter|unknown parameter/i, false],
  ] as const;
  const known = found.find(([, pattern, whole]) => pattern.test(text) && whole === isWhole)?.[0];
  if (known === undefined) return unclear(evidence(answer));
  return { answer: known, came: evidence(answer), switches: { "unknown-argument": known } };
}

async function missingItem(bench: Bench): Promise<Answer> {
  const line = `:onerror e in={ :put [/disk/get [find where slot="csi-probe-none"] size] } do={ :put ("~" . $e . "~") }`;
  const answer = await bench.raw(line);
  const text = /~(.*)~/s.exec(textOf(answer).replace(/[\r\n]/g, ""))?.[1];
  if (text === undefined) return unclear(evidence(answer));
  const suffix = /\([^()]*line \d+[^()]*\)\s*$/.test(text) ? "command" : "none";
  const kinds = { "no-such-item": /no such item/i, "internal-number": /invalid internal item number/i };
  const kind = Object.entries(kinds).find(([, pattern]) => pattern.test(text))?.[0];
  if (kind === undefined) return { ...unclear(shown(text)), switches: { "onerror-suffix": suffix } };
  return { answer: kind, came: shown(text), switches: { "missing-item": kind, "onerror-suffix": suffix } };
}

/** What failures look like. */
export const ERRORS: readonly Experiment[] = [
  failing(
    "runtime-error",
    "How does a line end that fails while it runs?",
    ":error csi-probe",
    /csi-probe/,
    "exit-on-runtime-error",
  ),
  failing(
    "parse-error",
    "How does a line end that is no RouterOS?",
    ":put (",
    /expected|syntax error|missing closing/i,
    "exit-on-parse-error",
  ),
  {
    id: "unknown-command",
    stage: "read-only",
    question: "What runs before a command that this version does not have, and can a script catch it?",
    does: "sends a line with the command `/csi-probe/print`, plain and inside `:onerror`",
    answers: {
      uncatchable: {
        weight: "handled",
        driver: "A reply without a verdict may have run in part. The driver treats it so.",
      },
      catchable: { weight: "handled", driver: "The driver sees an ordinary failure." },
      "whole-line": {
        weight: "handled",
        driver: "Such a line does nothing. The driver does not rely on it.",
      },
    },
    settles: ["unknown-command"],
    limitMs: 40_000,
    ask: unknownCommand,
  },
  {
    id: "unknown-argument",
    stage: "read-only",
    question: "What runs before an argument that this version does not have?",
    does: "prints the identity with the argument `csi-probe`",
    answers: {
      "bad-parameter": {
        weight: "handled",
        driver: "The statements before it have run. The driver expects that.",
      },
      "syntax-error": {
        weight: "handled",
        driver: "The whole line is refused. The driver uses the next form.",
      },
      "expected-end": {
        weight: "handled",
        driver: "The whole line is refused. The driver uses the next form.",
      },
    },
    settles: ["unknown-argument"],
    limitMs: 30_000,
    ask: unknownArgument,
  },
  {
    id: "missing-item",
    stage: "read-only",
    question: "Which text comes for an item that does not exist, and does it name the command?",
    does: "reads the size of a disk that does not exist",
    answers: {
      "no-such-item": { weight: "handled", driver: "The driver knows the text as absence." },
      "internal-number": { weight: "handled", driver: "The driver knows the text as absence." },
    },
    settles: ["missing-item", "onerror-suffix"],
    limitMs: 30_000,
    ask: missingItem,
  },
];
