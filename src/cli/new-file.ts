import { rm, writeFile } from "node:fs/promises";
import { ConfigError } from "../config/config-error.ts";
import { errorCode } from "../domain/error-code.ts";

/** Why a new file cannot be made, by the code of the operating system's error. */
export const NEW_FILE_PROBLEMS: Readonly<Record<string, string>> = {
  EEXIST: "which exists",
  ENOENT: "whose directory does not exist",
  ENOTDIR: "whose directory is a file",
  EACCES: "which this user may not write",
};

/** A file that a command claims before its work, and that is gone again if the work comes to nothing. */
export class NewFile {
  readonly path: string;
  #isFilled = false;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the file, empty. @param option names it in messages @throws ConfigError */
  static async claim(option: string, path: string): Promise<NewFile> {
    try {
      await writeFile(path, "", { flag: "wx" });
      return new NewFile(path);
    } catch (error) {
      const why = NEW_FILE_PROBLEMS[errorCode(error) ?? ""] ?? `which cannot be made: ${error}`;
      const remedy = "Name a new file in a directory that this user may write";
      throw new ConfigError(
        [{ where: option, problem: `names ${JSON.stringify(path)}, ${why}`, remedy }],
        "command line",
      );
    }
  }

  async fill(text: string): Promise<void> {
    await writeFile(this.path, text);
    this.#isFilled = true;
  }

  /** Removes the file, unless it was filled. */
  async end(): Promise<void> {
    if (!this.#isFilled) await rm(this.path, { force: true });
  }
}
