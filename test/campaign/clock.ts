import { rmSync } from "node:fs";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The library of libfaketime for programs with threads, as Debian installs it; undefined if it is not installed. */
export async function fakeTime(): Promise<string | undefined> {
  for (const folder of await readdir("/usr/lib")) {
    const directory = join("/usr/lib", folder, "faketime");
    const names: string[] = await readdir(directory).catch(() => []);
    if (names.includes("libfaketimeMT.so.1")) return join(directory, "libfaketimeMT.so.1");
  }
  return undefined;
}

/** What the library makes for a process. */
export const shared = (pid: number): readonly string[] => [
  `/dev/shm/faketime_shm_${pid}`,
  `/dev/shm/sem.faketime_sem_${pid}`,
];

/** Wall clocks of processes, which jump. Monotonic clocks stay true, as on a machine whose time is set. */
export class Clocks {
  /** What to start instead of the executable. */
  readonly executable: string;
  readonly #directory: string | undefined;

  private constructor(executable: string, directory: string | undefined) {
    this.executable = executable;
    this.#directory = directory;
  }

  /** @param directory is made; holds the offset of each process in a file of its name */
  static async install(executable: string, directory: string): Promise<Clocks> {
    const library = await fakeTime();
    if (library === undefined) return new Clocks(executable, undefined);
    await mkdir(directory);
    const wrapper = join(directory, "rds-csi");
    // The name of a process is that of its socket; the library looks into the file once a second.
    await writeFile(
      wrapper,
      `#!/bin/sh
name=simulator before=
for arg in "$@"; do
  case "$before" in --endpoint) name=\${arg##*/} name=\${name%.sock} ;; esac
  before=$arg
done
file=${directory}/$name.clock
[ -f "$file" ] || echo +0 >"$file"
export LD_PRELOAD=${library} FAKETIME_TIMESTAMP_FILE=$file FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1
exec ${executable} "$@"
`,
    );
    await chmod(wrapper, 0o755);
    return new Clocks(wrapper, directory);
  }

  /** Sets the wall clock of a process, seconds from the true one. @throws Error without libfaketime */
  async set(process: string, seconds: number): Promise<void> {
    if (this.#directory === undefined) throw new Error("libfaketime is not installed");
    const name = process === "controller-0" ? "controller" : process;
    await writeFile(join(this.#directory, `${name}.clock`), `${seconds >= 0 ? "+" : ""}${seconds}\n`);
  }

  /** Removes what the library has in /dev/shm for a process that has ended: one that is killed leaves it there. */
  forget(pid: number): void {
    if (!this.usable) return;
    for (const path of shared(pid)) rmSync(path, { force: true });
  }

  get usable(): boolean {
    return this.#directory !== undefined;
  }
}
