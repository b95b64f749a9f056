import type { VolumeRecord } from "../../domain/record/volume-record.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { stateOf } from "../../inspect/compare.ts";
import { type Fact, notAsked } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { type Finding, sentenceOf } from "../../inspect/finding.ts";
import { isOverdue } from "../../migration/deadline.ts";
import type { Disk } from "../../rds/disk.ts";
import { fileLayoutOf } from "../../rds/layout.ts";
import { isoTime } from "./text.ts";

/** A volume as it is shown. */
export interface ShownVolume {
  readonly facts: VolumeFacts;
  /** undefined: no side that answered knows the name, and one did not answer. */
  readonly handle: VolumeId | undefined;
  /** As the person gave it. */
  readonly name: string;
}

/** Undefined becomes null, big numbers numbers. */
export function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** Some fields of an object, in this order. */
function pick<T, K extends keyof T>(from: T, ...keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}

function fact<T>(given: Fact<T>, say: (value: T) => unknown = (value) => value): object {
  if (given.state === "known") return { state: "known", value: plain(say(given.value)) };
  if (given.state === "absent") return given;
  const { state, reason, error } = given;
  return { state, reason, remedy: error?.commandRemedy ?? null };
}

const iso = (ms: number): string | null => (ms === 0 ? null : isoTime(ms / 1_000));

/** The machine-readable form of `volumes show`, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
export function showDocument({ facts, handle, name }: ShownVolume, findings: readonly Finding[]): object {
  const { now, rds, cluster } = facts;
  return {
    apiVersion: "rds-csi/v1",
    kind: "Volume",
    handle: handle ?? null,
    name,
    state: stateOf(facts, findings),
    time: iso(now),
    rds: {
      disk: fact(rds.disk, (disk) => ({
        ...diskDocument(disk),
        layout: fileLayoutOf(disk.filePath, facts.handle),
        foreign: rds.foreign,
      })),
      record: fact(rds.record, (record) => recordDocument(record, now)),
      file: fact(rds.file),
      pool: fact(rds.pool),
      snapshots: fact(rds.snapshots ?? notAsked("not part of this list")),
    },
    kubernetes: {
      persistentVolume: fact(cluster.pv),
      otherPersistentVolumes: cluster.otherPvs,
      claim: fact(cluster.claim),
      storageClass: fact(cluster.storageClass),
      attachments: fact(cluster.attachments),
      pods: fact(cluster.pods, (pods) =>
        pods.map((pod) => pick(pod, "namespace", "name", "uid", "node", "phase", "terminating")),
      ),
      machines: fact(cluster.machines, (machines) =>
        machines.map(({ machine, migrations }) => ({
          ...pick(machine, "namespace", "name", "uid", "node", "phase"),
          migrations: migrations.map((migration) => ({
            ...pick(migration, "name", "phase", "failureReason"),
            created: iso(migration.created),
            completed: iso(migration.completed ?? 0),
          })),
        })),
      ),
      events: fact(cluster.events, (events) =>
        events.map(({ at, ...event }) => ({ ...event, time: iso(at) })),
      ),
    },
    drift: findings.map((finding) =>
      plain({
        ...pick(finding, "id", "severity", "about"),
        text: sentenceOf(finding),
        ...pick(finding, "rds", "kubernetes", "node", "remedy"),
      }),
    ),
  };
}

function diskDocument(disk: Disk): object {
  const more = pick(disk, "exported", "nqn", "port", "allowHost", "mountFilesystem", "state");
  return { path: disk.filePath, sizeBytes: disk.size, ...more };
}

function recordDocument(record: VolumeRecord, now: number): object {
  const { attachments, migration } = record;
  return {
    csiName: record.name,
    clusterId: record.cluster,
    pvc: record.claim,
    createdAt: iso(record.createdAt * 1_000),
    ...pick(record, "source", "filesystem", "epoch"),
    attachments: attachments.map((each) => ({ ...each, since: iso(each.since * 1_000) })),
    migration: migration && {
      since: iso(migration.since * 1_000),
      timeoutSeconds: migration.timeoutSeconds,
      overdue: isOverdue(migration, now / 1_000),
    },
    settings: record.settings,
  };
}
