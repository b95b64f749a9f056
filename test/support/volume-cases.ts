import type { VolumeRecord } from "../../src/domain/record/volume-record.ts";
import type { VolumeFindingId } from "../../src/inspect/catalogue.ts";
import { absent, ifKnown, known } from "../../src/inspect/fact.ts";
import type { VolumeFacts } from "../../src/inspect/facts.ts";
import type { AttachmentView, PodView } from "../../src/kubernetes/port.ts";
import { type Change, consistentFacts, GIB, NOW, type Shape } from "./volume-facts.ts";

const SECONDS = NOW / 1_000;
const record = (facts: VolumeFacts): VolumeRecord => ifKnown(facts.rds.record) as VolumeRecord;
const [first] = record(consistentFacts()).attachments as [VolumeRecord["attachments"][number]];
const [attachment] = ifKnown(consistentFacts().cluster.attachments) as [AttachmentView];
const [pod] = ifKnown(consistentFacts().cluster.pods) as [PodView];
const machinesOf = (facts: VolumeFacts) => ifKnown(facts.cluster.machines) ?? [];

/** A change of consistent facts, and exactly the findings that follow. */
export interface Case {
  readonly what: string;
  readonly ids: readonly VolumeFindingId[];
  readonly change: Change;
  readonly shape?: Partial<Shape>;
}

const two: Partial<Shape> = { nodes: ["node-a", "node-b"] };
const none: Partial<Shape> = { nodes: [] };
const noFile = { rds: { file: absent } } as const;
const migration = { since: SECONDS - 301, timeoutSeconds: 300, by: "c", overdueBy: undefined };
const twoRunning = machinesOf(consistentFacts(two));
const ended = (completed: number) =>
  known(
    twoRunning.map(({ machine, migrations }) => ({
      machine,
      migrations: migrations.map((each) => ({ ...each, phase: "Succeeded", completed })),
    })),
  );

/** Every state of a volume that is a finding, and states that look like one. */
export const CASES: readonly Case[] = [
  {
    what: "a PersistentVolume without its disk",
    ids: ["volume-missing"],
    change: { disk: "absent", rds: { file: absent, pool: absent } },
  },
  {
    what: "a PersistentVolume whose disk item is gone, its file is not",
    ids: ["volume-missing", "file-left"],
    change: { disk: "absent", rds: { pool: absent } },
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
  {
    what: "a node that was told an old NQN",
    ids: ["attached-nqn"],
    change: { attachment: { metadata: { ...attachment.metadata, nqn: "nqn.2000-02.com.mikrotik:x.1" } } },
  },
  {
    what: "a node that was told another port",
    ids: ["attached-port"],
    change: { attachment: { metadata: { ...attachment.metadata, port: "4421" } } },
  },
  {
    what: "a node that was told another host NQN",
    ids: ["attached-host-nqn"],
    change: { attachment: { metadata: { ...attachment.metadata, hostNqn: "nqn.other" } } },
  },
  { what: "nothing that was told", ids: [], change: { attachment: { metadata: {} } } },
  {
    what: "another cluster id",
    ids: ["attached-host-nqn", "record-host-nqn"],
    change: { record: { attachments: [{ ...first, hostNqn: "nqn.other" }] } },
  },
  {
    what: "a node that is gone, with all that was on it",
    ids: ["node-gone", "attachment-without-pod"],
    change: { cluster: { nodes: known(["node-b"]), attachments: known([]), pods: known([]) } },
  },
  {
    what: "an attachment without VolumeAttachment",
    ids: ["attachment-without-va"],
    change: { cluster: { attachments: known([]) } },
  },
  {
    what: "an attachment that was made just now",
    ids: [],
    shape: { since: 59 },
    change: { cluster: { attachments: known([]), pods: known([]) } },
  },
  {
    what: "a VolumeAttachment without attachment",
    ids: ["va-without-attachment", "pod-without-attachment"],
    change: { disk: { exported: false }, record: { attachments: [] } },
  },
  {
    what: "a VolumeAttachment that is on its way",
    ids: [],
    change: {
      disk: { exported: false },
      record: { attachments: [] },
      attachment: { attached: false, metadata: {} },
      cluster: { pods: known([{ ...pod, phase: "Pending" }]) },
    },
  },
  {
    what: "a VolumeAttachment of another PersistentVolume with this handle",
    ids: ["pv-ambiguous", "va-without-attachment"],
    change: {
      cluster: {
        otherPvs: ["copy"],
        attachments: known([attachment, { ...attachment, node: "node-c", pvName: "copy", metadata: {} }]),
      },
    },
  },
  {
    what: "an attach that fails",
    ids: ["va-error"],
    change: { attachment: { attachError: { message: "no", time: undefined } } },
  },
  {
    what: "an attach whose error is sentences of its own",
    ids: ["va-error"],
    change: { attachment: { attachError: { message: "rpc error: refused. Wait.", time: undefined } } },
  },
  {
    what: "a detach that fails",
    ids: ["va-error"],
    change: { attachment: { detachError: { message: "no", time: undefined } } },
  },
  {
    what: "a pod on a node that is not attached",
    ids: ["pod-without-attachment"],
    change: { cluster: { pods: known([pod, { ...pod, name: "second", node: "node-b" }]) } },
  },
  {
    what: "pods that wait",
    ids: [],
    change: {
      cluster: {
        pods: known([
          pod,
          { ...pod, name: "second", node: "node-b", phase: "Pending" },
          { ...pod, name: "third", node: undefined, phase: "Running" },
        ]),
      },
    },
  },
  {
    what: "an attachment without pod",
    ids: ["attachment-without-pod"],
    change: { cluster: { pods: known([]) } },
  },
  {
    what: "an access mode that the PersistentVolume lacks",
    ids: ["access-mode"],
    change: { pv: { accessModes: ["ReadWriteOnce"] } },
  },
  {
    what: "a single node of a shared volume",
    ids: ["access-mode"],
    change: { record: { attachments: [{ ...first, accessMode: "SINGLE_NODE_WRITER" }] } },
  },
  {
    what: "ReadWriteOncePod",
    ids: [],
    change: {
      pv: { accessModes: ["ReadWriteOncePod"] },
      record: { attachments: [{ ...first, accessMode: "SINGLE_NODE_SINGLE_WRITER" }] },
    },
  },
  {
    what: "ReadOnlyMany",
    ids: [],
    change: {
      pv: { accessModes: ["ReadOnlyMany"] },
      record: { attachments: [{ ...first, accessMode: "MULTI_NODE_READER_ONLY" }] },
    },
  },
  { what: "another volume mode", ids: ["volume-mode"], change: { pv: { volumeMode: "Filesystem" } } },
  {
    what: "a migration that takes too long",
    ids: ["migration-overdue"],
    shape: two,
    change: { record: { migration } },
  },
  {
    what: "a migration without limit",
    ids: [],
    shape: two,
    change: { record: { migration: { ...migration, timeoutSeconds: 0 } } },
  },
  {
    what: "a migration of one node",
    ids: ["migration-record", "migration-ended"],
    change: { record: { migration: { ...migration, since: SECONDS - 61 } } },
  },
  {
    what: "two nodes without migration",
    ids: ["migration-record"],
    shape: two,
    change: { record: { migration: undefined } },
  },
  {
    what: "a migration that KubeVirt has ended",
    ids: ["migration-ended"],
    shape: two,
    change: { cluster: { machines: ended(NOW - 61_000) } },
  },
  {
    what: "a migration that KubeVirt has ended just now",
    ids: [],
    shape: two,
    change: { cluster: { machines: ended(NOW - 59_000) } },
  },
  {
    what: "two nodes of what is no machine",
    ids: [],
    shape: two,
    change: { cluster: { machines: known([]) } },
  },
];
