import type { DiagnoseConfig } from "../../src/diagnose/context.ts";
import { type Diagnosis, diagnose } from "../../src/diagnose/diagnosis.ts";
import type { CheckId, Facts } from "../../src/diagnose/facts.ts";
import { encodeRecord } from "../../src/domain/record/record-codec.ts";
import { type Fact, ifKnown, known, mapFact, notAsked } from "../../src/inspect/fact.ts";
import type { VolumeFacts } from "../../src/inspect/facts.ts";
import type { Finding } from "../../src/inspect/finding.ts";
import type { DetailSources } from "../../src/inspect/gather.ts";
import { volumeFinding } from "../../src/inspect/volume-finding.ts";
import type { World } from "../../src/inspect/world.ts";
import type { PersistentVolumeView } from "../../src/kubernetes/port.ts";
import type { Disk } from "../../src/rds/disk.ts";
import type { Survey } from "../../src/rds/survey.ts";
import { consistentFacts } from "./volume-facts.ts";

const forever = new AbortController().signal;

/** The lists in which facts of one volume stand. */
export function worldOf({ handle, now, installation, rds, cluster }: VolumeFacts): World {
  const survey: Fact<Survey> =
    rds.disk.state === "unknown"
      ? rds.disk
      : known({ ...itemsOf(handle, rds), mounted: mountedOf(rds), arrays: [], ...conversionsOf(rds) });
  const pvs = mapFact<PersistentVolumeView, readonly PersistentVolumeView[]>(cluster.pv, (pv) =>
    known([pv, ...cluster.otherPvs.map((name) => ({ ...pv, name, phase: "Available" }))]),
  );
  return {
    now,
    installation,
    survey,
    cluster: {
      pvs: pvs.state === "absent" ? known([]) : pvs,
      attachments: cluster.attachments,
      nodes: cluster.nodes,
    },
  };
}

function itemsOf(
  id: VolumeFacts["handle"],
  { disk, record, foreign }: VolumeFacts["rds"],
): Pick<Survey, "volumes" | "foreign"> {
  const item = ifKnown(disk);
  const read = ifKnown(record);
  return {
    volumes: item === undefined || read === undefined ? [] : [{ id, disk: item, record: read }],
    foreign:
      item === undefined || foreign === undefined
        ? []
        : [
            {
              id,
              disk: item,
              cause: record.state === "absent" ? "other-cluster" : "unreadable",
              reason: foreign,
            },
          ],
  };
}

function conversionsOf({ movedBy }: VolumeFacts["rds"]): Pick<Survey, "conversions"> {
  const item = ifKnown(consistentFacts().rds.disk);
  const record = ifKnown(consistentFacts({ nodes: [] }).rds.record);
  if (movedBy === undefined || item === undefined || record === undefined) return { conversions: [] };
  const { slot, isWhole } = movedBy;
  const comment = encodeRecord({ ...record, conversion: isWhole ? "switch" : "copy" });
  return { conversions: [{ ...item, slot, comment }] };
}

function mountedOf({ disk, pool }: VolumeFacts["rds"]): readonly Disk[] {
  const standard = consistentFacts().rds;
  // Without a disk item, a pool is mounted unless the facts say that none is.
  const others = disk.state === "absent" && pool.state !== "absent" ? standard : { disk, pool };
  const [item, holder] = [ifKnown(others.disk), ifKnown(others.pool)];
  if (item === undefined || holder === undefined) return [];
  const { slot, mountPoint, fs, sizeBytes, freeBytes, arrayTroubles = [] } = holder;
  const state = arrayTroubles.length > 0 ? "clean, degraded" : "clean";
  const mounted = { slot, type: "raid", state, mounted: true, mountPoint, fs };
  return [{ ...item, ...mounted, size: sizeBytes, free: freeBytes }];
}

/** Sides that answer with the facts when `volumes show` asks for the details of the volume. */
export function detailsOf({ rds, cluster }: VolumeFacts): DetailSources {
  const machines = ifKnown(cluster.machines) ?? [];
  const ofMachine = (name: string) => machines.find(({ machine }) => machine.name === name);
  return {
    rds: { file: async () => ifKnown(rds.file), strayFile: async () => ifKnown(rds.file) },
    directory: "csi",
    cluster: {
      reader: {
        podsUsingClaim: async () => ifKnown(cluster.pods) ?? [],
        pod: async () => undefined,
        virtualMachineInstance: async (_namespace, name) => ofMachine(name)?.machine,
        migrationsOf: async (_namespace, name) => ofMachine(name)?.migrations,
      },
      inspector: {
        claim: async () => ifKnown(cluster.claim),
        storageClass: async () => ifKnown(cluster.storageClass),
        events: async () => ifKnown(cluster.events) ?? [],
      },
    },
    forRds: forever,
    forCluster: forever,
  };
}

/** The report of `diagnose` on a node that has a staging directory of the volume, and nothing else of its own. */
export function diagnosisOf(facts: VolumeFacts, node: string): Diagnosis {
  const world = worldOf(facts);
  const nothing = notAsked("not in this test");
  const { handle, now, installation, cluster } = facts;
  const config: DiagnoseConfig = {
    ...{ nodeId: node, nodeIdAssumed: false, clusterId: installation.clusterId },
    ...{ nqnPrefix: installation.nqnPrefix, driverName: "rds.csi.srvlab.io", dataPath: "nvme-tcp" },
    ...{ loop: undefined, endpoint: "", kubeletDir: "", orchestrator: "kubernetes", kubeconfig: undefined },
    ...{ storageAddresses: [], rds: nothing, pool: "storage-pool" },
  };
  const pools = ifKnown(world.survey)?.mounted ?? [];
  const pods = (ifKnown(cluster.pods) ?? []).map((pod) => ({ ...pod, claims: [] }));
  const answers: Facts = {
    ...{ kernel: nothing, tools: nothing, access: nothing, identity: nothing, kernelLog: nothing },
    ...{ plugin: nothing, kubelet: nothing, storage: nothing, users: nothing, hungTasks: nothing },
    answering: nothing,
    connections: known([]),
    mounts: known({ mounts: [], staging: [{ volume: handle, path: "/staging", mounted: false }] }),
    rds: mapFact(world.survey as Fact<Survey>, (survey) =>
      known({ address: "192.0.2.1:22", version: "7.24", survey, pools: [...pools], files: [] }),
    ),
    cluster: known({
      persistentVolumes: world.cluster.pvs,
      attachments: world.cluster.attachments,
      csiNode: known({ exists: true, nodeId: node }),
      pods: known(pods.filter((pod) => pod.node === node)),
    }),
  };
  return diagnose({ config, facts: answers, took: {} as Record<CheckId, number> }, now, 0);
}

/** A finding of some kind with a text, for tests of how findings are shown. */
export function problem(text: string): Finding {
  const subject = { kind: "volume", name: "v" } as const;
  return { ...volumeFinding(consistentFacts(), "not-exported", text), subject, evidence: [text] };
}
