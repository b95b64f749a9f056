import { until } from "../../cluster/run.ts";
import type { Scope } from "../../cluster/scope.ts";

const PROGRESS = "/tmp/progress";
/** Records that count as progress. */
const SOME = 100;

/** The program guest/records.c in a pod of the image WRITER, on its block volume: writes numbered records by direct I/O without pause. */
export class PodWriter {
  readonly #scope: Scope;
  readonly #pod: string;
  readonly #first: number;

  private constructor(scope: Scope, pod: string, first: number) {
    this.#scope = scope;
    this.#pod = pod;
    this.#first = first;
  }

  /**
   * @param first number of its first record: one more than the last acknowledged one
   * @param tag tells writers apart when the device is verified
   */
  static async start(scope: Scope, pod: string, first: number, tag: number): Promise<PodWriter> {
    await scope.shell(
      pod,
      `rm -f ${PROGRESS}; setsid records write /dev/vol ${first} ${PROGRESS} ${tag} >/tmp/writer.log 2>&1 </dev/null &`,
    );
    return new PodWriter(scope, pod, first);
  }

  /** Number of the last acknowledged record; one less than the first before any was. */
  async acknowledged(): Promise<number> {
    const text = await this.#scope.shell(this.#pod, `cat ${PROGRESS} 2>/dev/null || true`);
    return text === "" ? this.#first - 1 : Number(text);
  }

  /** Waits until the device has acknowledged some more records. */
  async progress(): Promise<void> {
    const before = await this.acknowledged();
    await until("progress of the writer", async () => (await this.acknowledged()) >= before + SOME, {
      timeoutMs: 120_000,
    });
  }

  /** Ends after the running write. @returns the last acknowledged number */
  async stop(): Promise<number> {
    // Ended or dead: in some pods nobody takes its exit code.
    const ended = "until grep -qs '^State:.Z' /proc/$p/status || [ ! -e /proc/$p ]; do sleep 0.1; done";
    const problems = await this.#scope.shell(
      this.#pod,
      `p=$(pidof records); kill -TERM $p; ${ended}; cat /tmp/writer.log`,
    );
    if (problems !== "") throw new Error(`the writer in ${this.#pod} failed: ${problems}`);
    return await this.acknowledged();
  }
}

/** Checks every record on a pod's device up to the last acknowledged one; a problem is thrown, in the checker's words. */
export async function verifyInPod(scope: Scope, pod: string, last: number, tag?: number): Promise<void> {
  await scope.shell(pod, `records verify /dev/vol ${last} ${tag ?? ""}`);
}
