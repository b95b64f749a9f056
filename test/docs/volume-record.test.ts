import { describe, expect, test } from "bun:test";
import { ACCESS_MODES } from "../../src/domain/access-mode.ts";
import { hostIdentity } from "../../src/domain/host-identity.ts";
import { decodeRecord, encodeRecord, RECORD_LIMIT } from "../../src/domain/record/record-codec.ts";
import { connectionOf, DEFAULT_SETTINGS, type VolumeRecord } from "../../src/domain/record/volume-record.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const document = page("docs/volume-record.md");

function record(comment: string): VolumeRecord {
  const decoded = decodeRecord(comment);
  if (decoded.kind !== "record") throw new Error(`${comment}: ${JSON.stringify(decoded)}`);
  return decoded.record;
}

describe("docs/volume-record.md", () => {
  test("every example is a record, and exactly what the driver would write", () => {
    const examples = document.blocks
      .filter(({ language }) => language === "record")
      .map(({ text }) => text.trim());
    expect(examples).toHaveLength(3);
    for (const example of examples) {
      expect(encodeRecord(record(example))).toBe(example);
      expect(record(example).unknown).toEqual([]);
      for (const { node, hostNqn } of record(example).attachments)
        expect(hostNqn).toBe(hostIdentity("default", node).hostNqn);
    }
    expect(record(examples[2] ?? "").migration).toEqual({
      since: 1_795_303_600,
      timeoutSeconds: 900,
      by: "5f1c09ab",
      overdueBy: undefined,
    });
  });

  test("the table of keys is complete", () => {
    const keys = tableRows(section(document, "Stored form"))
      .slice(1)
      .map(([key = ""]) => key.replaceAll("`", ""));
    const full: VolumeRecord = {
      name: "n",
      cluster: "c",
      claim: { namespace: "a", name: "b" },
      createdAt: 1,
      source: "s",
      layout: "subvolume",
      wantedBytes: 1n,
      filesystem: "xfs",
      epoch: 2,
      attachments: ["x", "y"].map((node) => ({
        node,
        hostNqn: "h",
        accessMode: "SINGLE_NODE_WRITER",
        accessType: "mount",
        readonly: false,
        since: 1,
        connection: connectionOf(DEFAULT_SETTINGS),
      })),
      exportName: { nqn: "nqn.x:y", port: 4420, hosts: true },
      invalidations: 1,
      migration: { since: 1, timeoutSeconds: 2, by: "p", overdueBy: undefined },
      ended: [{ since: 1, at: 2, moved: true, overdue: false, stayed: "x", by: "p" }],
      reExportSince: 1,
      settings: {
        migrationTimeoutSeconds: 31,
        migrationGuard: "off",
        ctrlLossTmo: 1,
        reconnectDelay: 1,
        keepAliveTmo: 1,
        fastIoFailTmo: 1,
        nrIoQueues: 1,
        queueSize: 16,
      },
      unknown: [],
    };
    expect(Object.keys(full.settings)).toEqual(Object.keys(DEFAULT_SETTINGS));
    const written = encodeRecord(full)
      .split(";")
      .slice(1)
      .map((field) => field.split("=")[0]);
    expect(keys).toEqual(written as string[]);
  });

  test("defaults, limit, access modes and the example of a slot are those of the code", () => {
    const text = document.text.replace(/\s+/g, " ");
    for (const [setting, value] of Object.entries(DEFAULT_SETTINGS)) {
      const shown = setting === "migrationGuard" ? "`enforce` (default)" : `default ${value} |`;
      expect(
        tableRows(document.text).some(
          ([, cell = ""]) => `${cell} |`.startsWith(setting) && `${cell} |`.includes(shown),
        ),
      ).toBe(true);
    }
    expect(text).toContain(`At most ${RECORD_LIMIT} bytes are written`);
    expect(text).toContain(ACCESS_MODES.map((mode, index) => `${index} ${mode}`).join(", "));
    const name = "pvc-0f4c3d1e-5b7a-4c7e-9d55-2f1f6a1f9a10";
    expect(text).toContain(`\`${name}\` gives the slot \`${volumeIdFromName(name)}\``);
  });
});
