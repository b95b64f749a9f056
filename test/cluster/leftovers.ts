import { existsSync } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
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

/** Removes the control groups of one name from every hierarchy. They are empty once their processes have ended. */
export async function removeCgroups(name: string): Promise<void> {
  const root = "/sys/fs/cgroup";
  const hierarchies = [root, ...(await readdir(root)).map((each) => join(root, each))];
  for (const hierarchy of hierarchies) await removeTree(join(hierarchy, name));
}

async function removeTree(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  await rmdir(directory);
}
