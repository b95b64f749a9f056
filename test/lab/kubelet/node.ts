import { join } from "node:path";
import type { Computer } from "../../cluster/computer.ts";
import { INSIDE } from "../../cluster/machine.ts";
import { type Ran, type RunOptions, until } from "../../cluster/run.ts";
import type { Machine } from "../machine.ts";

/** A machine of the lab as a computer of a cluster: its kernel is its own. */
export class LabNode implements Computer {
  readonly machine: Machine;
  readonly directory: string;
  readonly #programs = new Map<string, { readonly ended: Promise<string> }>();

  /** @param state directory of the cluster on the host */
  constructor(machine: Machine, state: string) {
    this.machine = machine;
    this.directory = join(state, machine.name);
  }

  get name(): string {
    return this.machine.name;
  }

  async run(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(program, args, options);
    if (code !== 0)
      throw new Error(`${this.name}: ${program} ${args.join(" ")} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }

  async attempt(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const { input, env = {}, timeoutMs = 60_000 } = options;
    if (input !== undefined) throw new Error("a machine of the lab takes no input");
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const words = ["env", ...variables, program, ...args].map(quoted);
    const { code, stdout, stderr } = await this.machine.run(words.join(" "), timeoutMs);
    return { code: typeof code === "number" ? code : 128, stdout, stderr };
  }

  /** Its output is in /run/<name>.log of the machine. */
  async daemon(name: string, [program = "", ...args]: readonly string[]): Promise<void> {
    const path = program.startsWith("/") ? program : `${INSIDE.bin}/${program}`;
    const environment = { PATH: `${INSIDE.bin}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: "/root" };
    this.#programs.set(name, await this.machine.start(name, path, args, environment));
  }

  async await(name: string, ask: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const tail = () => this.machine.sh(`tail -n 15 /run/${name}.log`);
    let ended: string | undefined;
    this.#programs.get(name)?.ended.then((how) => {
      ended = how;
    });
    const asked = () => ask().catch(() => false);
    await until(`${name} of ${this.name}`, async () => ended !== undefined || (await asked()), {
      timeoutMs,
      explain: tail,
    });
    if (ended !== undefined) throw new Error(`${name} of ${this.name} ended with ${ended}:\n${await tail()}`);
  }
}

/** A word of a shell's command. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
