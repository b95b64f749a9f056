import { clearTimeout, setTimeout } from "node:timers";
import { cancelledBy } from "../domain/errors/driver-error.ts";
import {
  bounded,
  type Child,
  type Command,
  describe,
  type ExecResult,
  notStarted,
  startProgram,
} from "./exec.ts";
import { type HelperExec, helperCommand, SERVE } from "./helper.ts";

/** How long a helper process waits for another question, milliseconds: the questions of one RPC follow each other quickly. */
const IDLE_MS = 1_000;
/** Longest answer, in characters. */
const MAX_ANSWER = 4 * 1024 * 1024;

/**
 * An Exec whose commands are questions for helper processes that stay for a while: to start the executable takes longer than
 * most answers. A process has one question at a time. One that does not answer in time is killed, or left behind, as by exec();
 * so a blocked device costs nobody else anything. A process that has nothing to do for a second ends; so does one whose driver
 * has ended, as its standard input closes.
 * @param command with which each question begins
 */
export function createHelperProcesses(command: readonly string[] = helperCommand()): HelperExec {
  const prefix = command.length - 1;
  const idle = new Set<HelperProcess>();
  const start = () => new HelperProcess([...command, SERVE]);
  const rest = (helper: HelperProcess): void => {
    if (helper.rest(() => idle.delete(helper))) idle.add(helper);
  };
  const ask = async (question: Command<string>) => {
    const { signal } = question;
    if (signal?.aborted) throw cancelledBy(signal, describe(question));
    // The newest, so that those of a burst end.
    const waiting = [...idle].at(-1);
    if (waiting !== undefined) idle.delete(waiting);
    const helper = waiting ?? start();
    const result = await helper.ask(question, question.args.slice(prefix));
    rest(helper);
    return result;
  };
  return Object.assign(ask, {
    prepare: () => {
      if (idle.size === 0) rest(start());
    },
  });
}

/** One helper process, which answers each line of its standard input by a line. */
class HelperProcess {
  readonly #child: Child;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #onLine: (line: string) => void = () => {};
  #onEnd: (error?: Error) => void = () => {};
  #onSign: () => void = () => {};
  #answer = "";
  #asked = 0;
  #complaint = "";

  constructor([program = "", ...args]: readonly string[]) {
    this.#child = startProgram({ program, args }, "pipe");
    const { stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) stream?.on("error", () => {});
    stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = `${this.#complaint}${text}`.slice(-8_192);
      this.#onSign();
    });
    this.#child.once("error", (error) => this.#end(error));
    this.#child.once("close", () => this.#end());
  }

  #read(text: string): void {
    this.#onSign();
    this.#answer += text;
    const end = this.#answer.indexOf("\n");
    if (end >= 0) {
      const line = this.#answer.slice(0, end);
      this.#answer = this.#answer.slice(end + 1);
      this.#onLine(line);
    } else if (this.#answer.length > MAX_ANSWER) {
      this.#child.kill("SIGKILL");
    }
  }

  #end(error?: Error): void {
    this.#ended = true;
    this.#onEnd(error);
  }

  /**
   * Asks, and waits for the answer or the end of the process.
   * @param args operation and operands
   * @throws as Exec
   */
  async ask(question: Command<string>, args: readonly string[]): Promise<ExecResult> {
    clearTimeout(this.#timer);
    this.#child.ref();
    this.#complaint = "";
    try {
      return await bounded<ExecResult>(this.#child, question, (call) => {
        this.#onSign = call.signOfLife;
        this.#asked += 1;
        // The answer names its question: no other line is one.
        const mark = `${this.#asked} `;
        this.#onLine = (line) => {
          const known = line.startsWith(mark);
          const stdout = known ? line.slice(mark.length) : "";
          if (!known) this.#leave();
          call.settle({
            code: known ? 0 : null,
            stdout,
            stderr: known ? "" : "another answer",
            truncated: false,
          });
        };
        this.#onEnd = (error) => {
          const { exitCode: code, signalCode } = this.#child;
          const by = signalCode === null ? {} : { signal: signalCode };
          const result = { code, ...by, stdout: "", stderr: this.#complaint, truncated: false };
          call.settle(error === undefined ? result : notStarted(question, error));
        };
        this.#child.stdin?.write(`${JSON.stringify([this.#asked, ...args])}\n`);
      });
    } catch (error) {
      this.#leave();
      throw error;
    } finally {
      this.#onLine = () => this.#leave();
      this.#onSign = () => {};
      this.#onEnd = () => {};
    }
  }

  /**
   * Lets the process wait for another question.
   * @param gone is called when it no longer does
   * @returns whether it waits
   */
  rest(gone: () => void): boolean {
    if (this.#answer !== "") this.#leave();
    if (this.#ended) return false;
    const leave = () => {
      gone();
      this.#leave();
    };
    this.#onEnd = leave;
    this.#onLine = leave;
    this.#timer = setTimeout(leave, IDLE_MS);
    this.#timer.unref();
    this.#child.unref();
    return true;
  }

  /** Nothing more is asked: the process ends by itself, or was killed. */
  #leave(): void {
    clearTimeout(this.#timer);
    this.#ended = true;
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    this.#child.unref();
  }
}
