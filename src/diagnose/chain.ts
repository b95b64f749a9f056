import { isRecordedNqn } from "./checks/volume-record.ts";
import type { DiagnoseConfig } from "./context.ts";
import { type Known, valueOr } from "./known.ts";
import { isLive } from "./probes/connections.ts";
import type { VolumeCase } from "./volume-case.ts";

export const LINKS = [
  "persistentVolume",
  "volumeAttachment",
  "record",
  "export",
  "nqn",
  "controller",
  "device",
  "staging",
  "pods",
] as const;
export type LinkName = (typeof LINKS)[number];

/** `none`: nothing is there, and nothing has to be. */
export type LinkState = "ok" | "broken" | "none" | "unknown" | "not-asked";

export interface Link {
  readonly link: LinkName;
  readonly state: LinkState;
  readonly detail: string;
}

/** A volume from the PersistentVolume to the pods, link by link. */
export interface Chain {
  readonly handle: string;
  readonly persistentVolume: string | undefined;
  readonly claim: string | undefined;
  readonly links: readonly Link[];
  /** The first broken link; undefined: none is. */
  readonly brokenAt: LinkName | undefined;
}

/** Compares a volume's chain link by link; each is held against those before it. */
export function chainOf(config: DiagnoseConfig, volume: VolumeCase): Chain {
  const links: readonly Link[] = [
    persistentVolume(volume),
    attachment(config, volume),
    record(config, volume),
    exported(config, volume),
    nqn(config, volume),
    controller(volume),
    device(volume),
    staging(volume),
    pods(volume),
  ];
  const pv = valueOr(volume.pv, undefined);
  return {
    handle: volume.handle,
    persistentVolume: pv?.name,
    claim: pv?.claim ?? valueOr(volume.disk, undefined)?.claim,
    links,
    brokenAt: links.find(({ state }) => state === "broken")?.link,
  };
}

const ok = (link: LinkName, detail: string): Link => ({ link, state: "ok", detail });
const broken = (link: LinkName, detail: string): Link => ({ link, state: "broken", detail });
const none = (link: LinkName, detail: string): Link => ({ link, state: "none", detail });

function ask<T>(link: LinkName, answer: Known<T>, judge: (value: T) => Link): Link {
  if (answer.state === "known") return judge(answer.value);
  return { link, state: answer.state, detail: answer.reason };
}

const isHere = ({ connections, mounts }: VolumeCase): boolean => connections.length > 0 || mounts.length > 0;

function persistentVolume(volume: VolumeCase): Link {
  return ask("persistentVolume", volume.pv, (pv) =>
    pv === undefined
      ? none("persistentVolume", "no PersistentVolume has this handle")
      : ok("persistentVolume", `${pv.name} (${pv.phase}${pv.claim === undefined ? "" : `, ${pv.claim}`})`),
  );
}

function attachment({ nodeId }: DiagnoseConfig, volume: VolumeCase): Link {
  return ask("volumeAttachment", volume.attachments, (all) => {
    const own = all.find(({ node }) => node === nodeId);
    if (own?.attached) return ok("volumeAttachment", own.name);
    if (own !== undefined)
      return broken("volumeAttachment", `${own.name}: ${own.error ?? "not attached yet"}`);
    const text = "there is none for this node";
    return isHere(volume) ? broken("volumeAttachment", text) : none("volumeAttachment", text);
  });
}

function record({ nodeId }: DiagnoseConfig, volume: VolumeCase): Link {
  return ask("record", volume.disk, (disk) => {
    if (disk === undefined) return broken("record", "the RDS has no disk of this slot");
    if (disk.foreign !== undefined) return broken("record", disk.foreign);
    const nodes = disk.attachments.map(({ node }) => node).join(", ") || "no node";
    if (disk.attachments.some(({ node }) => node === nodeId))
      return ok("record", `epoch ${disk.epoch}, ${nodes}`);
    const text = `it names ${nodes}`;
    return isHere(volume) ? broken("record", text) : none("record", text);
  });
}

function exported(config: DiagnoseConfig, { disk, connections }: VolumeCase): Link {
  return ask("export", disk, (found) => {
    const attached = found?.attachments.some(({ node }) => node === config.nodeId) === true;
    if (found === undefined || !attached) {
      return connections.length > 0
        ? broken("export", "not for this node")
        : none("export", "not for this node");
    }
    if (found.sizeBytes === undefined) return broken("export", "the disk has no block device");
    if (!found.exported) return broken("export", "nvme-tcp-export=no");
    if (!isRecordedNqn(config, found)) return broken("export", `under ${found.nqn}`);
    return ok("export", `port ${found.port ?? "unknown"}, ${found.sizeBytes} bytes`);
  });
}

/** Without a connection: there is none, or it could not be looked at. */
function notConnected(link: LinkName, { connectionsKnown }: VolumeCase, detail = "not connected"): Link {
  return connectionsKnown
    ? none(link, detail)
    : { link, state: "unknown", detail: "the connections could not be read" };
}

function nqn(config: DiagnoseConfig, volume: VolumeCase): Link {
  const { disk, attachments, connections } = volume;
  const told = valueOr(attachments, []).find(({ node }) => node === config.nodeId)?.nqn;
  const found = valueOr(disk, undefined);
  const wanted = found?.exported === true ? found.nqn : told;
  const [newest] = connections;
  if (newest === undefined)
    return notConnected("nqn", volume, wanted === undefined ? undefined : `${wanted} is not connected`);
  if (wanted === undefined)
    return { link: "nqn", state: "unknown", detail: `${newest.nqn}; nothing to compare` };
  return newest.nqn === wanted ? ok("nqn", wanted) : broken("nqn", `${newest.nqn} instead of ${wanted}`);
}

function controller(volume: VolumeCase): Link {
  const [newest] = volume.connections;
  if (newest === undefined) return notConnected("controller", volume);
  const names = newest.controllers.map(({ name }) => name).join(", ") || "none";
  const text = `${names}: ${newest.state}`;
  return isLive(newest) ? ok("controller", text) : broken("controller", text);
}

function device(volume: VolumeCase): Link {
  const { connections, disk } = volume;
  const [newest] = connections;
  if (newest === undefined) return notConnected("device", volume);
  const [first, ...more] = newest.devices;
  if (first === undefined) return broken("device", "no namespace");
  if (more.length > 0) return broken("device", newest.devices.map(({ path }) => path).join(", "));
  const size = valueOr(disk, undefined)?.sizeBytes;
  const text = `${first.path}, ${first.sizeBytes} bytes`;
  return size === undefined || size === first.sizeBytes
    ? ok("device", text)
    : broken("device", `${text} instead of ${size}`);
}

function staging(volume: VolumeCase): Link {
  return mounted("staging", volume, (mount) => mount.role === "staging");
}

function pods(volume: VolumeCase): Link {
  const own = mounted("pods", volume, (mount) => mount.role !== "staging");
  const names = valueOr(volume.pods, []).map(({ name }) => name);
  return own.state === "none" && names.length > 0
    ? broken("pods", `${names.join(", ")} use it; nothing is published`)
    : own;
}

function mounted(
  link: LinkName,
  { mounts, connections }: VolumeCase,
  choose: (mount: VolumeCase["mounts"][number]) => boolean,
): Link {
  const numbers = new Set(connections.flatMap(({ devices }) => devices.map(({ number }) => number)));
  const chosen = mounts.filter(choose);
  if (chosen.length === 0) return none(link, "no mount");
  const wrong = chosen.find(
    (mount) =>
      mount.dead || (!mount.deviceNode && !mount.device.startsWith("0:") && !numbers.has(mount.device)),
  );
  if (wrong !== undefined) {
    return broken(
      link,
      `${wrong.path}: ${wrong.dead ? "its device has vanished" : `mounted from ${wrong.source}`}`,
    );
  }
  return ok(link, chosen.map(({ path }) => path).join(", "));
}
