import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";

/** Writes everything before it returns; what goes through process.stdout may be lost at the end of the process. */
export function writeAll(descriptor: number, text: string): void {
  let rest = Buffer.from(text, "utf8");
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") return; // the reader has seen enough, as with `| head`
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
