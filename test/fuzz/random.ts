import { Buffer } from "node:buffer";
import process from "node:process";

/** How long one fuzzing test runs, seconds; RDS_CSI_FUZZ_SECONDS sets another. */
export const FUZZ_SECONDS = Number(process.env.RDS_CSI_FUZZ_SECONDS ?? 4);

/** The same for tests of code in this process, which tries more in a second. */
export const SHORT_SECONDS = Number(process.env.RDS_CSI_FUZZ_SECONDS ?? 1.5);

/** The seed of a run; RDS_CSI_TEST_SEED sets another. */
export const FUZZ_SEED = Number(process.env.RDS_CSI_TEST_SEED ?? 20_261_122);

/** Texts that mean something to a terminal, a shell, RouterOS, a path, a parser or a reader. */
const TEXTS = [
  "",
  "a",
  "\u0000",
  "\u001b[2J\u001b]0;title\u0007",
  "\u009b31m",
  "\u202eevil\u2066",
  "line\u2028separator\u2029",
  "first\r\nsecond\tthird",
  "\u007f\u0008\u0085",
  "\u{e0041}\u200b\ufeff",
  "🚲".repeat(30),
  '"; /system/reset-configuration; :put "',
  "$(reboot) `reboot` $[/system/reboot]",
  "../../../etc/passwd",
  "%1B%00%FF",
  "~ok:0000~ ~err:0000~",
  "__proto__",
  "constructor",
  "999999999999999999999999",
  "-1",
  "NaN",
  "x".repeat(129),
  "x".repeat(5_000),
] as const;

/** Pseudo-random choices that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `below - 1`. */
  int(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.int(256)));
  }

  text(): string {
    const text = this.pick(TEXTS);
    return this.chance(0.3) ? text + this.pick(TEXTS) : text;
  }

  /** Bytes with some of them changed, taken out, put in, repeated or cut off. */
  mutated(bytes: Buffer, most = 6): Buffer {
    let result = bytes;
    for (let count = 1 + this.int(most); count > 0; count -= 1) {
      const at = this.int(result.length + 1);
      const [head, tail] = [result.subarray(0, at), result.subarray(at)];
      switch (this.int(6)) {
        case 0:
          result = Buffer.concat([head, this.bytes(1), tail.subarray(1)]);
          break;
        case 1:
          result = Buffer.concat([head, tail.subarray(1 + this.int(8))]);
          break;
        case 2:
          result = Buffer.concat([head, Buffer.from(this.text()), tail]);
          break;
        case 3:
          result = Buffer.concat([head, tail.subarray(0, this.int(64)), tail]);
          break;
        case 4:
          result = Buffer.concat([head, this.bytes(this.int(16)), tail]);
          break;
        default:
          result = this.chance(0.3) ? Buffer.from(head) : result;
      }
    }
    return result;
  }
}
