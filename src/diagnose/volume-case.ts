import type { Attachment } from "../domain/record/volume-record.ts";
import { counted } from "../domain/sentence.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { DeviceScan, DeviceUserFacts } from "../host/helper-answers.ts";
import { compareVolume } from "../inspect/compare.ts";
import { absent, type Fact, ifKnown, known, mapFact, notAsked, unknown, valueOr } from "../inspect/fact.ts";
import type { VolumeFacts } from "../inspect/facts.ts";
import type { VolumeFinding } from "../inspect/volume-finding.ts";
import { volumeFacts, type World } from "../inspect/world.ts";
import type { PodWithClaims } from "../kubernetes/inspector.ts";
import type { AttachmentView } from "../kubernetes/port.ts";
import { installationOf } from "./context.ts";
import type { Gathered } from "./facts.ts";
import type { AnswerFacts } from "./probes/answering.ts";
import type { ConnectionFacts } from "./probes/connections.ts";
import type { HungTask } from "./probes/hung-tasks.ts";
import type { StagingRecord, VolumeMount } from "./probes/mounts.ts";

/** Everything that is known about one volume of this node. */
export interface VolumeCase {
  readonly handle: VolumeId;
  /** RDS and cluster. */
  readonly facts: VolumeFacts;
  /** Their disagreements. */
  readonly findings: readonly VolumeFinding[];
  /** The attachment of this node in the record; absent: the record has none. */
  readonly attached: Fact<Attachment>;
  /** The VolumeAttachment of this node. */
  readonly attachment: Fact<AttachmentView>;
  /** Pods of this node that use its claim. */
  readonly pods: Fact<readonly PodWithClaims[]>;
  /** Newest epoch first. */
  readonly connections: readonly ConnectionFacts[];
  /** Whether the connections could be looked at; else there may be some. */
  readonly connectionsKnown: boolean;
  readonly mounts: readonly VolumeMount[];
  /** Whether the mounts could be looked at; else there may be some. */
  readonly mountsKnown: boolean;
  readonly staging: readonly StagingRecord[];
  /** Unknown also where no user was found, and some processes may not be looked into. */
  readonly users: Fact<readonly DeviceUserFacts[]>;
  readonly hungTasks: readonly HungTask[];
  readonly answer: AnswerFacts | undefined;
}

/** Every volume that this node has, should have, or has something left of; by handle. */
export function volumeCases({ config, facts }: Gathered, now: number): readonly VolumeCase[] {
  const { nodeId } = config;
  const connections = valueOr(facts.connections, []).flatMap((connection) =>
    connection.volume === undefined ? [] : [{ ...connection, ...connection.volume }],
  );
  const { mounts, staging } = valueOr(facts.mounts, { mounts: [], staging: [] });
  const { cluster, rds } = facts;
  const world: World = {
    now,
    installation: installationOf(config),
    survey: mapFact(rds, ({ survey }) => known(survey)),
    cluster: {
      pvs: mapFact(cluster, ({ persistentVolumes }) => persistentVolumes),
      attachments: mapFact(cluster, ({ attachments }) => attachments),
      nodes: notAsked("not listed by diagnose"),
    },
  };
  const pods = mapFact(cluster, (answer) => answer.pods);
  const handleOf = (pv: string | undefined): string | undefined =>
    valueOr(world.cluster.pvs, []).find(({ name }) => name === pv)?.handle;
  const handles = new Set([
    ...connections.map(({ slot }) => slot),
    ...mounts.flatMap(({ volume }) => volume ?? []),
    ...staging.map(({ volume }) => volume),
    ...valueOr(world.cluster.attachments, []).flatMap(({ node, pvName }) =>
      node === nodeId ? (handleOf(pvName) ?? []) : [],
    ),
    ...(ifKnown(world.survey)?.volumes ?? []).flatMap(({ id, record }) =>
      record.attachments.some(({ node }) => node === nodeId) ? [id] : [],
    ),
  ]);
  return [...handles].sort().map((slot): VolumeCase => {
    const handle = slot as VolumeId;
    const own = connections.filter((each) => each.slot === handle).toSorted((a, b) => b.epoch - a.epoch);
    const devices = new Set(own.flatMap(({ devices: each }) => each.map(({ number }) => number)));
    const mounted = mounts.filter(({ volume }) => volume === handle);
    const listed = volumeFacts(world, handle);
    const file = ifKnown(rds)?.files.find(({ volume }) => volume === handle)?.file ?? listed.rds.file;
    const attachment = mapFact(listed.cluster.attachments, (all) => ofNode(all, nodeId));
    const isUsed = own.length > 0 || mounted.length > 0 || attachment.state === "known";
    const both = {
      ...listed,
      rds: { ...listed.rds, file },
      usedOn: isUsed ? nodeId : undefined,
    };
    const claim = ifKnown(both.cluster.pv)?.claim;
    return {
      handle,
      facts: both,
      findings: compareVolume(both),
      attached: mapFact(both.rds.record, ({ attachments }) => ofNode(attachments, nodeId)),
      attachment,
      // They are the volume's only through its PersistentVolume.
      pods: mapFact(world.cluster.pvs, () =>
        mapFact(pods, (all) =>
          known(
            all.filter(
              ({ namespace, claims }) => namespace === claim?.namespace && claims.includes(claim.name),
            ),
          ),
        ),
      ),
      connections: own,
      connectionsKnown: facts.connections.state === "known",
      mounts: mounted,
      mountsKnown: facts.mounts.state === "known",
      staging: staging.filter(({ volume }) => volume === handle),
      users: usersOf(facts.users, devices),
      hungTasks: valueOr(facts.hungTasks, []).filter(({ volume }) => volume === handle),
      answer: valueOr(facts.answering, []).find(({ volume }) => volume === handle),
    };
  });
}

function ofNode<T extends { readonly node: string }>(all: readonly T[], node: string): Fact<T> {
  const own = all.find((each) => each.node === node);
  return own === undefined ? absent : known(own);
}

/** `namespace/name` of its claim in the cluster, else in the record. */
export function claimName({ facts: { rds, cluster } }: Pick<VolumeCase, "facts">): string | undefined {
  const claim = ifKnown(cluster.pv)?.claim ?? ifKnown(rds.record)?.claim;
  return claim && `${claim.namespace}/${claim.name}`;
}

/** Whether a person means this volume: by handle, PersistentVolume or claim (`namespace/name`). */
export function isNamed(volume: Pick<VolumeCase, "handle" | "facts">, name: string): boolean {
  return [volume.handle, ifKnown(volume.facts.cluster.pv)?.name, claimName(volume)].includes(name);
}

function usersOf(answer: Fact<DeviceScan>, devices: ReadonlySet<string>): VolumeCase["users"] {
  return mapFact(answer, ({ users, hidden, crowded = [] }) => {
    const own = users.filter(({ device }) => devices.has(device));
    return own.length === 0 && hidden > 0
      ? unknown(
          [`${counted(hidden, "process", "processes")} could not be looked into`, ...crowded].join("; "),
        )
      : known(own);
  });
}
