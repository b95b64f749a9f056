import type { DeviceScan, DeviceUserFacts } from "../host/helper-answers.ts";
import type { Gathered } from "./facts.ts";
import { type Known, known, valueOr } from "./known.ts";
import type { AnswerFacts } from "./probes/answering.ts";
import type { AttachmentFacts, PersistentVolumeFacts, PodFacts } from "./probes/cluster.ts";
import type { ConnectionFacts } from "./probes/connections.ts";
import type { HungTask } from "./probes/hung-tasks.ts";
import type { StagingRecord, VolumeMount } from "./probes/mounts.ts";
import type { RdsVolumeFacts } from "./probes/rds.ts";

/** Everything that is known about one volume of this node. `undefined` inside a known answer: proven absent. */
export interface VolumeCase {
  readonly handle: string;
  readonly pv: Known<PersistentVolumeFacts | undefined>;
  /** VolumeAttachments of the volume, of all nodes. */
  readonly attachments: Known<readonly AttachmentFacts[]>;
  /** Pods of this node that use its claim. */
  readonly pods: Known<readonly PodFacts[]>;
  readonly disk: Known<RdsVolumeFacts | undefined>;
  /** Newest epoch first. */
  readonly connections: readonly ConnectionFacts[];
  /** Whether the connections could be looked at; else there may be some. */
  readonly connectionsKnown: boolean;
  readonly mounts: readonly VolumeMount[];
  /** Whether the mounts could be looked at; else there may be some. */
  readonly mountsKnown: boolean;
  readonly staging: readonly StagingRecord[];
  /** Unknown also where nobody was found, and some processes may not be looked into. */
  readonly users: Known<readonly DeviceUserFacts[]>;
  readonly hungTasks: readonly HungTask[];
  readonly answer: AnswerFacts | undefined;
}

/** Every volume that this node has, should have, or has something left of; by handle. */
export function volumeCases({ config, facts }: Gathered): readonly VolumeCase[] {
  const connections = valueOr(facts.connections, []).flatMap((connection) =>
    connection.volume === undefined ? [] : [{ ...connection, ...connection.volume }],
  );
  const { mounts, staging } = valueOr(facts.mounts, { mounts: [], staging: [] });
  const { cluster, rds } = facts;
  const attachments = part(cluster, ({ attachments: all }) => all);
  const volumes = part(cluster, ({ persistentVolumes: all }) => all);
  const pods = part(cluster, ({ pods: all }) => all);
  const handleOf = (pv: string | undefined): string | undefined =>
    valueOr(volumes, []).find(({ name }) => name === pv)?.handle;
  const handles = new Set([
    ...connections.map(({ slot }) => slot),
    ...mounts.flatMap(({ volume }) => volume ?? []),
    ...staging.map(({ volume }) => volume),
    ...valueOr(attachments, []).flatMap(({ node, pv }) =>
      node === config.nodeId ? (handleOf(pv) ?? []) : [],
    ),
    ...valueOr(rds, { volumes: [] }).volumes.flatMap(({ slot, attachments: recorded }) =>
      recorded.some(({ node }) => node === config.nodeId) ? [slot] : [],
    ),
  ]);
  return [...handles].sort().map((handle): VolumeCase => {
    const own = connections.filter(({ slot }) => slot === handle).toSorted((a, b) => b.epoch - a.epoch);
    const devices = new Set(own.flatMap(({ devices: each }) => each.map(({ number }) => number)));
    const pv = map(volumes, (all) => all.find((each) => each.handle === handle));
    const claim = pv.state === "known" ? pv.value?.claim : undefined;
    return {
      handle,
      pv,
      // Both are the volume's only through its PersistentVolume: without that, none would be found, not none be there.
      attachments: through(volumes, attachments, (all) => all.filter((each) => handleOf(each.pv) === handle)),
      pods: through(volumes, pods, (all) =>
        all.filter(({ claims }) => claim !== undefined && claims.includes(claim)),
      ),
      disk: map(rds, (all) => all.volumes.find(({ slot }) => slot === handle)),
      connections: own,
      connectionsKnown: facts.connections.state === "known",
      mounts: mounts.filter(({ volume }) => volume === handle),
      mountsKnown: facts.mounts.state === "known",
      staging: staging.filter(({ volume }) => volume === handle),
      users: usersOf(facts.users, devices),
      hungTasks: valueOr(facts.hungTasks, []).filter(({ volume }) => volume === handle),
      answer: valueOr(facts.answering, []).find(({ volume }) => volume === handle),
    };
  });
}

/** The volume that a person means: its handle, PersistentVolume or claim (`namespace/name`). */
export function isNamed({ handle, pv }: Pick<VolumeCase, "handle" | "pv">, name: string): boolean {
  const found = pv.state === "known" ? pv.value : undefined;
  return name === handle || name === found?.name || name === found?.claim;
}

function map<T, U>(answer: Known<T>, make: (value: T) => U): Known<U> {
  return answer.state === "known" ? { state: "known", value: make(answer.value) } : answer;
}

/** What `answer` says, where `link`, through which it is understood, is known too. */
function through<T, U>(link: Known<unknown>, answer: Known<T>, make: (value: T) => U): Known<U> {
  if (answer.state !== "known") return answer;
  return link.state === "known" ? { state: "known", value: make(answer.value) } : link;
}

function usersOf(answer: Known<DeviceScan>, devices: ReadonlySet<string>): VolumeCase["users"] {
  if (answer.state !== "known") return answer;
  const { users, hidden, crowded = [] } = answer.value;
  const own = users.filter(({ device }) => devices.has(device));
  return own.length === 0 && hidden > 0
    ? { state: "unknown", reason: [`${hidden} processes could not be looked into`, ...crowded].join("; ") }
    : known(own);
}

function part<T, U>(answer: Known<T>, take: (value: T) => Known<U>): Known<U> {
  return answer.state === "known" ? take(answer.value) : answer;
}
