import { isLive } from "../host/data-path.ts";
import { type Fact, ifKnown, valueOr } from "../inspect/fact.ts";
import { sentenceOf } from "../inspect/finding.ts";
import type { ConnectionFacts } from "./probes/connections.ts";
import type { VolumeMount } from "./probes/mounts.ts";
import { claimName, type VolumeCase } from "./volume-case.ts";

/** `none`: nothing is there, and nothing has to be. */
export type LinkState = "ok" | "broken" | "none" | "unknown" | "not-asked";

/** What one link says. */
interface Judged {
  readonly state: LinkState;
  readonly detail: string;
}

export interface Link extends Judged {
  readonly link: LinkName;
}

/** A volume from the PersistentVolume to the pods, link by link. */
export interface Chain {
  readonly handle: string;
  readonly persistentVolume: string | undefined;
  readonly claim: string | undefined;
  /** The first broken link; undefined: none is. */
  readonly brokenAt: LinkName | undefined;
  readonly links: readonly Link[];
}

const ok = (detail: string): Judged => ({ state: "ok", detail });
const broken = (detail: string): Judged => ({ state: "broken", detail });
const none = (detail: string): Judged => ({ state: "none", detail });
const unknown = (detail: string): Judged => ({ state: "unknown", detail });

/** Broken where something of the volume is on this node, else nothing need be there. */
function lacking({ connections, mounts }: VolumeCase, detail: string): Judged {
  return connections.length > 0 || mounts.length > 0 ? broken(detail) : none(detail);
}

/** Judges a fact. @param judge is given undefined when it is absent */
function ask<T>(fact: Fact<T>, judge: (value: T | undefined) => Judged): Judged {
  if (fact.state !== "unknown") return judge(ifKnown(fact));
  return { state: fact.notAsked ? "not-asked" : "unknown", detail: fact.reason };
}

/** Judges the newest connection. Without one there is none, or it could not be looked at. */
function connected(
  { connections, connectionsKnown }: VolumeCase,
  judge: (newest: ConnectionFacts) => Judged,
  without = "not connected",
): Judged {
  const [newest] = connections;
  if (newest !== undefined) return judge(newest);
  return connectionsKnown ? none(without) : unknown("the connections could not be read");
}

const EXPORT_FINDINGS: readonly string[] = [
  "not-exported",
  "re-export-interrupted",
  "export-nqn",
  "export-port",
  "allowed-hosts",
];

/** The links, each held against those before it. */
const JUDGES = {
  persistentVolume: ({ facts }: VolumeCase) =>
    ask(facts.cluster.pv, (pv) => {
      if (pv === undefined) return none("no PersistentVolume has this handle");
      const claim = pv.claim === undefined ? "" : `, ${pv.claim.namespace}/${pv.claim.name}`;
      return ok(`${pv.name} (${pv.phase}${claim})`);
    }),

  volumeAttachment: (volume: VolumeCase) =>
    ask(volume.attachment, (own) => {
      if (own === undefined) return lacking(volume, "there is none for this node");
      const error = own.attachError ?? own.detachError;
      return own.attached ? ok(own.name) : broken(`${own.name}: ${error?.message ?? "not attached yet"}`);
    }),

  record: (volume: VolumeCase) => {
    const { disk, record, foreign } = volume.facts.rds;
    return ask(disk, (item) => {
      if (item === undefined) return broken("the RDS has no disk of this slot");
      const found = ifKnown(record);
      if (found === undefined) return broken(foreign ?? "it cannot be read");
      const nodes = found.attachments.map(({ node }) => node).join(", ") || "no node";
      return volume.attached.state === "known"
        ? ok(`epoch ${found.epoch}, ${nodes}`)
        : lacking(volume, `it names ${nodes}`);
    });
  },

  export: ({ facts, attached, connections, findings }: VolumeCase) =>
    ask(facts.rds.disk, (disk) => {
      if (disk === undefined || attached.state !== "known")
        return connections.length > 0 ? broken("not for this node") : none("not for this node");
      if (disk.size === undefined) return broken("the disk has no block device");
      const wrong = findings.find(({ id }) => EXPORT_FINDINGS.includes(id));
      if (wrong !== undefined) return broken(wrong.rds ?? sentenceOf(wrong));
      if (!disk.exported) return none("an expansion switches it off and on");
      return ok(`port ${disk.port ?? "unknown"}, ${disk.size} bytes`);
    }),

  nqn: (volume: VolumeCase) => {
    const disk = ifKnown(volume.facts.rds.disk);
    const wanted = disk?.exported === true ? disk.nqn : ifKnown(volume.attachment)?.metadata.nqn;
    return connected(
      volume,
      ({ nqn }) => {
        if (wanted === undefined) return unknown(`${nqn}; nothing to compare`);
        return nqn === wanted ? ok(wanted) : broken(`${nqn} instead of ${wanted}`);
      },
      wanted === undefined ? undefined : `${wanted} is not connected`,
    );
  },

  controller: (volume: VolumeCase) =>
    connected(volume, (newest) => {
      const names = newest.controllers.map(({ name }) => name).join(", ") || "none";
      const text = `${names}: ${newest.state}`;
      return isLive(newest) ? ok(text) : broken(text);
    }),

  device: (volume: VolumeCase) =>
    connected(volume, ({ devices: [first, ...more] }) => {
      if (first === undefined) return broken("no namespace");
      if (more.length > 0) return broken([first, ...more].map(({ path }) => path).join(", "));
      const size = ifKnown(volume.facts.rds.disk)?.size;
      const text = `${first.path}, ${first.sizeBytes} bytes`;
      return size === undefined || size === BigInt(first.sizeBytes)
        ? ok(text)
        : broken(`${text} instead of ${size}`);
    }),

  staging: (volume: VolumeCase) => mounted(volume, ({ role }) => role === "staging"),

  pods: (volume: VolumeCase) => {
    const own = mounted(volume, ({ role }) => role !== "staging");
    const names = valueOr(volume.pods, []).map(({ namespace, name }) => `${namespace}/${name}`);
    const waits = own.state === "none" && names.length > 0;
    return waits ? broken(`${names.join(", ")} use it; nothing is published`) : own;
  },
};

function mounted({ mounts, connections }: VolumeCase, choose: (mount: VolumeMount) => boolean): Judged {
  const numbers = new Set(connections.flatMap(({ devices }) => devices.map(({ number }) => number)));
  const chosen = mounts.filter(choose);
  if (chosen.length === 0) return none("no mount");
  const wrong = chosen.find(
    ({ dead, deviceNode, device }) =>
      dead || (!deviceNode && !device.startsWith("0:") && !numbers.has(device)),
  );
  if (wrong === undefined) return ok(chosen.map(({ path }) => path).join(", "));
  return broken(`${wrong.path}: ${wrong.dead ? "its device has vanished" : `mounted from ${wrong.source}`}`);
}

export type LinkName = keyof typeof JUDGES;
export const LINKS = Object.keys(JUDGES) as readonly LinkName[];

/** Compares a volume's chain link by link. */
export function chainOf(volume: VolumeCase): Chain {
  const links = LINKS.map((link): Link => ({ link, ...JUDGES[link](volume) }));
  return {
    handle: volume.handle,
    persistentVolume: ifKnown(volume.facts.cluster.pv)?.name,
    claim: claimName(volume),
    brokenAt: links.find(({ state }) => state === "broken")?.link,
    links,
  };
}
