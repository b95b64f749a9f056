import { request } from "node:http";
import { until } from "./until.ts";

/** A fault as `POST /faults` takes it; see src/simulator/faults.ts. */
export interface Fault {
  readonly kind: string;
  /** Regular expression on the RouterOS line. */
  readonly line?: string;
  readonly nth?: number;
  readonly count?: number | "forever";
  readonly [field: string]: unknown;
}

/** One RouterOS line that the simulator was sent. */
export interface SentCommand {
  readonly sequence: number;
  /** Number of the TCP connection, from 1. */
  readonly connection: number;
  /** Milliseconds since the epoch; `finishedAt` is not there while the line runs. */
  readonly startedAt: number;
  readonly finishedAt?: number;
  readonly line: string;
  /** Its answer, both streams together; empty while it runs. */
  readonly output: string;
  readonly outcome: string;
  readonly mutated: boolean;
}

/** The parts of `GET /state` that tests look at. */
export interface SimulatorState {
  readonly disks: readonly {
    readonly slot: string;
    readonly comment: string;
    readonly exported: boolean;
    readonly nqn: string;
  }[];
  readonly files: readonly { readonly path: string; readonly directory: boolean }[];
}

/** The simulator's control socket. */
export class Control {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** Sets a rule. @returns its place in `hits` */
  async fault(fault: Fault): Promise<number> {
    return ((await this.#ask("POST", "/faults", fault)) as { rule: number }).rule;
  }

  /** How often each rule has struck since the simulator started, those that are removed too. */
  async hits(): Promise<readonly number[]> {
    return ((await this.#ask("GET", "/faults")) as { hits: number[] }).hits;
  }

  /** Removes all rules. @returns how many lines hung, and now go on */
  async clearFaults(): Promise<number> {
    return ((await this.#ask("DELETE", "/faults")) as { released: number }).released;
  }

  state(): Promise<SimulatorState> {
    return this.#ask("GET", "/state") as Promise<SimulatorState>;
  }

  commands(): Promise<SentCommand[]> {
    return this.#ask("GET", "/commands") as Promise<SentCommand[]>;
  }

  /** Sets switches by their names; the others stay. */
  switches(values: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.#ask("POST", "/switches", values);
  }

  /** Reboots the device; resolves when its pools are mounted again. */
  reboot(): Promise<unknown> {
    return this.#ask("POST", "/reboot");
  }

  /** Mounts or unmounts a pool, as an event on the device. */
  pool(slot: string, mounted: boolean): Promise<unknown> {
    return this.#ask("POST", "/pools", { slot, mounted });
  }

  /** The state of a pool's array, as RouterOS words it: `clean`, `degraded`. */
  array(slot: string, state: string): Promise<unknown> {
    return this.#ask("POST", "/pools", { slot, state });
  }

  /** Connections that are open and commands that run. */
  stats(): Promise<{ readonly connections: number; readonly running: number }> {
    return this.#ask("GET", "/stats") as Promise<{ readonly connections: number; readonly running: number }>;
  }

  /** The lines that are sent while `work` runs. */
  async commandsDuring(work: () => Promise<unknown>): Promise<SentCommand[]> {
    const before = (await this.commands()).at(-1)?.sequence ?? 0;
    await work();
    return (await this.commands()).filter(({ sequence }) => sequence > before);
  }

  /**
   * Waits until `count` commands have been answered after sequence number `after`: a controller that starts reads the
   * version and all records, and counts of commands are exact only after that.
   */
  async untilAnswered(count: number, after = 0): Promise<void> {
    await until(`the simulator has answered ${count} commands`, async () => {
      const sent = (await this.commands()).filter(({ sequence }) => sequence > after);
      return sent.length >= count && sent.every(({ outcome }) => outcome !== "running");
    });
  }

  /** Waits until the simulator has been sent a line that matches, after sequence number `after`. */
  async untilSent(line: RegExp, after = 0): Promise<SentCommand> {
    const search = async () =>
      (await this.commands()).find((each) => each.sequence > after && line.test(each.line));
    await until(`the simulator is sent ${line}`, async () => (await search()) !== undefined);
    return (await search()) as SentCommand;
  }

  #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.#socket, method, path }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (data) => (text += data));
        response.on("error", reject);
        response.on("end", () =>
          response.statusCode === 200
            ? resolve(JSON.parse(text))
            : reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`)),
        );
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
