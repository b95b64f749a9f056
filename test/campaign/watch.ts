import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import type { History } from "./history.ts";
import { NODES } from "./plan.ts";
import { delay, type Site } from "./site.ts";
import type { VolumeUser } from "./volume-user.ts";

const EVERY_MS = 60;

/** Live exports of the device: slots by NQN. */
export async function exportsOf(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const folder = join(directory, "rds", "exports");
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(".json")) continue;
    // It may have ended since.
    const text = await readFile(join(folder, name), "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const { nqn, slot } = JSON.parse(text) as { nqn: string; slot: string };
    found.set(nqn, slot);
  }
  return found;
}

interface Connection {
  readonly node: string;
  readonly nqn: string;
}

/** NQNs that each node has a device for, as the kernel names the backing files. */
async function connectionsOf(directory: string): Promise<Connection[]> {
  const found: Connection[] = [];
  for (const name of await readdir("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    const backing = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "");
    for (const node of NODES) {
      const root = join(directory, `${node}.state`, "/");
      if (backing.startsWith(root))
        found.push({
          node,
          nqn: backing
            .slice(root.length)
            .trim()
            .replace(/ \(deleted\)$/, ""),
        });
    }
  }
  return found;
}

const NONE = { detachedSince: undefined, most: 0, up: [] };

/** Nodes whose attachment was acknowledged, and which nobody detaches by force. */
const upOf = (user: VolumeUser): readonly string[] => user.up.filter((node) => !user.forced.has(node));

/** Nodes that the record on the device names. */
const recordedNodes = (comment: string): string[] => {
  const list = /(?:^|;)a=([^;]*)/.exec(comment)?.[1] ?? "";
  return list === "" ? [] : list.split("|").map((each) => each.split(",")[0] ?? "");
};

/**
 * Looks again and again who can write to each volume, until `ended` says so: by the exports of the device and the devices of the
 * nodes, and by the records on the device. A fact is added whenever the picture has changed.
 */
export async function watchWriters(
  users: readonly VolumeUser[],
  site: Site,
  history: History,
  ended: () => boolean,
): Promise<void> {
  const { directory, control } = site.stand;
  const last = new Map<string, string>();
  for (; !ended(); await delay(EVERY_MS)) {
    const before = users.map((user) => ({
      detachedSince: user.detachedSince,
      most: user.most,
      up: upOf(user),
    }));
    // Connections first: a node that is connected to an export that is there later can write.
    const connections = await connectionsOf(directory);
    const live = await exportsOf(directory);
    const state = await control.state().catch(() => undefined);
    for (const [index, user] of users.entries()) {
      const slot = volumeIdFromName(user.plan.name);
      const nqns = [...live].flatMap(([nqn, of]) => (of === slot ? [nqn] : []));
      const among = (list: readonly Connection[]) =>
        NODES.filter((node) => list.some((each) => each.node === node && nqns.includes(each.nqn)));
      const { detachedSince, most: mostBefore, up: upBefore } = before[index] ?? before[0] ?? NONE;
      const most = Math.max(mostBefore, user.most);
      let connected = among(connections);
      if (connected.length > most) {
        // One look takes a while: who is in two of them was there at one time.
        const again = among(await connectionsOf(directory));
        connected = connected.filter((node) => again.includes(node));
      }
      const disk = state?.disks.find((each) => each.slot === slot);
      const recorded = recordedNodes(disk?.comment ?? "");
      // The reply of a detach and this look must not overlap.
      const detached = user.detachedSince !== undefined && detachedSince === user.detachedSince;
      // A simulator that was away during this look has shown no record.
      const up = upOf(user).filter((node) => upBefore.includes(node));
      const unrecorded = state === undefined ? [] : up.filter((node) => !recorded.includes(node));
      const text = JSON.stringify([connected, recorded, detached, nqns, unrecorded]);
      if (text === last.get(slot)) continue;
      last.set(slot, text);
      history.add({
        fact: "writers",
        ...{ volume: user.plan.name, most, connected, recorded: recorded.length, unrecorded },
        ...{ detached, exported: nqns.length > 0 },
      });
    }
  }
}
