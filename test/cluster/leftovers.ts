import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";

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

/** Makes a control group in every hierarchy: kubelet expects the one that its pods' are to be below. */
export async function makeCgroups(name: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const directory = join(hierarchy, name);
    await mkdir(directory, { recursive: true });
    // Empty in a new group of version 1, and nothing can run in it then. Source: cpusets(7).
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (!existsSync(join(directory, file)) || hierarchy === "/sys/fs/cgroup") continue;
      await writeFile(join(directory, file), await readFile(join(hierarchy, file)));
    }
  }
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
  await rmdir(directory);
}
