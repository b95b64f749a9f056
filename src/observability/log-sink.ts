import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";

/** Takes one finished line, without its newline. Never throws. */
export type LogSink = (line: string) => void;

/** How often a full pipe is tried again by a log, and the wait between two tries in milliseconds: about a second in all. */
const TRIES = 100;
const PAUSE_MS = 10;

/**
 * Writes lines to a file descriptor before it returns, so that no line is lost when the process ends or crashes. When
 * the reader of a pipe stays away for a second the rest of the line is dropped: a log never stops the driver.
 */
export function descriptorSink(descriptor: number): LogSink {
  return (line) => void writeAll(descriptor, `${line}\n`, TRIES);
}

/**
 * Writes all of a text before it returns; text in process.stdout may be lost at the end of the process.
 * @param tries how often a full pipe is tried again; default: until its reader takes the text
 * @returns the error that ended it
 */
export function writeAll(
  descriptor: number,
  text: string,
  tries = Number.POSITIVE_INFINITY,
): NodeJS.ErrnoException | undefined {
  let left = tries;
  for (let rest = Buffer.from(text, "utf8"); rest.byteLength > 0; ) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const failed = error as NodeJS.ErrnoException;
      left -= 1;
      if ((failed.code !== "EAGAIN" && failed.code !== "EINTR") || left <= 0) return failed;
      // Blocks the thread; there is no other way to wait inside a synchronous write.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
  return undefined;
}
