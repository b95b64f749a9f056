import { hostIdentity } from "../../src/domain/host-identity.ts";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../../src/domain/record/volume-record.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { absent, known, unknown } from "../../src/inspect/fact.ts";
import type { ClusterFacts, RdsFacts, VolumeFacts } from "../../src/inspect/facts.ts";
import { noClusterLists, volumeFacts, type World } from "../../src/inspect/world.ts";
import type { ClaimView } from "../../src/kubernetes/inspector.ts";
import type {
  AttachmentView,
  MigrationView,
  PersistentVolumeView,
  PodView,
  VmiView,
} from "../../src/kubernetes/port.ts";
import type { Disk } from "../../src/rds/disk.ts";

/** 2026-03-01T12:00:00Z in milliseconds. */
export const NOW = Date.UTC(2026, 2, 1, 12);
export const GIB = 1n << 30n;
const SECONDS = NOW / 1_000;

/** A shape of a consistent world. */
export interface Shape {
  readonly name: string;
  readonly namespace: string;
  readonly claim: string;
  readonly sizeBytes: bigint;
  /** Attached, in this order; two of them: a migration. */
  readonly nodes: readonly string[];
  readonly block: boolean;
  readonly epoch: number;
  readonly fencing: "epoch" | "epoch+hosts" | "off";
  /** How long ago the last node was attached, seconds. */
  readonly since: number;
}

export const DEFAULT_SHAPE: Shape = {
  name: "pvc-0a1b2c3d-0000-4000-8000-000000000001",
  namespace: "vms",
  claim: "disk",
  sizeBytes: 10n * GIB,
  nodes: ["node-a"],
  block: true,
  epoch: 3,
  fencing: "epoch",
  since: 120,
};

/** Facts in which everything agrees. */
export function consistentFacts(more: Partial<Shape> = {}): VolumeFacts {
  const shape = { ...DEFAULT_SHAPE, ...more };
  const handle = volumeIdFromName(shape.name);
  return {
    handle,
    now: NOW,
    installation: {
      clusterId: "default",
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      nvmePort: 4420,
      fencing: shape.fencing,
    },
    rds: rdsFacts(shape, handle),
    cluster: clusterFacts(shape, handle),
  };
}

const nqnOf = ({ epoch, fencing }: Shape, handle: string): string =>
  `nqn.2000-02.com.mikrotik:${handle}${epoch === 0 || fencing === "off" ? "" : `.${epoch}`}`;

const modeOf = ({ block }: Shape) => (block ? "MULTI_NODE_MULTI_WRITER" : "SINGLE_NODE_WRITER");

function rdsFacts(shape: Shape, handle: string): RdsFacts {
  const { nodes, sizeBytes, since } = shape;
  const path = `storage-pool/csi/${handle}.img`;
  const record: VolumeRecord = {
    name: shape.name,
    cluster: "default",
    claim: { namespace: shape.namespace, name: shape.claim },
    createdAt: SECONDS - 86_400,
    source: undefined,
    filesystem: shape.block ? undefined : "ext4",
    epoch: shape.epoch,
    attachments: nodes.map((node, index) => ({
      node,
      hostNqn: hostIdentity("default", node).hostNqn,
      accessMode: modeOf(shape),
      accessType: shape.block ? "block" : "mount",
      readonly: false,
      since: SECONDS - since - (nodes.length - 1 - index) * 3_600,
    })),
    exportName:
      nodes.length === 0
        ? undefined
        : { nqn: nqnOf(shape, handle), port: 4420, hosts: shape.fencing === "epoch+hosts" },
    migration:
      nodes.length === 2
        ? { since: SECONDS - since, timeoutSeconds: 300, by: "controller-0", overdueBy: undefined }
        : undefined,
    ended: [],
    settings: DEFAULT_SETTINGS,
    unknown: [],
  };
  const single = shape.fencing === "epoch+hosts" && nodes.length === 1;
  const disk: Disk = {
    slot: handle,
    type: "file",
    comment: "the record",
    filePath: path,
    size: sizeBytes,
    free: undefined,
    mounted: false,
    mountPoint: "",
    fs: "",
    fsLabel: "",
    state: "",
    raidMaster: "",
    memberFailed: false,
    mountFilesystem: false,
    exported: nodes.length > 0,
    nqn: nqnOf(shape, handle),
    port: 4420,
    allowHost: single ? (record.attachments[0]?.hostNqn ?? "") : "",
  };
  return {
    disk: known(disk),
    record: known(record),
    foreign: undefined,
    file: known({ path, sizeBytes }),
    pool: known({
      slot: "storage-pool",
      mountPoint: "storage-pool",
      fs: "btrfs",
      sizeBytes: 1024n * GIB,
      freeBytes: 512n * GIB,
    }),
  };
}

function clusterFacts(shape: Shape, handle: string): ClusterFacts {
  const { nodes, sizeBytes, namespace, claim, block, since } = shape;
  const uid = "uid-claim";
  const pv: PersistentVolumeView = {
    name: shape.name,
    handle,
    claim: { namespace, name: claim, uid },
    storageClass: "rds",
    accessModes: [block ? "ReadWriteMany" : "ReadWriteOnce"],
    volumeMode: block ? "Block" : "Filesystem",
    phase: "Bound",
    deleting: false,
    capacityBytes: sizeBytes,
    reclaimPolicy: "Delete",
  };
  const claimFacts: ClaimView = {
    namespace,
    name: claim,
    uid,
    phase: "Bound",
    pvName: shape.name,
    requestedBytes: sizeBytes,
    capacityBytes: sizeBytes,
    deleting: false,
  };
  const attachments = nodes.map(
    (node): AttachmentView => ({
      name: `csi-${node}`,
      node,
      pvName: shape.name,
      attached: true,
      deleting: false,
      metadata: {
        nqn: nqnOf(shape, handle),
        address: "192.0.2.1",
        port: "4420",
        hostNqn: hostIdentity("default", node).hostNqn,
        sizeBytes: String(sizeBytes),
      },
      attachError: undefined,
      detachError: undefined,
    }),
  );
  const owner = {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachineInstance",
    name: "vm1",
    uid: "uid-vm1",
    controller: true,
  };
  const pods = nodes.map(
    (node): PodView => ({
      namespace,
      name: `virt-launcher-vm1-${node}`,
      uid: `uid-${node}`,
      node,
      phase: "Running",
      terminating: false,
      labels: {},
      owners: block ? [owner] : [],
    }),
  );
  const machine: VmiView = {
    uid: "uid-vm1",
    namespace,
    name: "vm1",
    node: nodes[0],
    phase: "Running",
    memoryBytes: 4n * GIB,
    migratedVolumes: [],
    migrationState: undefined,
  };
  const migration: MigrationView = {
    name: "vm1-migration",
    uid: "uid-migration",
    phase: "Running",
    created: NOW - since * 1_000,
    targetNode: nodes[1],
    targetPod: undefined,
    started: undefined,
    completed: undefined,
    failureReason: undefined,
  };
  const machines = block && nodes.length > 0;
  return {
    pv: known(pv),
    otherPvs: [],
    claim: known(claimFacts),
    storageClass: known({
      name: "rds",
      provisioner: "rds.csi.srvlab.io",
      reclaimPolicy: "Delete",
      parameters: {},
    }),
    attachments: known(attachments),
    pods: known(pods),
    machines: known(machines ? [{ machine, migrations: nodes.length === 2 ? [migration] : [] }] : []),
    nodes: known(["node-a", "node-b", "node-c", ...nodes]),
    events: known([]),
  };
}

/** The facts of an RDS that did not answer. */
export function unknownRds(reason: string): RdsFacts {
  return volumeFacts(silentWorld(reason), volumeIdFromName("any")).rds;
}

/** The facts of a cluster that did not answer. */
export function unknownCluster(reason: string): ClusterFacts {
  return volumeFacts(silentWorld(reason), volumeIdFromName("any")).cluster;
}

function silentWorld(reason: string): World {
  const nothing = unknown(reason);
  const { installation } = consistentFacts();
  return { now: NOW, installation, survey: nothing, cluster: noClusterLists(nothing) };
}

/** Parts of facts that a test changes; lists and objects are replaced, not merged, except one level down. */
export interface Change {
  readonly disk?: Partial<Disk> | "absent";
  readonly record?: Partial<VolumeRecord>;
  readonly rds?: Partial<RdsFacts>;
  readonly pv?: Partial<PersistentVolumeView> | "absent";
  readonly claim?: Partial<ClaimView> | "absent";
  /** Changes every VolumeAttachment. */
  readonly attachment?: Partial<AttachmentView>;
  readonly cluster?: Partial<ClusterFacts>;
}

/** Consistent facts with something changed. */
export function changedFacts(change: Change, shape: Partial<Shape> = {}): VolumeFacts {
  const facts = consistentFacts(shape);
  const { rds, cluster } = facts;
  const merge = <T>(
    fact: { readonly state: string; readonly value?: T },
    more: Partial<T> | "absent" | undefined,
  ) => (more === "absent" ? absent : known({ ...(fact as { value: T }).value, ...more }));
  const attachments = (cluster.attachments as { value: readonly AttachmentView[] }).value;
  return {
    ...facts,
    rds: {
      ...rds,
      disk: merge<Disk>(rds.disk, change.disk),
      record: change.disk === "absent" ? absent : merge<VolumeRecord>(rds.record, change.record),
      ...change.rds,
    },
    cluster: {
      ...cluster,
      pv: merge<PersistentVolumeView>(cluster.pv, change.pv),
      claim: merge<ClaimView>(cluster.claim, change.claim),
      attachments: known(attachments.map((each) => ({ ...each, ...change.attachment }))),
      ...change.cluster,
    },
  };
}
