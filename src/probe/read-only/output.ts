import { ros } from "../../routeros/script.ts";
import { type Bench, LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, fact, handled, shown, unclear } from "../experiment.ts";
import { isAnswered, textOf } from "../session.ts";

/** Lengths of the lines of a text, without their ends. */
export function lineLengths(text: string): readonly number[] {
  return text
    .replace(/\r/g, "")
    .replace(/\n+$/, "")
    .split("\n")
    .map((line) => line.length);
}

async function lineEnds(bench: Bench): Promise<Answer> {
  const { stdout } = await bench.raw(`:put "csi-probe"`);
  const answer = { "csi-probe\r\n": "crlf", "csi-probe\n": "lf" }[stdout];
  if (answer === undefined) return unclear(JSON.stringify(stdout.slice(0, 80)));
  return { answer, came: JSON.stringify(stdout), switches: { "line-ending": answer } };
}

/** A text without blanks that no screen is wide enough for. */
const LONG = "x".repeat(300);

async function wrappedPut(bench: Bench): Promise<Answer> {
  const answer = await bench.raw(`:put "${LONG}"`);
  const lengths = lineLengths(answer.stdout);
  if (lengths.length === 1 && lengths[0] === LONG.length) {
    return { answer: "whole", came: `one line of ${LONG.length} characters`, switches: { "wrap-put": "no" } };
  }
  const width = Math.max(...lengths);
  const came = `lines of ${lengths.join(", ")} characters`;
  if (answer.stdout.replace(/[\r\n]/g, "") !== LONG) return { answer: "damaged", came };
  return { answer: "cut", came, switches: { "wrap-put": "yes", "wrap-width": String(width) } };
}

/** Longest line of `print detail` of the pool's disk; undefined where nothing was wrapped. */
async function detailWidth(bench: Bench, user?: string): Promise<{ longest: number; lines: number }> {
  const line = ros`/disk/print detail where slot=${bench.settings.pool}`.render("");
  const print = (session?: Parameters<Bench["raw"]>[2]) => bench.raw(line, LINE_MS, session);
  const answer = await (user === undefined ? print() : bench.withSession(print, { user }));
  const body = answer.stdout.slice(Math.max(0, answer.stdout.search(/^ *\d+ /m)));
  const lengths = lineLengths(body).filter((length) => length > 0);
  return { longest: Math.max(0, ...lengths), lines: lengths.length };
}

async function wrappedPrint(bench: Bench): Promise<Answer> {
  const { longest, lines } = await detailWidth(bench);
  if (lines === 0) return unclear(`\`print detail\` shows no disk ${bench.settings.pool}`);
  const came = `the disk ${bench.settings.pool} in ${lines} lines, the longest of ${longest} characters`;
  // A record has far more than 250 characters.
  if (lines === 1) return { answer: "whole", came, switches: { "wrap-width": "0" } };
  return { answer: "wrapped", came };
}

const SUFFIX_WIDTH = 60;

async function loginSuffix(bench: Bench): Promise<Answer> {
  const { user } = bench.settings.connection;
  if (user.includes("+")) return unclear(`the user ${user} has a suffix already`);
  const { longest, lines } = await detailWidth(bench, `${user}+${SUFFIX_WIDTH}w`);
  if (lines === 0) return unclear(`\`print detail\` shows no disk ${bench.settings.pool}`);
  const answer = longest <= SUFFIX_WIDTH ? "honoured" : "ignored";
  return {
    answer,
    came: `as ${user}+${SUFFIX_WIDTH}w lines of at most ${longest} characters`,
    switches: { "login-suffix": answer },
  };
}

const KIB = 1_024;
/** Lines of 1,022 characters and their end. */
const FILL = "y".repeat(1_022);
const SIZES = [64 * KIB, KIB * KIB, 3 * KIB * KIB];

async function longReply(bench: Bench): Promise<Answer> {
  const came: string[] = [];
  for (const size of SIZES) {
    const lines = size / KIB;
    const line = `:local x "${FILL}"; :for i from=1 to=${lines} do={ :put $x }; :put "csi-probe-end"`;
    const answer = await bench.raw(line, 60_000);
    const isWhole = answer.stdout.trimEnd().endsWith("csi-probe-end");
    came.push(
      `${size / KIB} KiB: ${isWhole ? "whole" : `cut after ${answer.stdout.length} bytes`} in ${Math.round(answer.tookMs)} ms`,
    );
    if (!isWhole) {
      return {
        answer: size <= KIB * KIB ? "cut-early" : "cut",
        came: came.join("; "),
        switches: { "exec-output-limit": "window" },
      };
    }
  }
  return { answer: "whole", came: came.join("; "), switches: { "exec-output-limit": "none" } };
}

/** The longest line that is tried, bytes: SSH bounds a request to about 34 KiB. */
const LONGEST = 32_768;

/** Whether the device runs a line of so many bytes. */
async function runs(bench: Bench, bytes: number): Promise<boolean> {
  const [start, end] = [`:local x "`, `"; :put "csi-probe-ok"`];
  const line = start + "z".repeat(bytes - start.length - end.length) + end;
  const answer = await (await bench.main()).exec(line, LINE_MS);
  return isAnswered(answer) && answer.stdout.includes("csi-probe-ok");
}

async function longLine(bench: Bench): Promise<Answer> {
  let [least, most] = [KIB, LONGEST + 1];
  if (!(await runs(bench, least))) return { answer: "short", came: `not even ${least} bytes` };
  if (await runs(bench, LONGEST)) {
    return { answer: "long", came: `${LONGEST} bytes run` };
  }
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if (await runs(bench, middle)) least = middle;
    else most = middle;
  }
  // The driver's longest line has about 4 KiB.
  const answer = least < 8 * KIB ? "short" : "long";
  return {
    answer,
    came: `${least} bytes run, ${least + 1} do not`,
    switches: { "command-limit": String(least) },
  };
}

async function multiLine(bench: Bench): Promise<Answer> {
  const answer = await bench.raw(`:put "csi-probe-1"\n:put "csi-probe-2"`);
  const [first, second] = ["csi-probe-1", "csi-probe-2"].map((text) => textOf(answer).includes(text));
  const came = shown(textOf(answer));
  if (first && second) return { answer: "both", came };
  const found = first ? "first-line" : "syntax-error";
  return { answer: found, came, switches: { "multi-line": found } };
}

/** The form of console output. */
export const OUTPUT: readonly Experiment[] = [
  {
    id: "line-ends",
    stage: "read-only",
    question: "How do lines of output end?",
    does: "prints a word",
    answers: {
      crlf: handled("The driver takes line ends away."),
      lf: handled("The driver takes line ends away."),
    },
    settles: ["line-ending"],
    limitMs: 20_000,
    ask: lineEnds,
  },
  {
    id: "wrapped-put",
    stage: "read-only",
    question: "Is a line of `:put` with 300 characters cut?",
    does: "prints 300 characters",
    answers: {
      whole: handled("Replies come as they were printed."),
      cut: handled("The driver joins lines before it reads them."),
      damaged: {
        weight: "unsafe",
        driver:
          "Joined lines do not give the printed text. The driver cannot read this device; do not use it.",
      },
    },
    settles: ["wrap-put", "wrap-width"],
    limitMs: 20_000,
    ask: wrappedPut,
  },
  {
    id: "wrapped-print",
    stage: "read-only",
    question: "Is the output of `print detail` wrapped without a terminal?",
    does: "prints the pool's disk",
    answers: {
      whole: handled("A record is one line."),
      wrapped: handled(
        "The driver uses JSON first, and can read wrapped records too. The stage scratch finds the width.",
      ),
    },
    settles: ["wrap-width"],
    limitMs: 20_000,
    ask: wrappedPrint,
  },
  {
    id: "login-suffix",
    stage: "read-only",
    question: "Does a width in the login, such as csi+60w, count?",
    does: "logs in with such a name and prints the pool's disk",
    answers: {
      honoured: fact("The driver logs in with the plain name, and needs no width."),
      ignored: fact("The driver logs in with the plain name, and needs no width."),
    },
    settles: ["login-suffix"],
    limitMs: 30_000,
    ask: loginSuffix,
  },
  {
    id: "long-reply",
    stage: "read-only",
    question: "Does the end of a reply of 64 KiB, 1 MiB and 3 MiB arrive?",
    does: "prints so much",
    answers: {
      whole: handled("No reply is lost. The driver keeps them small all the same."),
      cut: handled(
        "Output beyond the window of 2 MiB is lost. The driver keeps replies below it, and notices a cut.",
      ),
      "cut-early": {
        weight: "limits",
        driver: "Replies below the window are lost too. Long lists fail with an error; nothing else does.",
      },
    },
    settles: ["exec-output-limit"],
    limitMs: 200_000,
    ask: longReply,
  },
  {
    id: "long-line",
    stage: "read-only",
    question: "How long may a command line be?",
    does: "sends lines that print a word, of up to 32 KiB",
    answers: {
      long: handled("All lines of the driver fit; its longest have about 4 KiB."),
      short: {
        weight: "limits",
        driver: "Some lines of the driver may be refused as a whole; then nothing happens.",
      },
    },
    settles: ["command-limit"],
    limitMs: 400_000,
    ask: longLine,
  },
  {
    id: "two-lines",
    stage: "read-only",
    question: "Is a request with a line end in it run?",
    does: "sends two lines that print a word each",
    answers: {
      "syntax-error": handled("It is refused. The driver sends one line."),
      "first-line": handled("Its first line runs. The driver sends one line."),
      both: handled("Both run. The driver sends one line."),
    },
    settles: ["multi-line"],
    limitMs: 20_000,
    ask: multiLine,
  },
];
