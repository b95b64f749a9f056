import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { executable, repository } from "../support/executable.ts";
import type { Bench } from "./measure.ts";

/** Bytes of the executable, and of the image where it was made of this executable by `scripts/image`. */
export async function sizesNow(): Promise<{ executable: number; image?: number }> {
  const { size } = await stat(executable);
  const text = await readFile(join(repository, "dist/image.json"), "utf8").catch(() => "[]");
  const reports = JSON.parse(text) as { bytes: number; executableBytes: number }[];
  const image = reports.find(({ executableBytes }) => executableBytes === size)?.bytes;
  return { executable: size, ...(image === undefined ? {} : { image }) };
}

/** Sizes of what is shipped. */
export async function sizes(bench: Bench): Promise<void> {
  const found = await sizesNow();
  bench.add({ name: "the executable", value: found.executable / 1e6, unit: "MB" });
  if (found.image === undefined)
    bench.say("the image is left out: scripts/image has not made it of this executable");
  else bench.add({ name: "the image, unpacked", value: found.image / 1e6, unit: "MB" });
}
