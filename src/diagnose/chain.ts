import { type Fact, ifKnown, type Unknown, valueOr } from "../inspect/fact.ts";
import { sentenceOf } from "../inspect/finding.ts";
import { isLive } from "./probes/connections.ts";
import { claimName, type VolumeCase } from "./volume-case.ts";

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
export function chainOf(volume: VolumeCase): Chain {
  const links: readonly Link[] = [
    persistentVolume(volume),
    attachment(volume),
    record(volume),
    exported(volume),
    nqn(volume),
    controller(volume),
    device(volume),
    staging(volume),
    pods(volume),
  ];
  return {
    handle: volume.handle,
    persistentVolume: ifKnown(volume.facts.cluster.pv)?.name,
    claim: claimName(volume),
    links,
    brokenAt: links.find(({ state }) => state === "broken")?.link,
  };
}

const ok = (link: LinkName, detail: string): Link => ({ link, state: "ok", detail });
const broken = (link: LinkName, detail: string): Link => ({ link, state: "broken", detail });
const none = (link: LinkName, detail: string): Link => ({ link, state: "none", detail });

/** The link of a fact. @param judge is given undefined when it is absent */
function ask<T>(link: LinkName, fact: Fact<T>, judge: (value: T | undefined) => Link): Link {
  return fact.state === "unknown" ? unanswered(link, fact) : judge(ifKnown(fact));
}

function unanswered(link: LinkName, { notAsked, reason }: Unknown): Link {
  return { link, state: notAsked ? "not-asked" : "unknown", detail: reason };
}

const isHere = ({ connections, mounts }: VolumeCase): boolean => connections.length > 0 || mounts.length > 0;

function persistentVolume({ facts }: VolumeCase): Link {
  return ask("persistentVolume", facts.cluster.pv, (pv) => {
    if (pv === undefined) return none("persistentVolume", "no PersistentVolume has this handle");
    const claim = pv.claim === undefined ? "" : `, ${pv.claim.namespace}/${pv.claim.name}`;
    return ok("persistentVolume", `${pv.name} (${pv.phase}${claim})`);
  });
}

function attachment(volume: VolumeCase): Link {
  return ask("volumeAttachment", volume.attachment, (own) => {
    if (own?.attached) return ok("volumeAttachment", own.name);
    if (own !== undefined) {
      const error = own.attachError ?? own.detachError;
      return broken("volumeAttachment", `${own.name}: ${error?.message ?? "not attached yet"}`);
    }
    const text = "there is none for this node";
    return isHere(volume) ? broken("volumeAttachment", text) : none("volumeAttachment", text);
  });
}

function record(volume: VolumeCase): Link {
  const { disk, record: fact, foreign } = volume.facts.rds;
  return ask("record", disk, (item) => {
    if (item === undefined) return broken("record", "the RDS has no disk of this slot");
    const found = ifKnown(fact);
    if (found === undefined) return broken("record", foreign ?? "it cannot be read");
    const nodes = found.attachments.map(({ node }) => node).join(", ") || "no node";
    if (volume.attached.state === "known") return ok("record", `epoch ${found.epoch}, ${nodes}`);
    return isHere(volume) ? broken("record", `it names ${nodes}`) : none("record", `it names ${nodes}`);
  });
}

function exported(volume: VolumeCase): Link {
  const { facts, attached, connections, findings } = volume;
  return ask("export", facts.rds.disk, (disk) => {
    if (disk === undefined || attached.state !== "known") {
      const text = "not for this node";
      return connections.length > 0 ? broken("export", text) : none("export", text);
    }
    if (disk.size === undefined) return broken("export", "the disk has no block device");
    const wrong = findings.find(({ id }) => EXPORT_FINDINGS.includes(id));
    if (wrong !== undefined) return broken("export", wrong.rds ?? sentenceOf(wrong));
    if (!disk.exported) return none("export", "an expansion switches it off and on");
    return ok("export", `port ${disk.port ?? "unknown"}, ${disk.size} bytes`);
  });
}

const EXPORT_FINDINGS: readonly string[] = [
  "not-exported",
  "re-export-interrupted",
  "export-nqn",
  "export-port",
  "allowed-hosts",
];

/** Without a connection: there is none, or it could not be looked at. */
function notConnected(link: LinkName, { connectionsKnown }: VolumeCase, detail = "not connected"): Link {
  return connectionsKnown
    ? none(link, detail)
    : { link, state: "unknown", detail: "the connections could not be read" };
}

function nqn(volume: VolumeCase): Link {
  const told = ifKnown(volume.attachment)?.metadata.nqn;
  const disk = ifKnown(volume.facts.rds.disk);
  const wanted = disk?.exported === true ? disk.nqn : told;
  const [newest] = volume.connections;
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
  const [newest] = volume.connections;
  if (newest === undefined) return notConnected("device", volume);
  const [first, ...more] = newest.devices;
  if (first === undefined) return broken("device", "no namespace");
  if (more.length > 0) return broken("device", newest.devices.map(({ path }) => path).join(", "));
  const size = ifKnown(volume.facts.rds.disk)?.size;
  const text = `${first.path}, ${first.sizeBytes} bytes`;
  return size === undefined || size === BigInt(first.sizeBytes)
    ? ok("device", text)
    : broken("device", `${text} instead of ${size}`);
}

function staging(volume: VolumeCase): Link {
  return mounted("staging", volume, (mount) => mount.role === "staging");
}

function pods(volume: VolumeCase): Link {
  const own = mounted("pods", volume, (mount) => mount.role !== "staging");
  const names = valueOr(volume.pods, []).map(({ namespace, name }) => `${namespace}/${name}`);
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
