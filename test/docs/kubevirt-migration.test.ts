import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { driverName } from "../../src/config/common-options.ts";
import { PARAMETER_DOCS, readParameters } from "../../src/controller/parameters.ts";
import { capabilityProblem } from "../../src/domain/capability-problem.ts";
import { parseQuantity } from "../../src/kubernetes/quantity.ts";
import { migrationLimit } from "../../src/migration/time-limit.ts";
import { files } from "../manifests/manifests.fixture.ts";
import { problemsOf, schemaOf } from "../manifests/schema.fixture.ts";
import { GIB } from "../support/rds-stack.ts";
import { capabilitiesOf, type Manifest, manifestsOf } from "./manifests.fixture.ts";
import { blocksOf, plain, readPage, rowsBelow } from "./page.fixture.ts";
import { ROOT } from "./pages.fixture.ts";
import { type Produced, produced } from "./produced.fixture.ts";
import { answer, CLAIM, World } from "./scenarios.fixture.ts";

const page = await readPage("kubevirt-migration.md");
const manifests = manifestsOf(page);
const ofKind = (kind: string) => manifests.filter(({ object }) => object.kind === kind);
const installed = [...files.values()].flat().filter((object) => object !== null);
const classes: Manifest[] = installed.filter(({ kind }) => kind === "StorageClass");

/** The objects of a file of manifests/. */
function documents(path: string): readonly Manifest[] {
  const found = files.get(path.replace("manifests/", ""));
  if (found === undefined) throw new Error(`${path} does not exist`);
  return found;
}

/** The text of a section of the second level. */
function section(heading: string): string {
  const [, text = ""] = page.split(`\n## ${heading}\n`);
  return text.split("\n## ")[0] ?? "";
}

const HEADINGS = [
  "Overview",
  "Safe Usage: KubeVirt Live Migration ONLY",
  "UNSAFE - DATA CORRUPTION RISK",
  "Why RWX is Safe for KubeVirt (But Not General Use)",
  "StorageClass Configuration",
  "Monitoring",
  "Troubleshooting",
  "Future Enhancements",
  "Alternatives",
];

describe("the form of the page", () => {
  test("it has 150 to 300 lines", () => {
    const lines = page.trimEnd().split("\n").length;
    expect(lines).toBeGreaterThanOrEqual(150);
    expect(lines).toBeLessThanOrEqual(300);
  });

  test("its headings are these, in this order", () => {
    const prose = page.replace(/^```[\s\S]*?^```$/gm, "");
    expect([...prose.matchAll(/^## (.+)$/gm)].map(([, title = ""]) => title)).toEqual(HEADINGS);
  });

  test("warnings stand where a hurried reader looks: above the first heading, and at each dangerous section", () => {
    const [top = ""] = page.split("\n## ");
    for (const word of ["WARNING", "UNSAFE", "DATA CORRUPTION"]) expect(top).toContain(word);
    expect(section("UNSAFE - DATA CORRUPTION RISK").trimStart()).toStartWith(
      "> **WARNING: DATA CORRUPTION.**",
    );
    expect(section("Safe Usage: KubeVirt Live Migration ONLY")).toContain("✗ UNSAFE");
    expect(section("Troubleshooting")).toMatch(/^### DATA CORRUPTION .*\n\n> \*\*WARNING/m);
  });

  test("marks tell the safe use from the unsafe one", () => {
    const rules = section("Safe Usage: KubeVirt Live Migration ONLY").match(/^- [✓✗]/gm) ?? [];
    expect(new Set(rules)).toEqual(new Set(["- ✓", "- ✗"]));
  });

  test("the index of the documents has a link to it", async () => {
    expect(await readPage("README.md")).toContain("](kubevirt-migration.md)");
  });
});

describe("the YAML examples", () => {
  test("each has what an object needs, and is valid by the API's schemas where a package has them", async () => {
    for (const { object } of manifests) {
      expect(object.apiVersion).toMatch(/^([a-z0-9.]+\/)?v1(beta1)?$/);
      expect(object.metadata.name).toMatch(/^[a-z0-9-]+$/);
      expect(object.metadata.namespace).toBe(object.kind === "StorageClass" ? undefined : "vms");
    }
    const known = manifests.map(({ object }) => object).filter((object) => schemaOf(object) !== undefined);
    expect(known.map(({ kind }) => kind)).toContain("VirtualMachine");
    expect(await problemsOf(known)).toEqual([]);
  }, 120_000);

  test("the StorageClass: the one that the component installs, with the guard", () => {
    const [{ object } = { object: undefined }] = ofKind("StorageClass");
    expect(object).toEqual(classes.find(({ metadata }) => metadata.name === object.metadata.name));
    expect(object.provisioner).toBe(driverName.defaultText);
    expect(readParameters(object.parameters).settings.migrationGuard).toBe("enforce");
  });

  test("claims: block and ReadWriteMany, of a class of this page, accepted by the driver", () => {
    const names = ofKind("StorageClass").map(({ object }) => object.metadata.name);
    const claims = [...ofKind("PersistentVolumeClaim"), ...ofKind("DataVolume")];
    expect(claims).not.toBeEmpty();
    for (const { object } of claims) {
      const spec = object.kind === "DataVolume" ? object.spec.storage : object.spec;
      expect(names).toContain(spec.storageClassName);
      expect(spec).toMatchObject({ accessModes: ["ReadWriteMany"], volumeMode: "Block" });
      expect(parseQuantity(spec.resources.requests.storage)).toBeGreaterThan(0n);
      for (const capability of capabilitiesOf(spec)) expect(capabilityProblem(capability)).toBeUndefined();
      for (const capability of capabilitiesOf({ ...spec, volumeMode: "Filesystem" }))
        expect(capabilityProblem(capability)?.id).toBe("rwxFilesystem");
    }
  });

  test("the virtual machine: LiveMigrate, O_DIRECT, the disks of the claims above", () => {
    const [{ object } = { object: undefined }] = ofKind("VirtualMachine");
    const { spec } = object.spec.template;
    expect(spec.evictionStrategy).toBe("LiveMigrate");
    const { disks } = spec.domain.devices;
    expect(disks.map((disk: Manifest) => disk.cache)).toEqual(disks.map(() => "none"));
    expect(spec.volumes.map((volume: Manifest) => volume.name)).toEqual(
      disks.map((disk: Manifest) => disk.name),
    );
    const used = spec.volumes.map(
      (volume: Manifest) => volume.dataVolume?.name ?? volume.persistentVolumeClaim.claimName,
    );
    const claims = [...ofKind("PersistentVolumeClaim"), ...ofKind("DataVolume")];
    expect(used.sort()).toEqual(claims.map((each) => each.object.metadata.name).sort());
    expect(page).toContain(`virtctl migrate ${object.metadata.name} -n vms`);
  });

  test("the unsafe pods: refused with the words of the page, attached to both nodes without the guard", async () => {
    const pods = manifests.filter(({ unsafe }) => unsafe).map(({ object }) => object);
    expect(pods.map(({ kind }) => kind)).toEqual(["Pod", "Pod"]);
    const attach = async (parameters: Record<string, string>) => {
      const world = await World.start({ parameters });
      try {
        world.cluster.pods.splice(0);
        for (const { metadata, spec } of pods) {
          const claim = spec.volumes[0].persistentVolumeClaim.claimName;
          expect(spec.containers[0].volumeDevices[0].name).toBe(spec.volumes[0].name);
          world.cluster.addPod(metadata.name, spec.nodeName, claim);
        }
        const answers = [];
        for (const { spec } of pods) answers.push(await answer(world.publish(spec.nodeName)));
        return { answers, nodes: await world.nodes() };
      } finally {
        await world.stack.close();
      }
    };
    const guarded = await attach({});
    const [, quoted = ""] = /events of `writer-b` contain:\n\n```text\n(.+)\n```/.exec(page) ?? [];
    expect(guarded.answers).toEqual(["OK", `secondNodeNotProven FAILED_PRECONDITION: ${quoted}`]);
    expect(guarded.nodes).toEqual(["node-a"]);
    for (const migrationGuard of ["warn", "off"]) {
      const { answers, nodes } = await attach({ migrationGuard });
      expect(answers).toEqual(["OK", "OK"]);
      expect(nodes).toEqual(["node-a", "node-b"]);
    }
  });
});

describe("commands and settings", () => {
  test("the class of the state of vTPM and EFI is the example's, whose file shows the same command", async () => {
    const example = "manifests/examples/kubevirt/vm-state.yaml";
    const [command = "", patch = ""] = /^kubectl patch kubevirt .*--type merge -p '(.+)'$/m.exec(page) ?? [];
    const [{ metadata }, profile] = documents(example);
    expect(JSON.parse(patch).spec.configuration).toEqual({ vmStateStorageClass: metadata.name });
    expect(profile.metadata.name).toBe(metadata.name);
    expect(page).toContain(`\`${example}\``);
    expect(await Bun.file(join(ROOT, example)).text()).toContain(command);
  });

  test("the values of migrationTimeoutSeconds are those of the driver", () => {
    const read = (value: string) => () => readParameters({ migrationTimeoutSeconds: value });
    const rows = rowsBelow(page, "## StorageClass Configuration").map((row) => row.map(plain));
    expect(rows.map(([value]) => value)).toEqual(["not set", "30–3600", "auto"]);
    for (const good of ["30", "3600", "auto"]) expect(read(good)).not.toThrow();
    for (const bad of ["29", "3601", "0", "5m", ""]) expect(read(bad)).toThrow("migrationTimeoutSeconds");
    const { migrationTimeoutSeconds, migrationGuard } = readParameters({}).settings;
    expect(rows[0]?.[1]).toBe(`after ${migrationTimeoutSeconds} s`);
    expect(migrationGuard).toBe("enforce");
    const config = {
      completionTimeoutPerGiB: undefined,
      allowPostCopy: false,
      allowWorkloadDisruption: false,
    };
    const load = { memoryBytes: 8n * GIB, volumeBytes: 0n };
    expect(rows[2]?.[1]).toEndWith(`${migrationLimit(load, config)} s for a guest of 8Gi`);
    for (const name of ["migrationGuard", "migrationTimeoutSeconds"])
      expect(Object.keys(PARAMETER_DOCS)).toContain(name);
  });
});

describe("events", () => {
  let said: Produced;
  beforeAll(async () => {
    said = await produced();
  }, 240_000);
  const tables = blocksOf(page).filter(({ text }) => text.startsWith("LAST SEEN"));

  test("output of kubectl on the page is what the driver says", () => {
    const rows = tables.flatMap(({ text }) => text.split("\n").slice(1));
    const reasons = new Set<string>();
    for (const row of rows) {
      const [, type, reason = "", object, message] = /^\S+ +(\w+) +(\w+) +(\S+) +(.+)$/.exec(row) ?? [];
      expect(object).toBe(`persistentvolumeclaim/${CLAIM}`);
      expect([...said.events]).toContain(`${type} ${reason}: ${message}`);
      reasons.add(reason);
    }
    // A migration that begins, succeeds and fails is shown.
    for (const reason of ["MigrationStarted", "MigrationCompleted", "MigrationFailed"])
      expect([...reasons]).toContain(reason);
  });

  test("columns of that output are aligned", () => {
    for (const { text } of tables) {
      const [titles = "", ...rows] = text.split("\n");
      const starts = ["TYPE", "REASON", "OBJECT", "MESSAGE"].map((title) => titles.indexOf(title));
      for (const row of rows)
        for (const start of starts) expect(row.slice(start - 1, start + 1)).toMatch(/^ \S$/);
    }
  });
});
