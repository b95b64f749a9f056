import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ACCESS_MODES } from "../access-mode.ts";
import { isPrintable } from "../printable.ts";
import { decodeRecord, encodeRecord } from "./record-codec.ts";
import { CONVERSIONS, DEFAULT_SETTINGS, givenConnections, type VolumeRecord } from "./volume-record.ts";

const text = fc
  .string({ unit: "grapheme", maxLength: 60 })
  .filter((value) => value.isWellFormed() && isPrintable(value));
const name = fc
  .string({ unit: "grapheme", maxLength: 60 })
  .filter((value) => value.isWellFormed() && !/\p{Cc}/u.test(value));
/** The last second of the year 9999. */
const LAST = 253_402_300_799;
const time = fc.oneof(fc.integer({ min: 0, max: 2_000_000_000 }), fc.constantFrom(0, LAST));
const connection = {
  ctrlLossTmo: fc.integer({ min: -1, max: 86_400 }),
  reconnectDelay: fc.integer({ min: 1, max: 300 }),
  keepAliveTmo: fc.integer({ min: 1, max: 300 }),
  fastIoFailTmo: fc.integer({ min: -1, max: 86_400 }),
  nrIoQueues: fc.integer({ min: 0, max: 1_024 }),
  queueSize: fc.oneof(fc.constant(0), fc.integer({ min: 16, max: 1_024 })),
};
const attachment = fc.record({
  node: text,
  hostNqn: text,
  accessMode: fc.constantFrom(...ACCESS_MODES),
  accessType: fc.constantFrom("block" as const, "mount" as const),
  readonly: fc.boolean(),
  since: time,
  connection: fc.option(fc.record(connection), { nil: undefined }),
});
const unknownField = fc.tuple(
  fc.stringMatching(/^x[a-z]{1,5}$/),
  fc.stringMatching(/^[A-Za-z0-9._:/@,|%=-]{0,20}$/),
);

const record: fc.Arbitrary<VolumeRecord> = fc
  .record({
    name,
    cluster: text,
    claim: fc.option(fc.record({ namespace: text, name: text }), { nil: undefined }),
    createdAt: time,
    source: fc.option(text, { nil: undefined }),
    layout: fc.constantFrom(undefined, "subvolume" as const),
    wantedBytes: fc.option(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), { nil: undefined }),
    copy: fc.option(
      fc
        .record({
          done: fc.bigInt(0n, 1n << 62n),
          more: fc.bigInt(1n, 1n << 61n),
          sourceCreatedAt: time,
          sourceEpoch: fc.nat(1_000_000),
          line: fc.stringMatching(/^[0-9a-f]{8}$/),
          isBusy: fc.boolean(),
          boot: fc.option(fc.record({ at: time, uptime: fc.nat(1_000_000_000) }), { nil: undefined }),
        })
        .map(({ done, more, boot, ...rest }) => ({
          ...{ done, total: done + more, ...rest },
          ...(boot === undefined ? {} : { boot }),
        })),
      { nil: undefined },
    ),
    conversion: fc.constantFrom(undefined, undefined, ...CONVERSIONS),
    filesystem: fc.constantFrom(undefined, "ext4" as const, "xfs" as const),
    epoch: fc.nat(1_000_000),
    attachments: fc.uniqueArray(attachment, { maxLength: 2, selector: ({ node }) => node }),
    migration: fc.record({
      since: time,
      timeoutSeconds: fc.integer({ min: 0, max: 100_000 }),
      by: text,
      overdueBy: fc.option(
        text.filter((name) => name !== ""),
        { nil: undefined },
      ),
    }),
    ended: fc.array(
      fc.record({
        since: time,
        at: time,
        moved: fc.boolean(),
        overdue: fc.boolean(),
        by: text,
        stayed: fc.option(
          text.filter((name) => name !== ""),
          { nil: undefined },
        ),
      }),
      { maxLength: 3 },
    ),
    reExportSince: fc.option(time, { nil: undefined }),
    exportName: fc.option(
      fc.record({
        nqn: text.filter((nqn) => nqn !== ""),
        port: fc.integer({ min: 1, max: 65_535 }),
        hosts: fc.boolean(),
      }),
      { nil: undefined },
    ),
    invalidations: fc.option(fc.nat(1_000_000), { nil: undefined }),
    settings: fc.record({
      migrationTimeoutSeconds: fc.oneof(fc.integer({ min: 30, max: 3_600 }), fc.constant("auto" as const)),
      migrationGuard: fc.constantFrom("enforce" as const, "warn" as const, "off" as const),
      ...connection,
    }),
    unknown: fc.uniqueArray(unknownField, { selector: ([key]) => key, maxLength: 3 }),
  })
  .map(({ copy, conversion, ...value }) => ({
    ...value,
    migration: value.attachments.length === 2 ? value.migration : undefined,
    ...(value.attachments.length > 0
      ? {}
      : { ...(conversion !== undefined ? { conversion } : copy === undefined ? {} : { copy }) }),
  }));

describe("the volume record", () => {
  test("round-trips, and is printable ASCII without blanks or quotes", () => {
    fc.assert(
      fc.property(record, (value) => {
        const encoded = encodeRecord(value);
        const isWhole = value.copy === undefined && value.conversion === undefined;
        expect(encoded).toMatch(isWhole ? /^rds1;/ : /^rds2;/);
        expect(encoded).toMatch(/^rds[12];[A-Za-z0-9._:/@%,|;=-]*$/);
        expect(decodeRecord(encoded)).toEqual({ kind: "record", record: value });
      }),
      { numRuns: 500 },
    );
  });

  test("reading never throws, whatever a comment holds", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((rest) => `rds1;${rest}`),
        ),
        (comment) => {
          expect(["record", "foreign", "unreadable"]).toContain(decodeRecord(comment).kind);
        },
      ),
    );
  });

  const minimal = "rds1;n=pvc-1;c=prod;t=1700000000";

  test("a new volume's record is short", () => {
    const decoded = decodeRecord(minimal);
    if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
    expect(decoded.record.settings).toEqual(DEFAULT_SETTINGS);
    expect(encodeRecord(decoded.record)).toBe(minimal);
  });

  test("a record of an older driver has the defaults; an older driver keeps what it does not know", () => {
    const older = decodeRecord(`${minimal};cl=600;rd=10`);
    if (older.kind !== "record") throw new Error(JSON.stringify(older));
    expect(older.record.settings).toEqual({ ...DEFAULT_SETTINGS, ctrlLossTmo: 600, reconnectDelay: 10 });
    expect(encodeRecord(older.record)).toBe(`${minimal};cl=600;rd=10`);
    // The keys have to be new ones, or an older driver would take them for something else.
    const settings = { ...DEFAULT_SETTINGS, fastIoFailTmo: 30, nrIoQueues: 4, queueSize: 64 };
    expect(encodeRecord({ ...older.record, settings })).toBe(`${minimal};ff=30;nq=4;qs=64`);
  });

  for (const [comment, reason] of [
    [`${minimal};n=other`, "field n appears twice"],
    ["rds1;n=a;c=b", "field t is missing"],
    [`${minimal};novalue`, 'field "novalue" has no value'],
    [`${minimal};m=1,2,p,`, "0 attachments with a migration"],
    [`${minimal};a=n,q,0,mw,1|o,q,0,mw,1`, "2 attachments without a migration"],
    [`${minimal};a=n,q,0,mw,1;o=0,1,600,5`, "0,1,600,5 has 4 parts instead of 8"],
    [`${minimal};a=n,q,0,mw,1;o=0,1,-2,5,5,-1,0,0`, "cl -2 is outside -1..31536000"],
    [`${minimal};q=nqn.x:y,0,-`, "bad export name nqn.x:y,0,-"],
    [`${minimal};a=n,q,9,mw,1`, "bad attachment n,q,9,mw,1"],
    ["rds1;n=a b;c=x;t=1", '"a b" is not encoded'],
    ["rds1;n=a;c=b;t=999999999999999", "time 999999999999999 is outside 0..253402300799"],
    [`${minimal};a=n,q,0,mw,253402300800`, "time 253402300800 is outside 0..253402300799"],
    [`${minimal};g=999999999999999`, "time 999999999999999 is outside 0..253402300799"],
    [`${minimal};x=1,999999999999999,m-,,p`, "time 999999999999999 is outside 0..253402300799"],
    [
      `${minimal};a=n,q,0,mw,1|o,q,0,mw,1;m=999999999999999,2,p,`,
      "time 999999999999999 is outside 0..253402300799",
    ],
    [`${minimal};e=1000000000`, "epoch 1000000000 is outside 0..999999999"],
    [`${minimal};cl=-2`, "cl -2 is outside -1..31536000"],
    [`${minimal};cl=999999999999999`, "cl 999999999999999 is outside -1..31536000"],
    [`${minimal};rd=0`, "rd 0 is outside 1..3600"],
    [`${minimal};ka=3601`, "ka 3601 is outside 1..3600"],
    [`${minimal};ff=-5`, "ff -5 is outside -1..31536000"],
    [`${minimal};nq=65536`, "nq 65536 is outside 0..65535"],
    [`${minimal};qs=15`, "qs 15 is neither 0 nor in 16..1024"],
    [`${minimal};mt=0`, "mt 0 is outside 1..31536000"],
    ["rds1;n=a%1Bb;c=x;t=1", "n holds control characters"],
    ["rds1;n=a;c=x%E2%80%AE;t=1", '"x\\u{202e}" holds control or format characters'],
    [`${minimal};a=n%C2%9B,q,0,mw,1`, '"n\\u{9b}" holds control or format characters'],
    [`${minimal};v=shop,%0A`, '"\\n" holds control or format characters'],
    ["rds1;n=%FF;c=x;t=1", "%FF is not UTF-8"],
    [`${minimal};zz=a b`, "field zz holds characters that no record has"],
    [`${minimal};zz=a\u0018b`, "field zz holds characters that no record has"],
    [`${minimal};zz="`, "field zz holds characters that no record has"],
    [`${minimal};z\u00e9=1`, "field z\u00e9 holds characters that no record has"],
    ["rds3;whatever", "record version 3 is newer than this driver"],
    ["rds21;whatever", "record version 21 is newer than this driver"],
    ["rds2;n=pvc-1;c=prod;t=1", "field k is missing"],
    ["rds2;n=pvc-1;c=prod;t=1;y=x", '"x" is none of copy, switch, tidy'],
    ["rds2;n=pvc-1;c=prod;t=1;y=copy;a=a,q,0,bw,1", "it is unfinished, and attached"],
    ["rds2;n=pvc-1;c=prod;t=1;k=2,1,1,0,01234567,-", "bad copy 2,1,1,0,01234567,-"],
    ["rds2;n=pvc-1;c=prod;t=1;k=0,1,1,0,xyz,b", "bad copy 0,1,1,0,xyz,b"],
    ["rds2;n=pvc-1;c=prod;t=1;k=0,1,1,0,01234567,-,5", "0,1,1,0,01234567,-,5 has 7 parts instead of 8"],
    ["rds2;n=pvc-1;c=prod;t=1;k=0,1,1,0,01234567,-,5,x", '"x" is not a number'],
    ["rds2;n=pvc-1;c=prod;t=1;k=0,1,1,0,01234567,-;a=a,q,0,bw,1", "it is unfinished, and attached"],
  ] as const) {
    test(`${comment} is unreadable: ${reason}`, () => {
      expect(decodeRecord(comment)).toEqual({ kind: "unreadable", reason });
    });
  }

  test("settings that a node was given go with its attachment, also if an older driver has left them there", () => {
    const given = `${minimal};a=n,q,0,mw,7;o=0,7,600,5,5,20,0,0`;
    const decoded = decodeRecord(given);
    if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
    expect(givenConnections(decoded.record)).toEqual([
      {
        ctrlLossTmo: 600,
        reconnectDelay: 5,
        keepAliveTmo: 5,
        fastIoFailTmo: 20,
        nrIoQueues: 0,
        queueSize: 0,
      },
    ]);
    expect(encodeRecord(decoded.record)).toBe(given);
    expect(encodeRecord({ ...decoded.record, attachments: [] })).toBe(minimal);
    // Another attachment, or none.
    for (const [left, rest] of [
      [`${minimal};a=n,q,0,mw,8;o=0,7,600,5,5,20,0,0`, `${minimal};a=n,q,0,mw,8`],
      [`${minimal};o=0,7,600,5,5,20,0,0`, minimal],
    ] as const) {
      const after = decodeRecord(left);
      if (after.kind !== "record") throw new Error(JSON.stringify(after));
      expect(encodeRecord(after.record)).toBe(rest);
    }
  });

  test("a record that names one node twice is unreadable", () => {
    expect(decodeRecord(`${minimal};a=n,q,0,mw,1|n,p,0,mw,2;m=1,2,p,`)).toEqual({
      kind: "unreadable",
      reason: "node n is attached twice",
    });
  });

  test("a reason is short and without active characters, whatever the comment holds", () => {
    for (const junk of ["\u001b[2J".repeat(2_000), "\u202e\u2028".repeat(2_000)]) {
      for (const comment of [
        `rds1;${junk}`,
        `${minimal};a=${junk}`,
        `rds1;n=${junk};c=b;t=1`,
        `${minimal};x=${junk}`,
      ]) {
        const decoded = decodeRecord(comment);
        if (decoded.kind !== "unreadable") throw new Error(JSON.stringify(decoded));
        expect(isPrintable(decoded.reason)).toBe(true);
        expect(decoded.reason.length).toBeLessThanOrEqual(200);
      }
    }
  });

  test("nothing is written that could not be read", () => {
    const decoded = decodeRecord(minimal);
    if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
    const good = decoded.record;
    for (const bad of [
      { createdAt: LAST + 1 },
      { createdAt: 1.5 },
      { createdAt: Number.NaN },
      { epoch: 1_000_000_000 },
      { name: "a\u0000" },
      { invalidations: 10 ** 15 },
      { settings: { ...DEFAULT_SETTINGS, reconnectDelay: 0 } },
    ]) {
      expect(() => encodeRecord({ ...good, ...bad })).toThrow("could not be read");
    }
  });

  test("other comments are foreign", () => {
    for (const comment of ["", "my backup disk", "rdsx;n=1", "RDS1;n=1"]) {
      expect(decodeRecord(comment)).toEqual({ kind: "foreign" });
    }
  });
});
