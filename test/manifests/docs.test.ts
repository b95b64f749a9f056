import { expect, test } from "bun:test";
import { driverName } from "../../src/config/common-options.ts";
import { startupTaintKey } from "../../src/node/startup-taint.ts";
import { page, section, tableRows } from "../docs/pages.fixture.ts";
import { kustomization, resourcesIn } from "./manifests.fixture.ts";
import { nameOf } from "./schema.fixture.ts";

const manifests = page("docs/manifests.md");
const FOLDERS = [
  "base",
  ...["kubevirt", "monitoring", "snapshots", "diagnose-pods", "dashboards"].map(
    (name) => `components/${name}`,
  ),
];

test("docs/manifests.md names every object, and none that does not exist", () => {
  const generated = FOLDERS.flatMap((folder) => kustomization(folder).configMapGenerator ?? []);
  const objects = [
    ...FOLDERS.flatMap(resourcesIn)
      .filter(({ kind }) => !kind.endsWith("Binding"))
      .map(nameOf),
    ...generated.map(({ name }) => `ConfigMap ${name}`),
  ];
  const listed = tableRows(section(manifests, "What is installed"))
    .slice(1)
    .flatMap(([names = ""]) => names.split(", ").map((name) => name.replaceAll("`", "")));
  expect(listed.sort()).toEqual(objects.sort());
});

test("the taint on the page is the one that the driver removes", () => {
  expect(manifests.text).toContain(`key: ${startupTaintKey(driverName.defaultText ?? "")}\n`);
});
