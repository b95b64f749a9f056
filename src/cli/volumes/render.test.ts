import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { busySite, finding, listed, NOW } from "./listed.fixture.ts";
import { type RenderOptions, renderVolumes } from "./render.ts";
import { ALL } from "./select.ts";

const table: RenderOptions = { format: "table", now: NOW, width: 80, colour: false };
/** The text after the table. */
const below = (text: string): string => text.slice(text.indexOf("\n\n") + 2);

describe("for people", () => {
  test("no volumes", () => expect(renderVolumes([], table)).toBe("No volumes.\n"));

  test("counts come last, and say that nothing is wrong", () => {
    expect(below(renderVolumes([listed()], table))).toBe("1 volume, none with a problem.\n");
    expect(below(renderVolumes(busySite(7).slice(4), table))).toBe("3 volumes, none with a problem.\n");
  });

  test("volumes with problems come first, and their problems below the table", () => {
    const volumes = [
      listed({ pvc: { namespace: "a", name: "well" } }, "1"),
      listed(
        { pvc: { namespace: "b", name: "bad" }, findings: [finding("not-exported", "The export is off")] },
        "2",
      ),
      listed(
        {
          pvc: { namespace: "c", name: "odd" },
          findings: [finding("pv-missing", "An orphan", { severity: "warning" })],
        },
        "3",
      ),
    ];
    const text = renderVolumes(volumes, table);
    expect([...text.matchAll(/ ([abc]\/\w+) /g)].map(([, claim]) => claim).slice(0, 3)).toEqual([
      "b/bad",
      "c/odd",
      "a/well",
    ]);
    expect(below(text)).toBe(
      [
        "Problems:",
        "!! not-exported: b/bad: The export is off",
        "!  pv-missing: c/odd: An orphan",
        "",
        "3 volumes, 2 with problems; rds-csi volumes show NAME says what to do.",
        "",
      ].join("\n"),
    );
  });

  test("a fault that volumes share is one problem, before those of single volumes, after no error", () => {
    const pool = finding("pool-not-mounted", "Pool p1 is not mounted");
    const volumes = ["1", "2", "3", "4"].map((name) =>
      listed({ pvc: { namespace: "vms", name }, findings: [pool] }, name),
    );
    const orphan = finding("pv-missing", "An orphan", { severity: "warning" });
    const orphans = ["5", "6", "7", "8", "9"].map((name) =>
      listed({ pvc: undefined, findings: [orphan] }, name),
    );
    const single = listed({ pvc: { namespace: "a", name: "x" }, findings: [finding("y", "Z")] }, "x");
    const text = below(renderVolumes([single, ...orphans, ...volumes], { ...table, width: undefined }));
    const handles = orphans.map(({ handle }) => handle).toSorted();
    expect(text.split("\n").slice(1, 4)).toEqual([
      "!! pool-not-mounted: 4 volumes: Pool p1 is not mounted: vms/1, vms/2, vms/3 and 1 more",
      "!! y: a/x: Z",
      `!  pv-missing: 5 volumes: An orphan: ${handles.slice(0, 3).join(", ")} and 2 more`,
    ]);
  });

  test("a volume is named by its handle where it has no claim of its own", () => {
    const twins = ["1", "2"].map((name) => listed({ findings: [finding("x", `Fault ${name}`)] }, name));
    const text = renderVolumes(twins, table);
    for (const [index, { handle }] of twins.entries())
      expect(text).toContain(`x: ${handle}: Fault ${index + 1}`);
  });

  test("info is no problem", () => {
    const growing = listed({ findings: [finding("expansion-pending", "It grows", { severity: "info" })] });
    expect(renderVolumes([growing], table)).not.toContain("It grows");
    expect(below(renderVolumes([growing], table))).toBe("1 volume, none with a problem.\n");
  });

  test("a selection is named with its counts; one that fits nothing says which volumes there are", () => {
    const volumes = busySite(60);
    const some = { ...ALL, namespaces: ["shop"], states: ["available"] as const };
    const text = renderVolumes(volumes, { ...table, selection: some });
    const counts = below(text).trimEnd().split("\n\n").at(-1);
    expect(counts).toMatch(/^5 of 60 volumes \(-n shop --state available\), none with a problem\.$/);
    const none = { ...ALL, namespaces: ["shpo"] };
    expect(renderVolumes(volumes, { ...table, selection: none })).toBe(
      "No volume matches -n shpo. 60 volumes exist.\nThe namespaces: production-virtual-machines, shop. Did you mean shop?\n",
    );
    const json = JSON.parse(renderVolumes(volumes, { ...table, format: "json", selection: none }));
    expect([json.items, json.total]).toEqual([[], 60]);
  });

  test("a side that did not answer is said before the counts, with its reason and remedy", () => {
    const unknown = [
      { what: "Kubernetes", reason: "no answer within 30 s", remedy: "Look at the API server." },
    ];
    const said = "Not known:\nKubernetes: no answer within 30 s. Look at the API server.\n";
    expect(below(renderVolumes([listed()], { ...table, unknown }))).toBe(
      `${said}\n1 volume, none with a problem.\n`,
    );
    expect(below(renderVolumes([], { ...table, unknown }))).toBe(said);
    const nothing = renderVolumes([listed()], { ...table, unknown, selection: { ...ALL, nodes: ["x"] } });
    expect(below(nothing)).toBe(said);
    const json = JSON.parse(renderVolumes([listed()], { ...table, format: "json", unknown }));
    expect(json.unknown).toEqual(unknown);
  });

  test("hostile text cannot reach the terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
        const hostile = listed({
          csiName: text,
          pvc: { namespace: text, name: text },
          findings: [finding(text, text)],
          nqn: text,
          path: text,
        });
        for (const format of ["table", "wide"] as const)
          for (const selection of [ALL, { ...ALL, nodes: [text || "x"] }]) {
            const rendered = renderVolumes([hostile], { ...table, width: undefined, format, selection });
            expect(/[\p{Cc}\p{Cf}]/u.test(rendered.replaceAll("\n", ""))).toBe(false);
            expect(rendered.split("\n").length).toBe(selection === ALL ? 8 : 3);
          }
      }),
    );
  });
});

describe("machine-readable", () => {
  const migration = { since: "2026-03-01T11:57:50Z", timeoutSeconds: 300, overdue: false };
  const fault = finding("attachment-without-va", "It is attached to n1", { node: "n1", remedy: "Look" });
  const all = [
    listed({ migration, findings: [fault] }),
    listed({ pvc: undefined, createdAt: undefined, state: "foreign" }, "b"),
  ];

  test("JSON has version, kind, the number of all volumes and every field", () => {
    const read = JSON.parse(renderVolumes(all, { ...table, format: "json" }));
    expect([read.apiVersion, read.kind, read.total, read.items.length]).toEqual([
      "rds-csi/v1",
      "VolumeList",
      2,
      2,
    ]);
    const item = read.items.find(({ state }: { state: string }) => state === "attached");
    expect(Object.keys(item).sort()).toEqual(
      [
        "createdAt",
        "csiName",
        "exported",
        "findings",
        "handle",
        "migration",
        "nodes",
        "nqn",
        "path",
        "problems",
        "pvc",
        "sizeBytes",
        "state",
      ].sort(),
    );
    expect(item).toMatchObject({
      sizeBytes: 10_737_418_240,
      migration,
      pvc: { namespace: "vms", name: "disk" },
      problems: ["It is attached to n1"],
    });
    expect(read.items.find(({ state }: { state: string }) => state === "foreign")).toMatchObject({
      ...{ pvc: null, createdAt: null, migration: null, problems: [], findings: [] },
    });
    expect(JSON.parse(renderVolumes([], { ...table, format: "json" })).items).toEqual([]);
  });

  test("problems have their ids", () => {
    const read = JSON.parse(renderVolumes(all, { ...table, format: "json" }));
    expect(read.items.flatMap(({ findings }: { findings: unknown[] }) => findings)).toEqual([
      {
        id: "attachment-without-va",
        severity: "error",
        text: "It is attached to n1",
        node: "n1",
        remedy: "Look",
      },
    ]);
  });

  test("YAML says the same", () => {
    const json: unknown = JSON.parse(renderVolumes(all, { ...table, format: "json" }));
    expect(parseYaml(renderVolumes(all, { ...table, format: "yaml" })) as unknown).toEqual(json);
  });

  test("volumes are in the order of their handles unless an order is asked for", () => {
    const volumes = busySite(30);
    const order = (sort?: "size") =>
      JSON.parse(renderVolumes(volumes, { ...table, format: "json", sort })).items.map(
        ({ handle }: { handle: string }) => handle,
      );
    expect(order()).toEqual(volumes.map(({ handle }) => handle).toSorted());
    expect(order("size")[0]).toBe(volumeIdFromName("volume 29"));
  });
});
