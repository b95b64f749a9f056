import { Buffer } from "node:buffer";
import type { ChildProcess } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import type { Notice, Reply, Request } from "./guest/protocol.ts";
import { kind, type Launched, type MachineOptions } from "./kind.ts";

/** How a command on a machine ended; `code` is a signal's name, or "deadline", when it has no exit code. */
export interface Ran {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** An RPC's failure, as a CSI client sees it. */
export class RpcFailure extends Error {
  readonly code: number;
  readonly details: string;
  constructor(code: number, details: string) {
    super(`${code}: ${details}`);
    this.code = code;
    this.details = details;
  }
}

type Unnumbered = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;
type Waiting = { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void };

/** A script that looks is run so often at most. */
const LOOKS = 3;

let started = 0;

/**
 * A Linux machine of the kind that `scripts/lab` chose: a kernel of its own, Debian's programs, the driver's executable, an
 * address on the lab's network. Everything it is asked has a deadline, given for a machine that computes as fast as the
 * host; a slower kind has more time.
 */
export class Machine {
  readonly name: string;
  /** Milliseconds from start to its first word. */
  bootMs = 0;
  readonly #child: ChildProcess;
  readonly #line: Duplex;
  readonly #envelope: Launched["envelope"];
  readonly #waiting = new Map<number, Waiting>();
  readonly #ends = new Map<number, (how: string) => void>();
  readonly #ready: Promise<void>;
  readonly #gone: Promise<void>;
  #last = 0;
  #dead: Error | undefined;
  #console = "";

  private constructor(name: string, { child, envelope }: Launched, logs: string) {
    this.name = name;
    this.#envelope = envelope;
    this.#child = child;
    // libuv and Bun make an extra "pipe" a pair of connected sockets: one descriptor for both directions.
    this.#line = child.stdio[3] as Duplex;
    mkdirSync(logs, { recursive: true });
    const log = createWriteStream(join(logs, `${name}.console`), { flags: "a" });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#console = (this.#console + text).slice(-20_000);
        log.write(text);
      });
    }
    const { promise: ready, resolve: setReady, reject: notReady } = Promise.withResolvers<void>();
    const { promise: gone, resolve: setGone } = Promise.withResolvers<void>();
    this.#ready = ready;
    this.#gone = gone;
    ready.catch(() => {});
    this.#line.on("error", () => {});
    let text = "";
    this.#line.setEncoding("latin1");
    this.#line.on("data", (data: string) => {
      text += data;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        this.#hear(Buffer.from(text.slice(0, end), "latin1").toString("utf8"), setReady);
        text = text.slice(end + 1);
      }
    });
    const end = (how: string) => {
      this.#dead = new Error(
        `${name} is off (${how}); its console ended with:\n${this.#console.slice(-2_000)}`,
      );
      notReady(this.#dead);
      for (const { reject } of this.#waiting.values()) reject(this.#dead);
      for (const ended of this.#ends.values()) ended("power off");
      this.#waiting.clear();
      this.#ends.clear();
      log.end();
      setGone();
    };
    child.on("error", (error) => end(error.message));
    child.on("exit", (code, signal) => end(String(signal ?? code)));
  }

  /** Switches a machine on and waits until it answers. */
  static async boot(options: MachineOptions): Promise<Machine> {
    started += 1;
    const begun = performance.now();
    const machine = new Machine(options.name, kind.launch(options, started), options.logs);
    const timer = setTimeout(() => machine.powerOff(), kind.bootLimitMs);
    await machine.#ready.finally(() => clearTimeout(timer));
    machine.bootMs = performance.now() - begun;
    return machine;
  }

  get on(): boolean {
    return this.#dead === undefined;
  }

  /** Pulls the plug: nothing is flushed, nobody is told. */
  async powerOff(): Promise<void> {
    this.#signal("SIGKILL");
    await this.#gone;
  }

  /** Stops the machine's clock and everything in it, as a hypervisor that pauses a guest; `resume` goes on. */
  pause(): void {
    this.#signal("SIGSTOP", "kernel");
  }

  resume(): void {
    this.#signal("SIGCONT", "kernel");
  }

  /** Runs a shell script; throws only when the machine does not answer. */
  async run(script: string, limitMs = 30_000): Promise<Ran> {
    const deadlineMs = limitMs * kind.slowness;
    const reply = await this.#ask({ op: "exec", script, deadlineMs }, deadlineMs + 10_000 * kind.slowness);
    if (reply.kind !== "exec") throw new Error(`${this.name}: ${JSON.stringify(reply)}`);
    return reply;
  }

  /** As run, for a script that has to succeed; its output without the last line end. */
  async sh(script: string, deadlineMs = 30_000): Promise<string> {
    const { code, stdout, stderr } = await this.run(script, deadlineMs);
    if (code !== 0) throw new Error(`${this.name}: \`${script}\` ended with ${code}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** Writes a file that only root may read, and the directories above it. */
  async put(path: string, text: string): Promise<void> {
    const base64 = Buffer.from(text).toString("base64");
    await this.sh(`umask 077 && mkdir -p ${dirname(path)} && base64 -d >${path} <<'END'\n${base64}\nEND`);
  }

  /** A file's text. */
  async get(path: string): Promise<string> {
    return Buffer.from(await this.sh(`base64 <${path}`), "base64").toString("utf8");
  }

  /**
   * As sh, for a script that only looks, and is run anew when a signal ends its shell: User Mode Linux did that once in some
   * hundred thousand processes.
   */
  async look(script: string): Promise<string> {
    for (let tries = 1; tries < LOOKS; tries += 1) {
      const { code, stdout } = await this.run(script);
      if (code === 0) return stdout.trimEnd();
      if (typeof code === "number" || code === "deadline") break;
    }
    return await this.sh(script);
  }

  /** Starts a program that goes on; its output is in /run/<name>.log. */
  async start(
    name: string,
    program: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly pid: number; readonly ended: Promise<string> }> {
    const reply = await this.#ask({ op: "start", name, program, args, environment }, 20_000 * kind.slowness);
    if (reply.kind !== "started") throw new Error(`${this.name}: ${JSON.stringify(reply)}`);
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    this.#ends.set(reply.pid, resolve);
    return { pid: reply.pid, ended };
  }

  /** A unary RPC on a unix socket of the machine; messages are encoded. */
  async call(socket: string, path: string, body: Uint8Array, limitMs: number): Promise<Uint8Array> {
    const deadlineMs = limitMs * kind.slowness;
    const reply = await this.#ask(
      { op: "rpc", socket, path, body: Buffer.from(body).toString("base64"), deadlineMs },
      deadlineMs + 20_000 * kind.slowness,
    );
    if (reply.kind === "rpc-error") throw new RpcFailure(reply.code, reply.details);
    if (reply.kind !== "rpc") throw new Error(`${this.name}: ${JSON.stringify(reply)}`);
    return Buffer.from(reply.body, "base64");
  }

  /** A command of the QEMU Machine Protocol on a unix socket of the machine; what it returns. */
  async qmp(socket: string, command: string, args: object, limitMs: number): Promise<unknown> {
    const deadlineMs = limitMs * kind.slowness;
    const reply = await this.#ask(
      { op: "qmp", socket, command, arguments: args, deadlineMs },
      deadlineMs + 20_000 * kind.slowness,
    );
    if (reply.kind === "error") throw new Error(`${this.name}: ${reply.message}`);
    if (reply.kind !== "qmp") throw new Error(`${this.name}: ${JSON.stringify(reply)}`);
    return reply.value;
  }

  #hear(line: string, ready: () => void): void {
    let message: Reply | Notice;
    try {
      message = JSON.parse(line) as Reply | Notice;
    } catch {
      return;
    }
    if (message.kind === "ready") {
      ready();
      return;
    }
    if (message.kind === "ended") {
      // A program that crashes leaves nothing in its log.
      if (!["0", "SIGTERM", "SIGKILL"].includes(message.how))
        console.log(`lab: ${this.name}: process ${message.pid} ended: ${message.how}`);
      this.#ends.get(message.pid)?.(message.how);
      this.#ends.delete(message.pid);
      return;
    }
    this.#waiting.get(message.id)?.resolve(message);
    this.#waiting.delete(message.id);
  }

  async #ask(request: Unnumbered, deadlineMs: number): Promise<Reply> {
    if (this.#dead !== undefined) throw this.#dead;
    this.#last += 1;
    const id = this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.set(id, { resolve, reject });
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(
        new Error(
          `${this.name} did not answer within ${deadlineMs} ms: ${JSON.stringify(request).slice(0, 300)}`,
        ),
      );
    }, deadlineMs);
    const { line, done } = this.#envelope(id, JSON.stringify({ id, ...request }));
    this.#line.write(`${line}\n`);
    return await promise.finally(() => {
      clearTimeout(timer);
      done();
    });
  }

  /**
   * A UML kernel and the children that it traces are one process group. Only the kernel may be stopped: a stopped child would
   * report that to it, and it knows no such event.
   */
  #signal(signal: NodeJS.Signals, whom: "all" | "kernel" = "all"): void {
    if (this.#dead !== undefined || this.#child.pid === undefined) return;
    try {
      process.kill(whom === "all" ? -this.#child.pid : this.#child.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}
