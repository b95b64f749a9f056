import type { Attachment, VolumeRecord } from "../../domain/record/volume-record.ts";
import { shortSize } from "../../domain/size.ts";
import type { Aspect } from "../../inspect/entry.ts";
import { absent, type Fact, ifKnown } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { exactSize } from "../../inspect/finding.ts";
import { isOverdue } from "../../migration/deadline.ts";
import { copyProgress } from "../../rds/copy.ts";
import { fileLayoutOf } from "../../rds/layout.ts";
import { unknownSides } from "./listed.ts";
import type { UnknownSide } from "./model.ts";
import { shortAge, shortDuration } from "./text.ts";

/** A line of `volumes show`: one aspect, what each side says, as paragraphs. */
export interface ShownLine {
  readonly about: Aspect | "created" | "machine" | "source" | "copy" | "snapshots";
  readonly rds: readonly string[];
  readonly kubernetes: readonly string[];
}

const size = (bytes: bigint | undefined): string => (bytes === undefined ? "no size" : exactSize(bytes));

/** A fact as paragraphs. */
function cell<T>(fact: Fact<T>, say: (value: T) => readonly string[], none = "none"): readonly string[] {
  if (fact.state === "unknown") return ["unknown"];
  if (fact.state === "absent") return [none];
  const said = say(fact.value).filter((text) => text !== "");
  return said.length === 0 ? [none] : said;
}

/** Everything that is known, aspect by aspect. */
export function shownLines(facts: VolumeFacts): ShownLine[] {
  const { rds, cluster, now } = facts;
  const age = (seconds: number): string => shortAge(now / 1_000 - seconds);
  const told = (key: string) =>
    cell(cluster.attachments, (all) => [...new Set(all.flatMap(({ metadata }) => metadata[key] ?? []))], "-");
  const bound = ifKnown(cluster.pv)?.claim;
  const { source, copy, conversion } = ifKnown(rds.record) ?? {};
  return [
    {
      about: "name",
      rds:
        rds.foreign === undefined
          ? cell(rds.record, ({ name }) => [name])
          : [`${rds.record.state === "absent" ? "not ours" : "its record cannot be used"}: ${rds.foreign}`],
      kubernetes: cell(
        cluster.pv,
        (pv) => [
          `PersistentVolume ${pv.name}`,
          `${pv.phase}${pv.deleting ? ", being deleted" : ""}, policy ${pv.reclaimPolicy}`,
          ...cluster.otherPvs.map((name) => `also PersistentVolume ${name}`),
        ],
        "no PersistentVolume",
      ),
    },
    {
      about: "claim",
      rds: cell(rds.record, ({ claim }) => (claim === undefined ? [] : [`${claim.namespace}/${claim.name}`])),
      kubernetes: cell(
        cluster.claim,
        ({ namespace, name, phase, deleting }) => [
          `${namespace}/${name}`,
          `${phase}${deleting ? ", being deleted" : ""}`,
        ],
        bound === undefined ? "none" : `${bound.namespace}/${bound.name} does not exist`,
      ),
    },
    {
      about: "size",
      rds: cell(rds.disk, (disk) => [size(disk.size)]),
      kubernetes: [
        ...cell(cluster.pv, ({ capacityBytes }) => [size(capacityBytes)]),
        ...cell(
          cluster.claim,
          ({ requestedBytes, capacityBytes }) =>
            requestedBytes === undefined || requestedBytes === capacityBytes
              ? []
              : [`claim asks for ${size(requestedBytes)}`],
          "",
        ).filter((text) => text.startsWith("claim")),
      ],
    },
    {
      about: "file",
      rds: cell(
        rds.file,
        ({ path, sizeBytes }) => {
          const layout = fileLayoutOf(path, facts.handle);
          return [
            path,
            sizeBytes === undefined ? "" : size(sizeBytes),
            layout === undefined ? "" : `layout ${layout}`,
          ];
        },
        "not there",
      ),
      kubernetes: ["-"],
    },
    {
      about: "pool",
      rds: cell(
        withoutItem(facts) ? absent : rds.pool,
        ({ slot, fs, sizeBytes, freeBytes }) => [
          `${slot}${fs === "" ? "" : ` (${fs})`}`,
          freeBytes === undefined || sizeBytes === undefined
            ? ""
            : `${(freeBytes * 100n) / (sizeBytes === 0n ? 1n : sizeBytes)} % free`,
        ],
        withoutItem(facts) ? "-" : "not mounted",
      ),
      kubernetes: cell(cluster.storageClass, ({ name }) => [`StorageClass ${name}`], "no StorageClass"),
    },
    ...(rds.snapshots === undefined
      ? []
      : [
          {
            about: "snapshots" as const,
            rds: cell(rds.snapshots, ({ count, bytesAtMost }) =>
              count === 0 ? [] : [`${count}, at most ${shortSize(bytesAtMost, "up")}`],
            ),
            kubernetes: ["-"],
          },
        ]),
    {
      about: "mode",
      rds: cell(rds.record, (record) => modes(record), "-"),
      kubernetes: cell(cluster.pv, ({ accessModes, volumeMode }) => [
        `${accessModes.join(", ")}, ${volumeMode}`,
      ]),
    },
    {
      about: "export",
      rds: cell(rds.disk, ({ exported, port }) => [exported ? `on, port ${port ?? "none"}` : "off"]),
      kubernetes: told("port").map((text) => (/^\d+$/.test(text) ? `nodes were told port ${text}` : text)),
    },
    { about: "nqn", rds: cell(rds.disk, ({ nqn }) => [nqn]), kubernetes: told("nqn") },
    {
      about: "hosts",
      rds: cell(rds.disk, ({ allowHost }) => [allowHost === "" ? "any that knows the NQN" : allowHost]),
      kubernetes: told("hostNqn"),
    },
    ...nodeLines(facts, age),
    {
      about: "pods",
      rds: ["-"],
      kubernetes: cell(cluster.pods, (pods) =>
        pods.map(
          ({ namespace, name, node, phase, terminating }) =>
            `${namespace}/${name} ${terminating ? "Terminating" : phase} on ${node ?? "no node yet"}`,
        ),
      ),
    },
    {
      about: "machine",
      rds: ["-"],
      kubernetes: cell(cluster.machines, (machines) =>
        machines.map(
          ({ machine }) =>
            `${machine.namespace}/${machine.name} ${machine.phase} on ${machine.node ?? "no node yet"}`,
        ),
      ),
    },
    {
      about: "migration",
      rds: cell(rds.record, ({ migration }) => {
        if (migration === undefined) return [];
        const allowed = migration.timeoutSeconds === 0 ? "no limit" : shortDuration(migration.timeoutSeconds);
        const late = isOverdue(migration, now / 1_000) ? "OVERDUE " : "";
        return [`${late}${shortDuration(now / 1_000 - migration.since)} of ${allowed}`];
      }),
      kubernetes: cell(cluster.machines, (machines) =>
        machines.flatMap(({ migrations }) =>
          migrations.slice(-1).map(({ name, phase }) => `${name} ${phase}`),
        ),
      ),
    },
    ...(source === undefined ? [] : [{ about: "source" as const, rds: [source], kubernetes: ["-"] }]),
    ...(copy === undefined
      ? []
      : [{ about: "copy" as const, rds: [`unfinished, ${copyProgress(copy)}`], kubernetes: ["-"] }]),
    ...(conversion === undefined
      ? []
      : [{ about: "copy" as const, rds: [`moves into a subvolume: ${conversion}`], kubernetes: ["-"] }]),
    {
      about: "created",
      rds: cell(rds.record, ({ createdAt }) => (createdAt > 0 ? [`${age(createdAt)} ago`] : [])),
      kubernetes: ["-"],
    },
  ];
}

function modes({ attachments, filesystem }: VolumeRecord): string[] {
  const of = ({ accessMode, accessType, readonly }: Attachment): string =>
    `${accessMode}, ${accessType === "block" ? "Block" : "Filesystem"}${readonly ? ", read-only" : ""}`;
  const all = [...new Set(attachments.map(of))];
  return all.length > 0 ? all : [filesystem === undefined ? "" : `${filesystem} filesystem`];
}

/** One line for each node that either side names. */
function nodeLines({ rds, cluster }: VolumeFacts, age: (seconds: number) => string): ShownLine[] {
  const recorded = ifKnown(rds.record)?.attachments ?? [];
  const vas = ifKnown(cluster.attachments) ?? [];
  const nodes = [...new Set([...recorded, ...vas].map(({ node }) => node))];
  const line = (node: string | undefined): ShownLine => ({
    about: "nodes",
    rds: cell(rds.record, () => {
      if (node === undefined) return [];
      const held = recorded.find((each) => each.node === node);
      return [held === undefined ? `${node}: not attached` : `${node}: attached ${age(held.since)} ago`];
    }),
    kubernetes: cell(cluster.attachments, () => {
      if (node === undefined) return [];
      const va = vas.find((each) => each.node === node);
      if (va === undefined) return [`${node}: no VolumeAttachment`];
      const state = va.deleting ? "detaching" : va.attached ? "attached" : "attaching";
      return [`${node}: ${state}`];
    }),
  });
  return nodes.length > 0 ? nodes.map(line) : [line(undefined)];
}

/** Whether the RDS has no disk item, which would name the pool. */
const withoutItem = ({ rds }: VolumeFacts): boolean => rds.disk.state === "absent";

/** The facts that are unknown: each reason once. */
export function unknowns(facts: VolumeFacts): UnknownSide[] {
  const { rds, cluster } = facts;
  return unknownSides([
    ["RDS", "disk", rds.disk],
    ["RDS", "record", rds.record],
    ["RDS", "file", rds.file],
    ["RDS", "pool", withoutItem(facts) ? absent : rds.pool],
    ...(rds.snapshots === undefined ? [] : [["RDS", "snapshots", rds.snapshots] as const]),
    ["Kubernetes", "PersistentVolume", cluster.pv],
    ["Kubernetes", "claim", cluster.claim],
    ["Kubernetes", "StorageClass", cluster.storageClass],
    ["Kubernetes", "VolumeAttachments", cluster.attachments],
    ["Kubernetes", "pods", cluster.pods],
    ["Kubernetes", "machines", cluster.machines],
    ["Kubernetes", "nodes", cluster.nodes],
    ["Kubernetes", "events", cluster.events],
  ]);
}
