import { describe, expect, test } from "bun:test";
import { encodeRecord, RECORD_LIMIT, REVISION_ROOM } from "../domain/record/record-codec.ts";
import type { Attachment, ExportState, VolumeRecord } from "../domain/record/volume-record.ts";
import { inBackground } from "../observability/request-scope.ts";
import type { Disk } from "./disk.ts";
import { ATTACHED, DISK, ID, PATH, RECORD } from "./rds.fixture.ts";
import { NONCE, type Scripted, scripted } from "./scripted.fixture.ts";
import type { RdsVolume } from "./volume.ts";
import { type WritePurpose, writeRecord } from "./write-record.ts";

const { signal } = new AbortController();
const NQN = `nqn.2000-02.com.mikrotik:${ID}.1-${NONCE}`;
const PVC = { namespace: "ns", name: "pvc" };
const NAME = { nqn: NQN, port: 4420, hosts: false };
const [FIRST] = ATTACHED.attachments as [Attachment];
const STANDING: VolumeRecord = { ...ATTACHED, exportName: NAME };
const TWO: VolumeRecord = {
  ...STANDING,
  migration: { since: 3, timeoutSeconds: 300, by: "c", overdueBy: undefined },
  attachments: [FIRST, { ...FIRST, node: "node-b", hostNqn: "nqn.other" }],
};

const volumeWith = (record: VolumeRecord, over: Partial<Disk> = {}): RdsVolume => ({
  id: ID,
  record,
  disk: { ...DISK, comment: encodeRecord(record), ...over },
});
const EXPORTED = { exported: true, nqn: NQN, port: 4420 };
const RUNNING = volumeWith(STANDING, EXPORTED);
const STOPPED = volumeWith(STANDING, { ...EXPORTED, exported: false });
const LISTED: VolumeRecord = { ...STANDING, exportName: { ...NAME, hosts: true } };

/** A row of the item, exported as `STANDING` says unless `over` says otherwise. */
const rowWith = (comment: string, over: object = {}) => ({
  slot: ID,
  type: "file",
  "file-path": `/${PATH}`,
  size: 1_073_741_824,
  comment,
  "nvme-tcp-export": true,
  "nvme-tcp-server-nqn": NQN,
  "nvme-tcp-server-port": 4420,
  ...over,
});
const row = (record: VolumeRecord, over: object = {}) => rowWith(encodeRecord(record), over);

/** The statements of each command, without those that read back. */
const statements = (rds: Scripted): readonly string[] =>
  rds.sent().map(({ line }) => /in=\{ (.*?)(?:; )?:put \(/.exec(line)?.[1]?.trim() ?? line);

const found = (record: VolumeRecord, more = ""): string =>
  `[/disk/find where slot="${ID}" and comment="${encodeRecord(record)}"${more}]`;
const named = ` and nvme-tcp-server-nqn="${NQN}"`;
const fullName = `mount-filesystem=no nvme-tcp-server-port=4420 nvme-tcp-server-nqn="${NQN}"`;
const comment = (record: VolumeRecord): string => `comment="${encodeRecord(record)}"`;

interface Case {
  readonly title: string;
  readonly volume: RdsVolume;
  readonly record: VolumeRecord;
  readonly state: ExportState;
  readonly rows: readonly object[];
  /** Statements of the commands that change something. */
  readonly sent: readonly string[];
}

const CASES: readonly Case[] = [
  {
    title: "`leave` sets the comment alone, and a stopped export is none of its business",
    ...{ volume: STOPPED, record: { ...STANDING, claim: PVC }, state: "leave" },
    rows: [row({ ...STANDING, claim: PVC }, { "nvme-tcp-export": false })],
    sent: [`/disk/set ${found(STANDING)} ${comment({ ...STANDING, claim: PVC })}`],
  },
  {
    title: "the last attachment goes with the export, in one command",
    ...{ volume: RUNNING, record: RECORD, state: "keep" },
    rows: [row(RECORD, { "nvme-tcp-export": false })],
    sent: [`/disk/set ${found(STANDING)} ${comment(RECORD)} nvme-tcp-export=no`],
  },
  {
    title: "an export that did not go off goes off in a second command",
    ...{ volume: RUNNING, record: RECORD, state: "keep" },
    rows: [row(RECORD), row(RECORD, { "nvme-tcp-export": false })],
    sent: [
      `/disk/set ${found(STANDING)} ${comment(RECORD)} nvme-tcp-export=no`,
      `/disk/set ${found(RECORD)} nvme-tcp-export=no`,
    ],
  },
  {
    title: "a fresh attach claims the volume with the export off, and switches it on in a second command",
    ...{ volume: volumeWith(RECORD), record: ATTACHED, state: "fresh" },
    rows: [row(STANDING, { "nvme-tcp-export": false }), row(STANDING)],
    sent: [
      `/disk/set ${found(RECORD)} ${comment(STANDING)} nvme-tcp-export=no ${fullName}`,
      `/disk/set ${found(STANDING, named)} mount-filesystem=no nvme-tcp-export=yes`,
    ],
  },
  {
    title: "a fresh attach clears a list of hosts, and once more if it is still there",
    ...{ volume: volumeWith(RECORD, { allowHost: "nqn.x" }), record: ATTACHED, state: "fresh" },
    rows: [
      row(STANDING, { "nvme-tcp-export": false, "nvme-tcp-server-allow-host-name": "nqn.x" }),
      row(STANDING),
    ],
    sent: [
      `/disk/set ${found(RECORD)} ${comment(STANDING)} nvme-tcp-export=no ${fullName} nvme-tcp-server-allow-host-name=""`,
      `/disk/set ${found(STANDING, named)} mount-filesystem=no nvme-tcp-export=yes nvme-tcp-server-allow-host-name=""`,
    ],
  },
  {
    title: "a second node joins a running export: the comment alone, confirmed by a read",
    ...{ volume: RUNNING, record: TWO, state: "keep" },
    rows: [row(TWO), row(TWO)],
    sent: [`/disk/set ${found(STANDING)} ${comment(TWO)}`],
  },
  {
    title: "a running export whose list locks a host out: the list too",
    ...{
      volume: volumeWith(STANDING, { ...EXPORTED, allowHost: "nqn.h" }),
      record: TWO,
      state: "keep",
    },
    rows: [row(TWO), row(TWO)],
    sent: [`/disk/set ${found(STANDING)} ${comment(TWO)} nvme-tcp-server-allow-host-name=""`],
  },
  {
    title: "an export of the right name that is off is switched on by the command that writes the record",
    ...{ volume: STOPPED, record: STANDING, state: "keep" },
    rows: [row(STANDING)],
    sent: [
      `/disk/set ${found(STANDING, named)} ${comment(STANDING)} mount-filesystem=no nvme-tcp-export=yes`,
    ],
  },
  {
    title: "a foreign list that lets the attached host in stays, also where the export has to be switched on",
    ...{
      volume: volumeWith(STANDING, { ...EXPORTED, allowHost: "nqn.h" }),
      record: STANDING,
      state: "keep",
    },
    rows: [
      row(STANDING, { "nvme-tcp-export": false, "nvme-tcp-server-allow-host-name": "nqn.h" }),
      row(STANDING, { "nvme-tcp-server-allow-host-name": "nqn.h" }),
    ],
    sent: [
      `/disk/set ${found(STANDING)} ${comment(STANDING)}`,
      `/disk/set ${found(STANDING, named)} mount-filesystem=no nvme-tcp-export=yes`,
    ],
  },
  {
    title: "an item without the list that its record wants gets it",
    ...{
      volume: volumeWith(LISTED, { ...EXPORTED, exported: false }),
      record: LISTED,
      state: "keep",
    },
    rows: [row(LISTED, { "nvme-tcp-server-allow-host-name": "nqn.h" })],
    sent: [
      `/disk/set ${found(LISTED, named)} ${comment(LISTED)} mount-filesystem=no nvme-tcp-export=yes nvme-tcp-server-allow-host-name="nqn.h"`,
    ],
  },
  {
    title: "an export of another name goes off under that name, and on under the record's after a pause",
    ...{ volume: volumeWith(STANDING, { ...EXPORTED, port: 4421 }), record: STANDING, state: "keep" },
    rows: [row(STANDING, { "nvme-tcp-server-port": 4421 }), row(STANDING)],
    sent: [
      `/disk/set ${found(STANDING)} ${comment(STANDING)}`,
      `/disk/set ${found(STANDING)} nvme-tcp-export=no ${fullName}; :delay 3000ms; /disk/set ${found(STANDING, named)} nvme-tcp-export=yes`,
    ],
  },
  {
    title: "one that is off, of another name, is not switched on with the record",
    ...{
      volume: volumeWith(STANDING, { exported: false, nqn: "nqn.x", port: 4420 }),
      record: STANDING,
      state: "keep",
    },
    rows: [row(STANDING, { "nvme-tcp-export": false, "nvme-tcp-server-nqn": "nqn.x" }), row(STANDING)],
    sent: [
      `/disk/set ${found(STANDING)} ${comment(STANDING)}`,
      `/disk/set ${found(STANDING)} nvme-tcp-export=no ${fullName}; :delay 3000ms; /disk/set ${found(STANDING, named)} nvme-tcp-export=yes`,
    ],
  },
];

describe("the commands of a write", () => {
  for (const { title, volume, record, state, rows, sent } of CASES) {
    test(title, async () => {
      const rds = scripted(rows.map((each) => [each]));
      const result = await writeRecord(rds, volume, record, state, signal);
      expect(result).toMatchObject({ kind: "written", volume: { id: ID } });
      expect(statements(rds).filter((each) => each.includes("/disk/set"))).toEqual([...sent]);
    });
  }

  test("only a second node is confirmed by a further read", async () => {
    const asked = async (volume: RdsVolume, record: VolumeRecord): Promise<number> => {
      const rds = scripted([[row(record)]]);
      await writeRecord(rds, volume, record, "keep", signal);
      return rds.asked();
    };
    expect(await asked(RUNNING, TWO)).toBe(2);
    expect(await asked(RUNNING, { ...STANDING, claim: PVC })).toBe(1);
    expect(await asked(volumeWith(TWO, EXPORTED), STANDING)).toBe(1);
  });

  test("they are of the caller's purpose, and of a change in the background; the reads that confirm are in the lane of an attach, or of other reads", async () => {
    const lanes = async (run: (work: () => Promise<unknown>) => Promise<unknown>, given?: WritePurpose) => {
      const rds = scripted([[row(TWO)], [row(TWO, { "nvme-tcp-export": false })], [row(TWO)]]);
      await run(() => writeRecord(rds, RUNNING, TWO, "keep", signal, () => {}, given));
      return rds.sent().map(({ purpose, lane }) => `${purpose} in ${lane}`);
    };
    const atOnce = (work: () => Promise<unknown>) => work();
    const read = "read in read";
    const attach = ["attach in attach", "read in attach", "read in attach"];
    expect(await lanes(atOnce)).toEqual(attach);
    expect(await lanes(atOnce, "change")).toEqual(["change in change", read, read]);
    expect(await lanes((work) => inBackground("repair", work), "attach")).toEqual([
      "change in change",
      read,
      read,
    ]);
  });
});

describe("the results of a write", () => {
  test("a volume that the RDS may mount is written like any other", async () => {
    const rds = scripted([[row(STANDING, { "mount-filesystem": true })]]);
    expect(await writeRecord(rds, RUNNING, STANDING, "leave", signal)).toMatchObject({ kind: "written" });
  });

  const CLAIMED = row(STANDING, { "nvme-tcp-export": false });
  const OTHER = row({ ...STANDING, claim: { ...PVC, name: "other" } });
  const attach = (rds: Scripted, claimed?: (volume: RdsVolume) => void) =>
    writeRecord(rds, volumeWith(RECORD), ATTACHED, "fresh", signal, claimed);

  test("the caller is told of the claim before the second command, and of nothing else", async () => {
    const told: [number, RdsVolume][] = [];
    const rds = scripted([[CLAIMED], [row(STANDING)]]);
    await attach(rds, (volume) => told.push([rds.asked(), volume]));
    expect(told).toMatchObject([[1, { id: ID, record: { epoch: 1 }, disk: { exported: false } }]]);
    const never = () => expect.unreachable();
    expect(await attach(scripted([[OTHER]]), never)).toEqual({ kind: "conflict" });
    expect(await attach(scripted([[]]), never)).toEqual({ kind: "absent" });
  });

  test("a row of another cluster is no claim, though its comment is the one that was written", async () => {
    const foreign = { ...ATTACHED, cluster: "other" };
    const claimed = () => expect.unreachable();
    const rds = scripted([[row({ ...STANDING, cluster: "other" })]]);
    await expect(
      writeRecord(rds, volumeWith({ ...RECORD, cluster: "other" }), foreign, "fresh", signal, claimed),
    ).rejects.toMatchObject({ id: "notVerified" });
  });

  test("a record that somebody else changes after the claim is a conflict, and one that is gone is absent", async () => {
    expect(await attach(scripted([[CLAIMED], [OTHER]]))).toEqual({ kind: "conflict" });
    expect(await attach(scripted([[CLAIMED], []]))).toEqual({ kind: "absent" });
    // So it is while the export is waited for.
    const otherOff = { ...OTHER, "nvme-tcp-export": false };
    const polled = scripted([[CLAIMED], [CLAIMED], [otherOff]]);
    expect(await attach(polled)).toEqual({ kind: "conflict" });
    expect(polled.asked()).toBe(3);
    expect(await attach(scripted([[CLAIMED], [CLAIMED], []]))).toEqual({ kind: "absent" });
  });

  test("the same record again is written, not a record that did not change", async () => {
    const same = await writeRecord(scripted([[row(STANDING)]]), RUNNING, STANDING, "keep", signal);
    expect(same.kind).toBe("written");
  });

  test("errors name the volume, the step and the item as it stands", async () => {
    const told = async (rows: readonly object[][], volume: RdsVolume, record: VolumeRecord) =>
      await writeRecord(scripted(rows), volume, record, "keep", signal).then(
        () => "",
        (error: Error) => error.message,
      );
    expect(await told([[row(STANDING)]], RUNNING, TWO)).toContain(`write the record of volume ${ID}`);
    expect(await told([[row(STANDING)]], RUNNING, TWO)).toContain("the record did not change");
    const off = row(STANDING, {
      ...{ "nvme-tcp-export": false, "nvme-tcp-server-nqn": "", "nvme-tcp-server-port": undefined },
    });
    expect(await told([[off]], RUNNING, STANDING)).toContain("nvme-tcp-export=no nqn=none port=none");
    const elsewhere = row(STANDING, { "nvme-tcp-server-nqn": "nqn.x" });
    expect(await told([[elsewhere]], RUNNING, STANDING)).toStartWith(`exporting volume ${ID} was sent`);
    expect(await told([[elsewhere]], RUNNING, STANDING)).toContain("nvme-tcp-export=yes nqn=nqn.x port=4420");
    await expect(
      writeRecord(scripted(["failure: no"]), RUNNING, STANDING, "keep", signal),
    ).rejects.toMatchObject({ id: "commandRejected" });
  });
});

describe("the room for later revisions", () => {
  /** A record with this many bytes free below the limit. */
  const withFree = (record: VolumeRecord, free: number): VolumeRecord => {
    const padded = (length: number) => ({ ...record, unknown: [["zz", "x".repeat(length)] as const] });
    const at = RECORD_LIMIT - free - encodeRecord(padded(0)).length;
    expect(encodeRecord(padded(at))).toHaveLength(RECORD_LIMIT - free);
    return padded(at);
  };
  const fits = async (volume: RdsVolume, record: VolumeRecord): Promise<string> =>
    await writeRecord(scripted([[row(record)]]), volume, record, "keep", signal).then(
      ({ kind }) => kind,
      (error: { id: string }) => error.id,
    );

  test("an attachment leaves room, to the byte; any other change may fill the record", async () => {
    expect(await fits(RUNNING, withFree(TWO, REVISION_ROOM))).toBe("written");
    expect(await fits(RUNNING, withFree(TWO, REVISION_ROOM - 1))).toBe("recordTooLarge");
    expect(await fits(RUNNING, withFree(STANDING, 0))).toBe("written");
    expect(await fits(volumeWith(TWO, EXPORTED), withFree(STANDING, 0))).toBe("written");
  });
});
