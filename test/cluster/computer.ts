import type { Ran, RunOptions } from "./run.ts";

/** A computer of a cluster: namespaces of this one (machine.ts), or a machine of the lab with a kernel of its own. */
export interface Computer {
  readonly name: string;
  /** Its own directory, as this computer sees it; it is INSIDE.machine there. */
  readonly directory: string;
  /** Runs a program there that has to succeed. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs a program there, whatever its exit code. */
  attempt(program: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts a program there that stays. A relative program is one of build.sh. */
  daemon(name: string, command: readonly string[]): Promise<void>;
  /** Waits until something answers; ends sooner if the program `name`, which it waits for, has ended. */
  await(name: string, ask: () => Promise<boolean>, timeoutMs?: number): Promise<void>;
}
