import type { VolumeRecord } from "../../src/domain/record/volume-record.ts";
import { ifKnown, known } from "../../src/inspect/fact.ts";
import type { AttachmentView, PodView } from "../../src/kubernetes/port.ts";
import type { Case } from "./volume-cases.ts";
import { consistentFacts, NOW, type Shape } from "./volume-facts.ts";

const SECONDS = NOW / 1_000;
const [first] = (ifKnown(consistentFacts().rds.record) as VolumeRecord).attachments as [
  VolumeRecord["attachments"][number],
];
const [attachment] = ifKnown(consistentFacts().cluster.attachments) as [AttachmentView];
const [pod] = ifKnown(consistentFacts().cluster.pods) as [PodView];

const two: Partial<Shape> = { nodes: ["node-a", "node-b"] };
const migration = { since: SECONDS - 301, timeoutSeconds: 300, by: "c", overdueBy: undefined };
const twoRunning = ifKnown(consistentFacts(two).cluster.machines) ?? [];
const ended = (completed: number) =>
  known(
    twoRunning.map(({ machine, migrations }) => ({
      machine,
      migrations: migrations.map((each) => ({ ...each, phase: "Succeeded", completed })),
    })),
  );

/** States of a volume's nodes, pods and migrations. */
export const NODE_CASES: readonly Case[] = [
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
    what: "an attach that was refused before the volume was adopted",
    ids: [],
    change: { attachment: { attachError: { message: "volume pvc-1 is not adopted: so", time: undefined } } },
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
