import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run, until } from "./run.ts";

/**
 * Detaches the loop devices that a node's driver had attached. The number that the kernel gave to an attaching (`diskseq`) proves that
 * a device is still the one that the driver noted.
 * @param states directories of the nodes' drivers
 */
export async function detachLoops(states: readonly string[]): Promise<void> {
  for (const state of states) {
    for (const name of await readdir(state).catch(() => [])) {
      if (!name.endsWith(".device")) continue;
      const noted = JSON.parse(await readFile(join(state, name), "utf8")) as {
        name: string;
        sequence: string;
      };
      const directory = `/sys/block/${noted.name}`;
      const sequence = await readFile(`${directory}/diskseq`, "utf8").catch(() => "");
      if (sequence.trim() !== noted.sequence || !existsSync(`${directory}/loop/backing_file`)) continue;
      await run("losetup", ["--detach", `/dev/${noted.name}`]);
    }
  }
}

/** The hierarchies of control groups: many of version 1, or the one of version 2. */
async function hierarchies(): Promise<string[]> {
  const root = "/sys/fs/cgroup";
  if (existsSync(join(root, "cgroup.procs"))) return [root];
  return (await readdir(root))
    .map((each) => join(root, each))
    .filter((each) => existsSync(join(each, "cgroup.procs")));
}

/**
 * Makes a control group in every hierarchy.
 * @param name of the group, behind that of its parent and a slash
 * @returns its directories
 */
export async function makeCgroups(name: string): Promise<string[]> {
  const made: string[] = [];
  for (const hierarchy of await hierarchies()) {
    const directory = join(hierarchy, name);
    await mkdir(directory, { recursive: true });
    made.push(directory);
    for (const each of [dirname(directory), directory]) {
      // Empty in a new group of version 1, and nothing can run in it then. Source: cpusets(7).
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if (!existsSync(join(each, file)) || hierarchy === "/sys/fs/cgroup") continue;
        await writeFile(join(each, file), await readFile(join(hierarchy, file)));
      }
    }
  }
  return made;
}

/** Removes the control groups of one name from every hierarchy. They are empty once their processes have ended. */
export async function removeCgroups(name: string): Promise<void> {
  for (const hierarchy of await hierarchies()) await removeTree(join(hierarchy, name));
}

async function removeTree(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  // A process that has just been killed is in its group for a moment longer.
  await until(
    `the end of the control group ${directory}`,
    () =>
      rmdir(directory).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code !== "EBUSY" && Promise.reject(error),
      ),
    { timeoutMs: 20_000, explain: () => readFile(join(directory, "cgroup.procs"), "utf8") },
  );
}
