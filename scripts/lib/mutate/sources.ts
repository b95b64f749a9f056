import { join } from "node:path";
import type { SourceFile } from "typescript/unstable/ast";
import { API } from "typescript/unstable/async";

/**
 * The syntax trees of some files, made by the TypeScript compiler.
 * @param directory has the tsconfig.json that they belong to
 * @param files relative to it
 * @throws if a file is not part of the project
 */
export async function withSources<T>(
  directory: string,
  files: readonly string[],
  use: (file: string, source: SourceFile) => readonly T[],
): Promise<T[]> {
  const api = new API({ cwd: directory });
  try {
    const snapshot = await api.updateSnapshot({ openProject: join(directory, "tsconfig.json") });
    const project = snapshot.getProjects()[0];
    const found: T[] = [];
    for (const file of files) {
      const source = await project?.program.getSourceFile(join(directory, file));
      if (source === undefined) throw new Error(`${file} is not in ${directory}/tsconfig.json`);
      found.push(...use(file, source));
    }
    return found;
  } finally {
    await api.close();
  }
}
