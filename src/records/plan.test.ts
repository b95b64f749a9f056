import { describe, expect, test } from "bun:test";
import type { ClusterView } from "../controller/drift.ts";
import { looksUnasked } from "../controller/left-behind.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { AttachmentView, PersistentVolumeView } from "../kubernetes/port.ts";
import { exportIsRight } from "../rds/export.ts";
import { nqnOf } from "../rds/layout.ts";
import { epochOfNqn, highestEpoch, unusedEpoch } from "./epochs.ts";
import { planRebuild, planRestore } from "./plan.ts";
import type { PlanFacts } from "./rebuild.ts";

const NAME = "pvc-0a1b2c3d-0000-4000-8000-000000000001";
const ID = volumeIdFromName(NAME);
const PREFIX = "nqn.2000-02.com.mikrotik";
const NOW = 1_795_300_000;
const SETTINGS = { nqnPrefix: PREFIX, nvmePort: 4420, fencing: "epoch" } as const;

const pv: PersistentVolumeView = {
  name: NAME,
  handle: ID,
  claim: { namespace: "vms", name: "disk", uid: "u" },
  storageClass: "rds",
  accessModes: ["ReadWriteMany"],
  volumeMode: "Block",
  phase: "Bound",
  deleting: false,
  capacityBytes: undefined,
  reclaimPolicy: "Delete",
  createdAt: 1_700_000_000_000,
};
const va = (node: string, epoch: number, over: Partial<AttachmentView> = {}): AttachmentView => ({
  name: `csi-${node}`,
  node,
  pvName: NAME,
  attached: true,
  deleting: false,
  metadata: { nqn: nqnOf(PREFIX, ID, epoch) },
  attachError: undefined,
  detachError: undefined,
  ...over,
});
function facts(epoch: number, over: Partial<PlanFacts> = {}): PlanFacts {
  const disk = {
    slot: ID,
    type: "file",
    comment: "",
    filePath: `storage-pool/csi/${ID}.img`,
    size: 1n << 20n,
    exported: true,
    nqn: nqnOf(PREFIX, ID, epoch),
    port: 4420,
    allowHost: "",
  } as unknown as PlanFacts["disk"];
  return {
    handle: ID,
    disk,
    clusterId: "test",
    now: NOW,
    copy: undefined,
    pvs: [pv],
    attachments: [],
    storageClass: undefined,
    exportIsRight: (volume) => exportIsRight({ ...SETTINGS } as never, volume),
    ...over,
  };
}
function reasonOf(plan: () => unknown): string {
  try {
    plan();
    return "planned";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return error.summary.replace(`the record of volume ${ID} is left as it is: `, "");
  }
}

describe("a rebuilt record", () => {
  test("two nodes are a migration under the epoch of the export, with the class's time limit", () => {
    const storageClass = {
      name: "rds",
      provisioner: "rds.csi.srvlab.io",
      reclaimPolicy: "Delete",
      parameters: { migrationTimeoutSeconds: "900", pool: "other" },
    };
    const { record, comment } = planRebuild(
      facts(7, { storageClass, attachments: [va("node-a", 7), va("node-b", 7)] }),
    );
    expect(record).toMatchObject({
      name: NAME,
      cluster: "test",
      claim: { namespace: "vms", name: "disk" },
      createdAt: 1_700_000_000,
      epoch: 7,
      migration: { since: NOW, timeoutSeconds: 900 },
    });
    expect(record.attachments.map(({ node, hostNqn, accessMode }) => [node, hostNqn, accessMode])).toEqual(
      ["node-a", "node-b"].map((node) => [
        node,
        hostIdentity("test", node).hostNqn,
        "MULTI_NODE_MULTI_WRITER",
      ]),
    );
    expect(decodeRecord(comment)).toEqual({
      kind: "record",
      record: { ...record, reExportSince: undefined },
    });
  });

  test("a node that is being detached still has it; one whose attachment has not succeeded does not", () => {
    const { record } = planRebuild(
      facts(7, {
        attachments: [
          va("node-a", 7, { attached: false, deleting: true, metadata: {} }),
          va("node-b", 7, { attached: false, metadata: {} }),
        ],
      }),
    );
    expect(record.attachments.map(({ node }) => node)).toEqual(["node-a"]);
  });

  for (const [accessModes, mode] of [
    [["ReadWriteOnce"], "SINGLE_NODE_MULTI_WRITER"],
    [["ReadWriteOncePod"], "SINGLE_NODE_SINGLE_WRITER"],
    [["ReadWriteMany"], "MULTI_NODE_MULTI_WRITER"],
  ] as const) {
    test(`${accessModes.join()} is attached as ${mode}, as the sidecars do it`, () => {
      const { record } = planRebuild(
        facts(7, { pvs: [{ ...pv, accessModes }], attachments: [va("node-a", 7)] }),
      );
      expect(record.attachments[0]?.accessMode).toBe(mode);
    });
  }

  test("is refused where something is not known for sure", () => {
    const attachments = [va("node-a", 7)];
    const refused: [Partial<PlanFacts>, string][] = [
      [{ attachments: ["a", "b", "c"].map((node) => va(node, 7)) }, "there are 3 VolumeAttachments"],
      [
        { attachments, pvs: [{ ...pv, accessModes: ["ReadWriteOnce", "ReadWriteMany"] }] },
        "so that the mode",
      ],
      [{ pvs: [{ ...pv, name: "made-by-hand" }] }, "its CSI name is not known"],
      [{ attachments: [va("node-a", 6)] }, `node-a was told NQN ${nqnOf(PREFIX, ID, 6)}`],
      [
        { attachments: [va("node-a", 7), va("node-b", 8, { attached: false })] },
        "the item has the NQN of epoch 7, and epoch 8",
      ],
      [{ attachments, disk: { ...facts(7).disk, port: undefined } }, "NQN nqn."],
    ];
    for (const [over, reason] of refused)
      expect(reasonOf(() => planRebuild(facts(7, over)))).toContain(reason);
  });
});

describe("a restored record", () => {
  const copy = (comment: string, epoch: number) => ({ comment, seen: "2026-01-01T00:00:00Z", epoch });

  test("of another cluster is refused", () => {
    expect(reasonOf(() => planRestore(facts(1, { copy: copy(`rds1;n=${NAME};c=other;t=1`, 0) })))).toBe(
      "the copy is of cluster other, this one is test",
    );
  });

  test("of another volume is refused, and a rebuild goes by the PersistentVolume instead", () => {
    const other = copy("rds1;n=pvc-another;c=test;t=1", 0);
    expect(reasonOf(() => planRestore(facts(1, { copy: other })))).toBe(
      'the copy is that of the volume named "pvc-another"; --rebuild goes by the PersistentVolume',
    );
    expect(planRebuild(facts(1, { copy: other })).record.name).toBe(NAME);
  });

  test("never looks like that of a volume which nobody asked for: a person may have made the item anew on a file with data", () => {
    const uid = "2b7e1c58-6a4d-4f0e-9c31-8d5f0a6b7c92";
    const comment = `rds1;n=${NAME};c=${uid};v=vms,disk;t=1`;
    const disk = { ...facts(1).disk, nqn: "", exported: false };
    const view = { persistentVolumes: [] } as unknown as ClusterView;
    const decoded = decodeRecord(comment);
    if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
    expect(looksUnasked({ id: ID, record: decoded.record, disk }, view)).toBe(true);
    const put = facts(1, { disk, clusterId: uid, copy: copy(comment, 0) });
    for (const plan of [planRestore, planRebuild]) {
      const { record } = plan(put);
      expect(record).toEqual({ ...decoded.record, epoch: Math.floor(NOW / 10) });
      expect(looksUnasked({ id: ID, record, disk }, view)).toBe(false);
    }
  });

  test("is above every epoch of which there is a trace: the copy's highest, the damaged comment, what nodes were told", () => {
    const comment = `rds1;n=${NAME};c=test;t=1;e=3`;
    for (const over of [
      { copy: copy(comment, 9) },
      { copy: copy(comment, 3), disk: { ...facts(3).disk, comment: "rds1;e=9;n" } },
      { copy: copy(comment, 3), attachments: [va("node-a", 9, { attached: false })] },
      { copy: copy(comment, 3), disk: { ...facts(3).disk, nqn: nqnOf(PREFIX, ID, 9) } },
    ])
      expect(planRestore(facts(3, over)).record.epoch).toBe(10);
  });
});

describe("epochs", () => {
  test("are read from NQNs of the volume under any prefix, and from no others", () => {
    expect(epochOfNqn(`nqn.2026-01.org.example:x:${ID}.12`, ID)).toBe(12);
    for (const nqn of ["", `${PREFIX}:${ID}`, `${PREFIX}:${volumeIdFromName("b")}.3`, `${PREFIX}:${ID}.x`])
      expect(epochOfNqn(nqn, ID)).toBeUndefined();
  });

  test("without the NQN of the last export an unused one is above any number of attachments", () => {
    const traces = { handle: ID, comment: "", nqns: [], copy: undefined };
    expect(highestEpoch(traces)).toBe(0);
    expect(unusedEpoch(traces, "", NOW)).toBe(Math.floor(NOW / 10));
    expect(unusedEpoch({ ...traces, nqns: [nqnOf(PREFIX, ID, 4)] }, nqnOf(PREFIX, ID, 4), NOW)).toBe(5);
  });
});
