import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { fileOf } from "../support/file-layouts.ts";
import { loopsBelow, mountsBelow } from "../support/leftovers.ts";
import { capture } from "../support/processes.ts";
import type { Caller } from "./calls.ts";
import { type Descriptors, tooMany } from "./descriptors.ts";
import type { History } from "./history.ts";
import { NODES } from "./plan.ts";
import { delay, type Site } from "./site.ts";
import type { VolumeUser } from "./volume-user.ts";
import { exportsOf } from "./watch.ts";

/** Time after the faults within which everything works again, milliseconds. */
export const HEALTHY_WITHIN_MS = 90_000;

/** Whether an ext4 that is unmounted everywhere is whole. */
async function checkFilesystem(user: VolumeUser): Promise<void> {
  if (user.plan.kind !== "filesystem") return;
  const { stand } = user.site;
  const image = join(stand.directory, "rds/files", fileOf(volumeIdFromName(user.plan.name), "subvolume"));
  const { code, stdout, stderr } = await capture("e2fsck", ["-f", "-n", image]);
  if (code === 0) return;
  user.history.add({
    fact: "damaged",
    volume: user.plan.name,
    report: `${stdout} ${stderr}`.replace(/\s+/g, " "),
  });
}

/**
 * Brings one volume to its end: reads every acknowledged record where it is, takes it down everywhere, reads all again on a fresh
 * attachment, and deletes it. @returns the step that does not succeed
 */
async function finish(user: VolumeUser): Promise<string | undefined> {
  const { name } = user.plan;
  for (const node of user.up) {
    if (!(await user.publishAgain(node))) return `${name} cannot be published to ${node} again`;
    const { nqn = "" } = user.progress(node).context;
    if (!(await exportsOf(user.site.stand.directory)).has(nqn))
      return `${name} is published to ${node} and not exported`;
  }
  await user.writer.read();
  await user.writer.stop();
  for (const node of user.touched) {
    if (!(await user.takeDown(node))) return `${name} cannot be taken from ${node}`;
  }
  if (user.volumeId === undefined && !user.maybeThere && !(await user.create()))
    return `${name} cannot be created`;
  if (user.volumeId !== undefined) {
    const node = NODES[user.plan.mib % NODES.length] ?? NODES[0];
    if (!(await user.bringUp(node))) return `${name} cannot be attached to ${node}`;
    await user.writer.start(node, user.target(node));
    await user.writer.stop();
    if (!(await user.takeDown(node))) return `${name} cannot be taken from ${node}`;
    await checkFilesystem(user);
  }
  for (const node of user.forced) {
    if (!(await user.cleanForced(node)))
      return `${name}, which was detached by force, cannot be cleared on ${node}`;
  }
  if (user.volumeId === undefined && user.maybeThere) user.volumeId = volumeIdFromName(name);
  if (!(await user.remove())) return `${name} cannot be deleted`;
  return undefined;
}

/** After the faults: everything works again within the limit, and is then taken down and deleted. */
export async function settle(
  users: readonly VolumeUser[],
  caller: Caller,
  history: History,
  withinMs = HEALTHY_WITHIN_MS,
): Promise<void> {
  const from = performance.now();
  caller.giveUpAt = from + withinMs;
  const problems = await Promise.all(users.map(finish));
  const not = problems.filter((problem) => problem !== undefined).join("; ");
  history.add({
    fact: "healthy",
    ...{ tookMs: performance.now() - from, withinMs },
    ...(not === "" ? {} : { not }),
  });
}

/** What is left of all volumes, on the device and on the nodes. */
async function leftovers(site: Site, baseline: ReadonlyMap<string, Descriptors>): Promise<string[]> {
  const { directory, control } = site.stand;
  const found: string[] = [];
  const { disks, files } = await control.state();
  for (const { slot } of disks) if (slot.startsWith("csi-")) found.push(`disk item ${slot}`);
  for (const file of files)
    if (!file.directory && /\/csi-\w+/.test(file.path)) found.push(`file ${file.path}`);
  for (const name of await readdir(join(directory, "rds", "exports"))) found.push(`export ${name}`);
  found.push(...(await mountsBelow(directory)).map((path) => `mount ${path}`));
  found.push(...(await loopsBelow(directory)).map((device) => `loop device ${device}`));
  for (const node of NODES) {
    for (const name of await readdir(join(directory, `${node}.state`)))
      found.push(`${node}: state file ${name}`);
  }
  const { running } = await control.stats();
  if (running > 0) found.push(`${running} commands that still run on the device`);
  for (const service of site.services) {
    for (const child of await site.children(service)) found.push(`${service}: program ${child}`);
    const more = tooMany(baseline.get(service) ?? new Map(), await site.descriptors(service));
    found.push(...more.map((each) => `${service}: ${each}`));
  }
  return found;
}

/** Names of errors that no code throws on purpose. */
const DEFECTS = /internal error|\b(Type|Reference|Range|Syntax)Error\b|[Uu]nhandled|panic|assertion/;

/** Adds a fact for each line of a log that speaks of a defect. */
export async function checkLogs(site: Site, history: History): Promise<void> {
  const { directory } = site.stand;
  for (const name of await readdir(directory)) {
    if (!name.endsWith(".log")) continue;
    for (const line of (await readFile(join(directory, name), "utf8")).split("\n")) {
      if (DEFECTS.test(line)) history.add({ fact: "log", process: name, line: line.slice(0, 500) });
    }
  }
}

/** Adds a fact for each thing that is left, once it has not gone within some seconds. */
export async function checkLeftovers(
  site: Site,
  history: History,
  baseline: ReadonlyMap<string, Descriptors>,
): Promise<void> {
  let left = await leftovers(site, baseline);
  for (const end = performance.now() + 10_000; left.length > 0 && performance.now() < end; ) {
    await delay(200);
    left = await leftovers(site, baseline);
  }
  for (const what of left) history.add({ fact: "left", what });
}
