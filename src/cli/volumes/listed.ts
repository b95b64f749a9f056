import { compareVolume, stateOf } from "../../inspect/compare.ts";
import { type Fact, ifKnown, isUnanswered } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { isProblem } from "../../inspect/finding.ts";
import { handlesOf, volumeFacts, type World } from "../../inspect/world.ts";
import { isOverdue } from "../../migration/deadline.ts";
import { fileLayoutOf } from "../../rds/layout.ts";
import type { ListedVolume, UnknownSide } from "./model.ts";
import { isoTime } from "./text.ts";

/** Every volume that the RDS has or a PersistentVolume names, by handle. */
export function listedVolumes(world: World): ListedVolume[] {
  return handlesOf(world).map((handle) => listedVolume(volumeFacts(world, handle)));
}

function listedVolume(facts: VolumeFacts): ListedVolume {
  const { handle, rds, cluster, now } = facts;
  const findings = compareVolume(facts);
  const disk = ifKnown(rds.disk);
  const record = ifKnown(rds.record);
  const claim = ifKnown(cluster.pv)?.claim ?? record?.claim;
  const { migration, attachments = [] } = record ?? {};
  return {
    handle,
    csiName: record?.name ?? "",
    state: stateOf(facts, findings),
    sizeBytes: disk?.size ?? 0n,
    pvc: claim && { namespace: claim.namespace, name: claim.name },
    nodes: attachments.map(({ node, since, accessMode, readonly }) => {
      return { node, since: isoTime(since), accessMode, readonly };
    }),
    migration: migration && {
      since: isoTime(migration.since),
      timeoutSeconds: migration.timeoutSeconds,
      overdue: isOverdue(migration, now / 1000),
    },
    createdAt: record !== undefined && record.createdAt > 0 ? isoTime(record.createdAt) : undefined,
    nqn: disk?.nqn ?? "",
    exported: disk?.exported ?? false,
    path: disk?.filePath ?? "",
    layout: disk && fileLayoutOf(disk.filePath, handle),
    source: record?.source,
    copy: record?.copy && { done: record.copy.done, total: record.copy.total },
    snapshots: rds.snapshots && ifKnown(rds.snapshots),
    ...(rds.record.state === "unknown" && { recordUnknown: true }),
    findings,
  };
}

/** The findings that a person has to do something about. */
export function problemsOf({ findings }: Pick<ListedVolume, "findings">): ListedVolume["findings"] {
  return findings.filter(isProblem);
}

/** The lists that were asked for and not answered: each reason once. */
export function unansweredLists({ cluster, survey, snapshots }: World): UnknownSide[] {
  const { pvs, attachments, nodes } = cluster;
  const ofRds = [
    ["RDS", "volumes", survey] as const,
    ...(snapshots === undefined ? [] : [["RDS", "snapshots", snapshots] as const]),
  ];
  if (![pvs, attachments, nodes].some(isUnanswered)) return unknownSides(ofRds);
  return unknownSides([
    ...ofRds,
    ["Kubernetes", "PersistentVolumes", pvs],
    ["Kubernetes", "VolumeAttachments", attachments],
    ["Kubernetes", "nodes", nodes],
  ]);
}

type NamedFact = readonly [side: "RDS" | "Kubernetes", name: string, fact: Fact<unknown>];

/** The facts that are unknown, by reason: the side if all of its facts are, else their names. */
export function unknownSides(named: readonly NamedFact[]): UnknownSide[] {
  const groups = Map.groupBy(
    named.filter(([, , fact]) => fact.state === "unknown"),
    ([side, , fact]) => `${side}\n${fact.state === "unknown" ? fact.reason : ""}`,
  );
  return [...groups.values()].flatMap((group) => {
    const [side = "RDS", , fact] = group[0] ?? [];
    if (fact?.state !== "unknown") return [];
    const isWhole = named.filter(([each]) => each === side).length === group.length;
    const what = isWhole ? side : group.map(([, name]) => name).join(", ");
    return [{ what, reason: fact.reason, remedy: fact.error?.commandRemedy }];
  });
}
