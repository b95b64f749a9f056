import type { VolumeRecord } from "../../src/domain/record/volume-record.ts";
import type { VolumeFindingId } from "../../src/inspect/catalogue.ts";
import { absent, ifKnown, known, unknown } from "../../src/inspect/fact.ts";
import type { AttachmentView } from "../../src/kubernetes/port.ts";
import { CONVERSION_CASES } from "./volume-conversion-cases.ts";
import { type Change, consistentFacts, GIB, NOW, type Shape, unknownCluster } from "./volume-facts.ts";
import { NODE_CASES } from "./volume-node-cases.ts";
import { POOL_CASES } from "./volume-pool-cases.ts";

const SECONDS = NOW / 1_000;
const [first] = (ifKnown(consistentFacts().rds.record) as VolumeRecord).attachments as [
  VolumeRecord["attachments"][number],
];
const [attachment] = ifKnown(consistentFacts().cluster.attachments) as [AttachmentView];

/** A change of consistent facts, and exactly the findings that follow. */
export interface Case {
  readonly what: string;
  readonly ids: readonly VolumeFindingId[];
  readonly change: Change;
  readonly shape?: Partial<Shape>;
}

const none: Partial<Shape> = { nodes: [] };
const noItem = unknown("no disk item names a pool");
const noFile = { rds: { file: absent } } as const;

/** Every state of a volume that is a finding, and states that look like one. */
export const CASES: readonly Case[] = [
  {
    what: "a PersistentVolume without its disk",
    ids: ["volume-missing"],
    change: { disk: "absent", rds: { file: absent, pool: noItem } },
  },
  {
    what: "a PersistentVolume whose disk item is gone, its file is not",
    ids: ["volume-missing", "file-left"],
    change: { disk: "absent", rds: { pool: noItem } },
  },
  {
    what: "a file without its disk item, and a cluster that has no PersistentVolume for it",
    ids: ["file-left"],
    shape: none,
    change: {
      disk: "absent",
      rds: { record: absent, pool: noItem },
      ...{ pv: "absent", claim: "absent", cluster: { attachments: known([]), pods: known([]) } },
    },
  },
  {
    what: "a file without its disk item, and a cluster that does not answer",
    ids: ["file-owner-unknown"],
    change: {
      disk: "absent",
      rds: { record: absent, pool: noItem },
      cluster: unknownCluster("no answer"),
    },
  },
  {
    what: "a disk of another installation that no PersistentVolume names",
    ids: ["foreign-disk"],
    shape: none,
    change: {
      rds: { record: absent, foreign: "it belongs to cluster b" },
      ...{ pv: "absent", claim: "absent", cluster: { attachments: known([]), pods: known([]) } },
    },
  },
  {
    what: "a disk of another installation that a PersistentVolume names",
    ids: ["record-unusable"],
    change: { rds: { record: absent, foreign: "it belongs to cluster b" } },
  },
  {
    what: "an orphan",
    ids: ["pv-missing"],
    shape: none,
    change: { pv: "absent", claim: "absent", cluster: { attachments: known([]), pods: known([]) } },
  },
  {
    what: "a VolumeAttachment whose PersistentVolume was deleted by force",
    ids: ["attachment-without-pv"],
    change: { pv: "absent", claim: "absent", cluster: { pods: known([]) } },
  },
  {
    what: "an attachment whose PersistentVolume and VolumeAttachment are gone",
    ids: ["attachment-without-pv"],
    change: { pv: "absent", claim: "absent", cluster: { attachments: known([]), pods: known([]) } },
  },
  {
    what: "an orphan that was made just now",
    ids: [],
    shape: none,
    change: {
      record: { createdAt: SECONDS - 59 },
      pv: "absent",
      claim: "absent",
      cluster: { attachments: known([]), pods: known([]) },
    },
  },
  { what: "two PersistentVolumes", ids: ["pv-ambiguous"], change: { cluster: { otherPvs: ["copy"] } } },
  {
    what: "a released PersistentVolume",
    ids: ["pv-released"],
    shape: none,
    change: { pv: { phase: "Released", reclaimPolicy: "Retain" }, claim: "absent" },
  },
  {
    what: "a failed PersistentVolume",
    ids: ["pv-released"],
    shape: none,
    change: { pv: { phase: "Failed" }, claim: "absent" },
  },
  {
    what: "a PersistentVolume that does not go",
    ids: ["pv-deleting"],
    shape: none,
    change: {
      disk: "absent",
      rds: { file: absent, pool: absent },
      pv: { phase: "Released", deleting: true },
    },
  },
  {
    what: "a PersistentVolume whose deletion was asked for just now",
    ids: [],
    shape: none,
    change: { pv: { phase: "Released", deleting: true, deletedAt: NOW - 59_000 }, claim: "absent" },
  },
  {
    what: "another claim in the record",
    ids: ["claim-ref"],
    change: { record: { claim: { namespace: "vms", name: "other" } } },
  },
  {
    what: "the claim that CDI populated in the record",
    ids: [],
    change: {
      record: { claim: { namespace: "vms", name: "prime-0a1b2c3d-0000-4000-8000-000000000009" } },
    },
  },
  { what: "no claim in the record", ids: [], change: { record: { claim: undefined } } },
  { what: "no claim", ids: ["claim-missing"], change: { claim: "absent" } },
  { what: "a claim of the same name", ids: ["claim-replaced"], change: { claim: { uid: "uid-new" } } },
  { what: "a claim of another volume", ids: ["claim-replaced"], change: { claim: { pvName: "pv-9" } } },
  { what: "a lost claim", ids: ["claim-lost"], change: { claim: { phase: "Lost" } } },
  {
    what: "a disk that shrank",
    ids: ["size-below-pv", "attached-size", "size-file-disk"],
    change: { disk: { size: 9n * GIB } },
  },
  {
    what: "a disk that shrank with its file, before anybody attached it",
    ids: ["size-below-pv"],
    shape: none,
    change: {
      disk: { size: 10n * GIB - 1n },
      rds: { file: known({ path: "f", sizeBytes: 10n * GIB - 1n }) },
    },
  },
  {
    what: "a disk larger than its PersistentVolume",
    ids: ["size-above-pv"],
    change: { pv: { capacityBytes: 10n * GIB - (1n << 20n) } },
  },
  {
    what: "a size that was rounded up",
    ids: [],
    change: { pv: { capacityBytes: 10n * GIB - (1n << 20n) + 1n } },
  },
  { what: "no size in the PersistentVolume", ids: [], change: { pv: { capacityBytes: undefined } } },
  {
    what: "an expansion under way",
    ids: ["expansion-pending"],
    change: { claim: { requestedBytes: 20n * GIB } },
  },
  {
    what: "an expansion that the node has not done",
    ids: ["expansion-pending"],
    change: {
      disk: { size: 20n * GIB },
      rds: { file: known({ path: "f", sizeBytes: 20n * GIB }) },
      claim: { requestedBytes: 20n * GIB },
    },
  },
  {
    what: "a claim that is deleted expands no more",
    ids: [],
    change: { claim: { requestedBytes: 20n * GIB, deleting: true } },
  },
  {
    what: "a node that was told more than there is",
    ids: ["attached-size"],
    change: { attachment: { metadata: { ...attachment.metadata, sizeBytes: String(11n * GIB) } } },
  },
  {
    what: "what is not a size is not compared",
    ids: [],
    change: { attachment: { metadata: { ...attachment.metadata, sizeBytes: "11Gi" } } },
  },
  {
    what: "a file of another size",
    ids: ["size-file-disk"],
    change: { rds: { file: known({ path: "f", sizeBytes: GIB }) } },
  },
  {
    what: "a file whose size is rounded",
    ids: [],
    change: { rds: { file: known({ path: "f", sizeBytes: undefined }) } },
  },
  { what: "no file", ids: ["file-missing"], change: noFile },
  {
    what: "no pool, hence no file and no size",
    ids: ["pool-not-mounted"],
    change: { disk: { size: undefined }, rds: { file: absent, pool: absent } },
  },
  {
    what: "no size",
    ids: ["device-not-ready"],
    change: { disk: { size: undefined } },
  },
  { what: "mount-filesystem", ids: ["mount-filesystem"], change: { disk: { mountFilesystem: true } } },
  { what: "an export that is off", ids: ["not-exported"], change: { disk: { exported: false } } },
  {
    what: "an export that is off does not also have another NQN than nodes were told",
    ids: ["not-exported"],
    change: { disk: { exported: false, nqn: "", port: 4421 } },
  },
  {
    what: "an attachment that is a minute old",
    ids: ["attachment-without-pod"],
    shape: { since: 60 },
    change: { cluster: { pods: known([]) } },
  },
  {
    what: "an expansion that was interrupted",
    ids: ["re-export-interrupted"],
    change: { disk: { exported: false }, record: { reExportSince: SECONDS - 61 } },
  },
  {
    what: "an expansion that has the export off right now",
    ids: [],
    change: { disk: { exported: false }, record: { reExportSince: SECONDS - 2 } },
  },
  {
    what: "an export that nobody uses",
    ids: ["exported-unattached"],
    shape: none,
    change: { disk: { exported: true } },
  },
  {
    what: "an export of an older epoch",
    ids: ["export-nqn", "attached-nqn"],
    change: { disk: { nqn: "nqn.2000-02.com.mikrotik:x.2" } },
  },
  {
    what: "a record of a newer epoch",
    ids: ["export-nqn"],
    change: { record: { epoch: 4 } },
  },
  { what: "another port", ids: ["export-port", "attached-port"], change: { disk: { port: 4421 } } },
  {
    what: "a list of hosts that lacks the node",
    ids: ["allowed-hosts"],
    shape: { fencing: "epoch+hosts" },
    change: { disk: { allowHost: "nqn.other" } },
  },
  {
    what: "no list of hosts",
    ids: ["allowed-hosts"],
    shape: { fencing: "epoch+hosts" },
    change: { disk: { allowHost: "" } },
  },
  {
    what: "a list of hosts that nobody keeps, and that locks the node out",
    ids: ["allowed-hosts"],
    change: { disk: { allowHost: "nqn.other" } },
  },
  {
    what: "a list of hosts that nobody keeps, and that lets the node in",
    ids: [],
    change: { disk: { allowHost: first.hostNqn } },
  },
  ...CONVERSION_CASES,
  ...POOL_CASES,
  ...NODE_CASES,
];
