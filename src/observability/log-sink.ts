import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";

/** Takes one finished line, without its newline. Never throws. */
export type LogSink = (line: string) => void;

/** How often a full pipe is tried again, and the wait between two tries in milliseconds: about a second in all. */
const TRIES = 100;
const PAUSE_MS = 10;

/**
 * Writes lines to a file descriptor before it returns, so that no line is lost when the process ends or crashes. When
 * the reader of a pipe stays away for a second the rest of the line is dropped: a log never stops the driver.
 */
export function descriptorSink(descriptor: number): LogSink {
  return (line) => {
    let rest = Buffer.from(`${line}\n`, "utf8");
    for (let tries = 0; rest.byteLength > 0 && tries < TRIES; ) {
      try {
        rest = rest.subarray(writeSync(descriptor, rest));
      } catch (error) {
        if (!isBusy(error)) return;
        tries += 1;
        pause(PAUSE_MS);
      }
    }
  };
}

function isBusy(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EAGAIN" || code === "EINTR";
}

/** Blocks the thread; there is no other way to wait inside a synchronous write. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
