import { describe, expect, test } from "bun:test";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { type TableOptions, volumeTable } from "./list-table.ts";
import { attachedTo, busySite, finding, listed, NOW } from "./listed.fixture.ts";
import type { ListedVolume } from "./model.ts";

const options = { wide: false, now: NOW, width: 80, colour: false };
const table = (volumes: readonly ListedVolume[], more: Partial<TableOptions> = {}): string[] =>
  volumeTable(volumes, { ...options, handles: volumes.map(({ handle }) => handle), ...more });
const size = (line: string): number => [...line].length;
/** Takes out `ESC [ digits m`. */
const withoutColours = (text: string): string =>
  text
    .split("\u001b[")
    .map((part, index) => (index === 0 ? part : part.replace(/^\d+m/, "")))
    .join("");

const LONG_CLAIM = { namespace: "a-very-long-namespace-name", name: "with-a-very-long-claim-name" };
const LONG_NODES = ["worker-0001.example", "worker-0002.example"].map(attachedTo);
const MIGRATION = { since: "2026-03-01T11:57:50Z", timeoutSeconds: 300, overdue: false };

describe("the table of volumes", () => {
  test("has whole handles where they fit, and no column that says nothing", () => {
    expect(table([listed()])).toEqual([
      "STATE     SIZE  PVC       NODES  AGE  HANDLE",
      `attached  10Gi  vms/disk  n1     9d   ${volumeIdFromName("a")}`,
    ]);
  });

  test("cuts the handle before the name of the claim", () => {
    const pvc = { namespace: "production", name: "postgres-ha-data-0" };
    const [title, row] = table([listed({ pvc })]);
    expect(title).toMatch(/^STATE +SIZE +PVC +NODES +AGE +HANDLE$/);
    expect(row).toBe(
      `attached  10Gi  production/postgres-ha-data-0  n1     9d   ${volumeIdFromName("a").slice(0, 20)}…`,
    );
    const longer = { namespace: "production", name: "postgres-ha-data-of-the-shop-0" };
    expect(table([listed({ pvc: longer })])[1]).toMatch(
      / producti…\/postgres-ha-d…of-the-shop-0 {2}n1 .* csi-[0-9a-f]{8}…$/,
    );
  });

  test("cuts a handle only as far as it stays the beginning of one handle alone", () => {
    const near = ["csi-0123456789ab0000000000000000", "csi-0123456789ab1000000000000000"].map((handle) =>
      listed({ handle, pvc: LONG_CLAIM }),
    );
    const [, first, second] = table(near);
    expect([first, second].map((row) => row?.split(/ +/).at(-1))).toEqual([
      "csi-0123456789ab0…",
      "csi-0123456789ab1…",
    ]);
    // The other one counts although it is not listed: `volumes show` knows it.
    const alone = near.slice(0, 1);
    expect(table(alone)[1]).toEndWith(" csi-01234567…");
    expect(table(alone, { handles: near.map(({ handle }) => handle) })[1]).toEndWith(" csi-0123456789ab0…");
  });

  test("keeps both ends of a long claim, and the first labels of nodes", () => {
    const [, row] = table([listed({ pvc: LONG_CLAIM, nodes: LONG_NODES })]);
    expect(row).toMatch(
      /^attached {2}10Gi {2}a-very\S*…\/with-a-\S*…\S*-name {2}worker-0001\+1 {2}9d {3}csi-\w{8}…$/,
    );
    for (const line of table([listed({ pvc: LONG_CLAIM, nodes: LONG_NODES })]))
      expect(size(line)).toBeLessThanOrEqual(80);
    // Where first labels do not tell the nodes apart, names stay whole as long as there is room.
    const twins = ["worker.rack-1", "worker.rack-2"].map((node) =>
      listed({ pvc: LONG_CLAIM, nodes: [attachedTo(node)] }),
    );
    expect(table(twins)[1]).toContain(" worker.rack-1 ");
  });

  test("is not cut without a terminal", () => {
    const [, row] = table([listed({ pvc: LONG_CLAIM, nodes: LONG_NODES })], { width: undefined });
    expect(row).toContain("a-very-long-namespace-name/with-a-very-long-claim-name");
    expect(row).toContain("worker-0001.example,worker-0002.example");
    expect(row).toContain(volumeIdFromName("a"));
  });

  test("marks volumes with an error or a warning, as volumes show marks lines", () => {
    const volumes = [
      listed(
        { state: "broken", findings: [finding("a", "x"), finding("b", "y", { severity: "warning" })] },
        "1",
      ),
      listed({ findings: [finding("b", "y", { severity: "warning" })] }, "2"),
      listed({ findings: [finding("c", "z", { severity: "info" })] }, "3"),
    ];
    expect(table(volumes).map((line) => line.split(/ +/).slice(0, 2))).toEqual([
      ["STATE", "!"],
      ["broken", "!!"],
      ["attached", "!"],
      ["attached", "-"],
    ]);
  });

  test("shows elapsed and allowed time of a migration, and when it is overdue", () => {
    const migrating = (more: Partial<typeof MIGRATION>, width: number | undefined = 80) =>
      table([listed({ state: "migrating", migration: { ...MIGRATION, ...more } })], { width }).join("\n");
    expect(migrating({})).toContain("2m10s/5m");
    expect(migrating({ timeoutSeconds: 0 })).toContain("2m10s/none");
    const late = { since: "2026-03-01T11:50:00Z", overdue: true };
    expect(migrating(late)).toContain("10m/5m OVERDUE");
    expect(migrating(late, 160)).toContain("AGE");
    const volume = listed({
      state: "migrating",
      sizeBytes: 2_047n << 29n,
      migration: { ...MIGRATION, ...late },
      pvc: LONG_CLAIM,
      nodes: LONG_NODES,
      findings: [finding("migration-overdue", "x")],
    });
    const [title = "", row = ""] = table([volume]);
    expect(title.split(/ +/)).toEqual(["STATE", "!", "SIZE", "PVC", "NODES", "MIGRATION", "HANDLE"]);
    expect([size(title) <= 80, size(row) <= 80]).toEqual([true, true]);
    expect(row).toMatch(/ 10m\/5m OV\S*( OVERDUE)?… {2}csi-\w{8}…$| 10m\/5m OVERDUE {2}csi-\w{8}…$/);
  });

  test("wide: every column, nothing cut, the ids of problems", () => {
    const volume = listed({ pvc: LONG_CLAIM, findings: [finding("a-b", "x"), finding("c-d", "y")] });
    const [title, row] = table([volume], { wide: true, width: 40 });
    expect(title).toMatch(/MIGRATION +AGE +HANDLE +NAME +LAYOUT +SOURCE +EXPORTED +NQN +PATH +PROBLEMS$/);
    for (const part of [volume.handle, LONG_CLAIM.name, volume.nqn, volume.path, " a-b,c-d"])
      expect(row).toContain(part);
  });

  test("wide: how far a copy is, while there is one", () => {
    const copying = listed({ state: "copying", copy: { done: 42n << 30n, total: 100n << 30n } });
    const [title, row, other] = table([copying, listed({}, "b")], { wide: true });
    expect(title).toMatch(/ LAYOUT +COPIED +SOURCE /);
    expect(row).toMatch(/^copying .* 42 % of 100Gi /);
    expect(other).toMatch(/^attached .* - +- +- +yes /);
  });

  test("colour only if asked for, and without a change of the layout", () => {
    const all = busySite(120);
    const plain = table(all).join("\n");
    const coloured = table(all, { colour: true }).join("\n");
    expect(plain).not.toContain("\u001b");
    expect(coloured).toContain("\u001b[31mbroken\u001b[0m");
    expect(coloured).toContain("\u001b[31m!!\u001b[0m");
    expect(withoutColours(coloured)).toBe(plain);
  });
});
