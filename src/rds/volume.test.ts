import { describe, expect, test } from "bun:test";
import { encodeRecord } from "../domain/record/record-codec.ts";
import type { Disk } from "./disk.ts";
import { DISK, ID, RECORD } from "./rds.fixture.ts";
import {
  classify,
  type ForeignCause,
  mayHoldRecord,
  ownVolume,
  requireVolume,
  volumeToDetach,
  writtenVolume,
} from "./volume.ts";

const UID = "0f0f0f0f-1111-2222-3333-444444444444";
const see = (over: Partial<Disk>, cluster: string | undefined = "test") =>
  classify({ ...DISK, ...over }, cluster);
const EARLIER = "pvc-0b2c6a3e-6f0e-4a5b-9a43-2f1f0c8f7d11" as typeof ID;
/** The item of a volume as the earlier Go driver makes it. */
const EARLIER_DISK = {
  slot: EARLIER,
  filePath: `storage-pool/kubernetes-volumes/${EARLIER}.img`,
  comment: "",
  exported: true,
  nqn: `nqn.2000-02.com.mikrotik:${EARLIER}`,
};
const ofCluster = (cluster: string) => ({ comment: encodeRecord({ ...RECORD, cluster }) });
const FOREIGN = {
  "other-cluster": see(ofCluster("other")),
  "former-id": see(ofCluster("default"), UID),
  unreadable: see({ comment: "rds1;n=x" }),
  "no-record": see({ comment: "" }),
  "earlier-driver": see(EARLIER_DISK),
  misplaced: see({ type: "tmpfs" }),
} as const satisfies Record<ForeignCause, unknown>;
const causes = Object.keys(FOREIGN) as ForeignCause[];
const outcome = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (error) {
    return (error as { readonly id: string }).id;
  }
};

describe("a disk item", () => {
  test("of ours is the volume with its record and the item as read", () => {
    expect(see({})).toEqual({
      kind: "volume",
      volume: { id: ID, record: expect.objectContaining(RECORD), disk: DISK },
    });
  });

  test("of any installation is ours where no cluster id is known", () => {
    expect(classify({ ...DISK, ...ofCluster("other") }, undefined)?.kind).toBe("volume");
  });

  test("that is foreign has its cause and a reason for people", () => {
    const seen = causes.map((cause) => {
      const found = FOREIGN[cause];
      return found?.kind === "foreign" ? [found.foreign.cause, found.foreign.id, found.foreign.reason] : [];
    });
    expect(seen).toEqual([
      ["other-cluster", ID, "it belongs to cluster other"],
      [
        "former-id",
        ID,
        `it belongs to cluster default, and this one is ${UID}; if this installation made it, set cluster-id: default for controller and nodes`,
      ],
      ["unreadable", ID, "its record cannot be read: field c is missing"],
      ["no-record", ID, "its comment holds no record of this driver"],
      ["earlier-driver", EARLIER, "the earlier driver made it, and it has no record yet"],
      ["misplaced", ID, "it is of type tmpfs, not a file"],
    ]);
  });

  test("of cluster default is another's, unless this one has the UID of its cluster as id", () => {
    const cause = (cluster: string, own: string) => {
      const found = see(ofCluster(cluster), own);
      return found?.kind === "foreign" ? found.foreign.cause : found?.kind;
    };
    expect(cause("default", UID)).toBe("former-id");
    expect(cause("default", "test")).toBe("other-cluster");
    expect(cause("other", UID)).toBe("other-cluster");
    expect(cause("default", "default")).toBe("volume");
  });

  test("of another type is shown with it, and with `unknown` while it has none", () => {
    const found = see({ type: "" });
    expect(found?.kind === "foreign" && found.foreign.reason).toBe("it is of type unknown, not a file");
  });

  test("that may hold a record of who has it is one with an unreadable one, or one of the former id", () => {
    const held = causes.filter((cause) => {
      const found = FOREIGN[cause];
      return found?.kind === "foreign" && mayHoldRecord(found.foreign);
    });
    expect(held).toEqual(["former-id", "unreadable"]);
  });
});

test.each<[string, typeof ownVolume, Readonly<Record<ForeignCause | "absent", unknown>>]>([
  [
    "a deletion",
    ownVolume,
    {
      "other-cluster": undefined,
      "former-id": "recordUnusable",
      unreadable: "recordUnusable",
      "no-record": "foreignDisk",
      "earlier-driver": "volumeNotAdopted",
      misplaced: "foreignDisk",
      absent: undefined,
    },
  ],
  [
    "a call that needs it",
    (found) => requireVolume(ID, found),
    {
      "other-cluster": "volumeNotFound",
      "former-id": "recordUnusable",
      unreadable: "recordUnusable",
      "no-record": "foreignDisk",
      "earlier-driver": "volumeNotAdopted",
      misplaced: "foreignDisk",
      absent: "volumeNotFound",
    },
  ],
  [
    "a detach",
    volumeToDetach,
    {
      "other-cluster": undefined,
      "former-id": "recordUnusable",
      unreadable: "recordUnusable",
      "no-record": undefined,
      "earlier-driver": "volumeNotAdopted",
      misplaced: undefined,
      absent: undefined,
    },
  ],
])("for %s a disk item without a usable record of ours is absent or an error", (_, call, expected) => {
  const seen = { ...FOREIGN, absent: undefined };
  const outcomes = Object.entries(seen).map(([cause, found]) => [cause, outcome(() => call(found))]);
  expect(Object.fromEntries(outcomes)).toEqual(expected as never);
  const ours = see({});
  expect(call(ours)).toEqual(ours?.kind === "volume" ? ours.volume : undefined);
});

test("a file that is not named after its volume is misplaced", () => {
  const found = see({ filePath: "storage-pool/csi/other.img" });
  expect(found?.kind === "foreign" && found.foreign.cause).toBe("misplaced");
});

test("a detach from an exported disk without a record of ours is refused", () => {
  expect(outcome(() => volumeToDetach(see({ comment: "", exported: true })))).toBe("foreignDisk");
});

test("a written record that cannot be read back is not verified", () => {
  expect(writtenVolume(DISK, "test", "w").id).toBe(ID);
  for (const disk of [
    { ...DISK, comment: "" },
    { ...DISK, slot: "raid10" },
  ])
    expect(outcome(() => writtenVolume(disk, "test", "w"))).toBe("notVerified");
  expect(() => writtenVolume({ ...DISK, comment: "" }, "test", "writing it")).toThrow("writing it");
});

describe("a volume of the earlier driver", () => {
  const record = { ...RECORD, attachments: [] };
  const causeOf = (over: Partial<Disk>) => {
    const found = see({ ...EARLIER_DISK, comment: encodeRecord(record), ...over });
    return found?.kind === "foreign" ? found.foreign.cause : found?.kind;
  };

  test("that nobody can have is detached, also without a record", () => {
    expect(volumeToDetach(see({ ...EARLIER_DISK, exported: false }))).toBeUndefined();
  });

  test("is misplaced, or has no record, where its file or its slot are others", () => {
    expect(causeOf({ comment: "", filePath: "storage-pool/x.img" })).toBe("no-record");
    expect(causeOf({ filePath: "storage-pool/x.img" })).toBe("misplaced");
  });

  test("is to be adopted again once it is exported under the plain name and its record attaches no node", () => {
    expect(causeOf({})).toBe("earlier-driver");
    expect(see({ ...EARLIER_DISK, comment: encodeRecord(record) })).toMatchObject({
      foreign: {
        reason: expect.stringContaining(`attaches no node, and it is exported as ${EARLIER_DISK.nqn}`),
      },
    });
    expect(causeOf({ exported: false })).toBe("volume");
    expect(causeOf({ nqn: `${EARLIER_DISK.nqn}.7-0011aabb` })).toBe("volume");
    const node = { node: "a", hostNqn: "nqn.2014-08.org.nvmexpress:uuid:a", since: 1, readonly: false };
    const attached = { ...node, accessMode: "SINGLE_NODE_WRITER", accessType: "block" } as const;
    expect(causeOf({ comment: encodeRecord({ ...record, attachments: [attached] }) })).toBe("volume");
  });

  test("is no model for ours: one of ours that is exported under its plain name stays a volume", () => {
    expect(see({ exported: true, nqn: `nqn.2000-02.com.mikrotik:${ID}` })?.kind).toBe("volume");
  });
});
