import type { Running } from "../support/processes.ts";

/** How the campaign ends a process. */
export type Asked = "kill" | "term";

/**
 * The fault of a process that has ended.
 * @param how exit code or signal
 * @param asked undefined if nobody asked it to end
 * @returns undefined if it ended as it was asked to
 */
export function wrongEnd(name: string, how: string, asked: Asked | undefined): string | undefined {
  if (asked === "kill" && how === "SIGKILL") return undefined;
  if (asked === "term" && how === "0") return undefined;
  if (asked === "term" && how === "SIGKILL") return `${name} did not end within 10 s after SIGTERM`;
  return `process ended by itself: ${name}, ${how}${asked === "term" ? " (after SIGTERM)" : ""}`;
}

/** Watches processes, and tells of each end that nobody asked for. */
export class Ends {
  readonly #asked = new Map<Running, Asked>();
  readonly #wrong: (what: string) => void;

  constructor(wrong: (what: string) => void) {
    this.#wrong = wrong;
  }

  watch(name: string, running: Running): Running {
    void running.wait().then((how) => {
      const wrong = wrongEnd(name, how, this.#asked.get(running));
      if (wrong !== undefined) this.#wrong(wrong);
    });
    return running;
  }

  /** Ends a process and waits for its end; by SIGKILL 10 s after a SIGTERM. */
  async end(running: Running, how: Asked): Promise<void> {
    // The reason of an earlier end stays unasked for.
    if (running.ended() === undefined) this.#asked.set(running, how);
    if (how === "kill") await running.kill();
    else await running.stop();
  }
}
