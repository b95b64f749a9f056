import { describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { SNAPSHOT_STATES } from "../../src/cli/snapshots/model.ts";
import { files, type Manifest } from "../manifests/manifests.fixture.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const backup = page("docs/backup.md");
const example = (name: string): Manifest => files.get(`examples/snapshots/${name}.yaml`)?.[0];

describe("docs/backup.md", () => {
  test("installs the version of external-snapshotter whose sidecar the manifests have", () => {
    const [sidecar] = files.get("components/snapshots/snapshotter.yaml") ?? [];
    const [, version = ""] = /:(v\S+)$/.exec(sidecar.spec.template.spec.containers[0].image) ?? [];
    const installed = [...backup.text.matchAll(/external-snapshotter\/\S+\?ref=(v[\d.]+)/g)];
    expect(installed.map(([, found]) => found)).toEqual([version, version]);
  });

  test("names every example of snapshots", () => {
    const names = [...files.keys()].filter((path) => path.startsWith("examples/snapshots/"));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(backup.text).toContain(`](../manifests/${name})`);
  });

  test("its objects have the form of the examples", () => {
    const [snapshot, restored] = backup.blocks
      .filter(({ language }) => language === "yaml")
      .map(({ text }) => parse(text));
    const shape = (value: unknown): unknown =>
      value !== null && typeof value === "object"
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shape(each)]))
        : typeof value;
    const namespaced = (object: Manifest) => ({
      ...object,
      metadata: { ...object.metadata, namespace: "vms" },
    });
    expect(shape(snapshot)).toEqual(shape(namespaced(example("snapshot"))));
    expect(shape(restored)).toEqual(shape(namespaced(example("restore"))));
    expect(restored.spec.dataSource.name).toBe(snapshot.metadata.name);
  });

  test("explains every state of a snapshot", () => {
    const rows = tableRows(section(backup, "What is there")).slice(1);
    expect(rows.map(([state = ""]) => state.replaceAll("`", "")).toSorted()).toEqual(
      SNAPSHOT_STATES.toSorted(),
    );
  });
});
