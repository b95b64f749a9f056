import { open, rename } from "node:fs/promises";
import process from "node:process";

let sequence = 0;

/** Writes a file so that a reader sees the old content or the new, never a part: temporary file, then rename. */
export async function writeAtomically(file: string, text: string): Promise<void> {
  sequence += 1;
  const temporary = `${file}.${process.pid}.${sequence}.tmp`;
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
