import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Registry } from "prom-client";
import { driverName } from "../../src/config/common-options.ts";
import { controllerOnly } from "../../src/config/controller-options.ts";
import { capabilityProblem } from "../../src/controller/capabilities.ts";
import { kubernetesEvidence } from "../../src/controller/kubernetes-evidence.ts";
import {
  createMigrationMetrics,
  DRIFT_KINDS,
  type DriftCounts,
  REFUSAL_CAUSES,
} from "../../src/controller/migration-metrics.ts";
import { ORPHANED_AFTER_SECONDS } from "../../src/controller/migration-reporter.ts";
import { PARAMETER_DOCS, readParameters } from "../../src/controller/parameters.ts";
import { catalogue } from "../../src/domain/errors/catalogue.ts";
import { parseQuantity } from "../../src/kubernetes/quantity.ts";
import { documentedMetrics } from "../support/metrics-page.ts";
import { capabilitiesOf, documentsOf, type Manifest, manifestsOf } from "./manifests.fixture.ts";
import { blocksOf, plain, readPage, rowsBelow } from "./page.fixture.ts";
import { PROMTOOL, promtool, Recording, type Samples, testRules } from "./promtool.fixture.ts";
import {
  answer,
  CLAIM,
  type Produced,
  produceEverything,
  UNLIMITED,
  VOLUME,
  World,
} from "./scenarios.fixture.ts";

const page = await readPage("kubevirt-migration.md");
const events = await readPage("events.md");
const metricsPage = await readPage("metrics.md");
const root = join(import.meta.dir, "../..");
const manifests = manifestsOf(page);
const ofKind = (kind: string) => manifests.filter(({ object }) => object.kind === kind);
const promqlBlocks = blocksOf(page).filter(({ language }) => language === "promql");

let produced: Produced = { events: new Set(), errors: new Set() };
beforeAll(async () => {
  produced = await produceEverything();
}, 60_000);

/** Everything with the driver's name for it, with type and labels. */
function registered(): { name: string; type: string; labels: string[] }[] {
  const registry = new Registry();
  createMigrationMetrics(registry, () => undefined);
  return registry.getMetricsAsArray().map((metric) => ({
    name: metric.name,
    type: String(metric.type),
    labels: [...((metric as unknown as { labelNames?: string[] }).labelNames ?? [])].sort(),
  }));
}

describe("the YAML examples", () => {
  test("are there, and each has what an object needs", () => {
    const kinds = manifests.map(
      ({ object, unsafe }) => `${object.kind ?? "rules"}${unsafe ? " unsafe" : ""}`,
    );
    expect(kinds.sort()).toEqual(
      [
        "DataVolume",
        "PersistentVolumeClaim",
        "PersistentVolumeClaim unsafe",
        "Pod unsafe",
        "Pod unsafe",
        "StorageClass",
        "StorageClass unsafe",
        "StorageProfile",
        "VirtualMachine",
        "VirtualMachineInstanceMigration",
        "rules",
      ].sort(),
    );
    for (const { object } of manifests.filter(({ object: { kind } }) => kind !== undefined)) {
      expect(object.apiVersion).toMatch(/^([a-z0-9.]+\/)?v1(beta1)?$/);
      expect(object.metadata.name).toMatch(/^[a-z0-9-]+$/);
      const clusterWide = ["StorageClass", "StorageProfile"].includes(object.kind);
      expect(object.metadata.namespace).toBe(clusterWide ? undefined : "vms");
    }
  });

  test("StorageClasses: the driver takes their parameters, and only the unsafe one has no guard", () => {
    for (const { object, unsafe } of ofKind("StorageClass")) {
      expect(object.provisioner).toBe(driverName.defaultText);
      const { settings } = readParameters(object.parameters);
      expect(settings.migrationGuard).toBe(unsafe ? "off" : "enforce");
      // A value that YAML reads as a boolean would never reach the driver.
      for (const value of Object.values(object.parameters)) expect(typeof value).toBe("string");
    }
  });

  test("claims: block and ReadWriteMany, of a class of this page, accepted by the driver", () => {
    const classes = ofKind("StorageClass").map(({ object }) => object.metadata.name);
    for (const { object } of [...ofKind("PersistentVolumeClaim"), ...ofKind("DataVolume")]) {
      const spec = object.kind === "DataVolume" ? object.spec.storage : object.spec;
      expect(classes).toContain(spec.storageClassName);
      expect(spec).toMatchObject({ accessModes: ["ReadWriteMany"], volumeMode: "Block" });
      expect(parseQuantity(spec.resources.requests.storage)).toBeGreaterThan(0n);
      for (const capability of capabilitiesOf(spec)) expect(capabilityProblem(capability)).toBeUndefined();
      for (const capability of capabilitiesOf({ ...spec, volumeMode: "Filesystem" }))
        expect(capabilityProblem(capability)?.id).toBe("rwxFilesystem");
    }
  });

  test("StorageProfile: of a class of this page, ReadWriteMany block first, nothing that the driver refuses", () => {
    const [{ object } = { object: undefined }] = ofKind("StorageProfile");
    expect(ofKind("StorageClass").map((each) => each.object.metadata.name)).toContain(object.metadata.name);
    const sets: Manifest[] = object.spec.claimPropertySets;
    expect(sets[0]).toEqual({ accessModes: ["ReadWriteMany"], volumeMode: "Block" });
    for (const set of sets)
      for (const capability of capabilitiesOf(set)) expect(capabilityProblem(capability)).toBeUndefined();
    // No other strategy works, as this version makes no volume from another or from a snapshot.
    expect(object.spec.cloneStrategy).toBe("copy");
  });

  test("the machine: LiveMigrate, O_DIRECT, disks that exist; the migration is of this machine", () => {
    const [{ object } = { object: undefined }] = ofKind("VirtualMachine");
    const { spec } = object.spec.template;
    expect(spec.evictionStrategy).toBe("LiveMigrate");
    const { disks } = spec.domain.devices;
    expect(disks.map((disk: Manifest) => disk.cache)).toEqual(disks.map(() => "none"));
    expect(spec.volumes.map((volume: Manifest) => volume.name)).toEqual(
      disks.map((disk: Manifest) => disk.name),
    );
    const claims = manifests.filter(
      (each) => !each.unsafe && ["PersistentVolumeClaim", "DataVolume"].includes(each.object.kind),
    );
    const used = spec.volumes.map(
      (volume: Manifest) => volume.dataVolume?.name ?? volume.persistentVolumeClaim.claimName,
    );
    expect(used.sort()).toEqual(claims.map((each) => each.object.metadata.name).sort());
    expect(ofKind("VirtualMachineInstanceMigration")[0]?.object.spec.vmiName).toBe(object.metadata.name);
  });

  test("the unsafe pods: refused with the words of the page, unless its class switches the guard off", async () => {
    const pods = ofKind("Pod").map(({ object }) => object);
    const [storageClass] = ofKind("StorageClass").filter(({ unsafe }) => unsafe);
    const attach = async (parameters: Record<string, string>) => {
      const world = await World.start({ parameters });
      try {
        world.cluster.pods.splice(0);
        for (const { metadata, spec } of pods) {
          expect(metadata.namespace).toBe("vms");
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
    const [, quoted = ""] = /claim contain:\n\n```text\n(.+)\n```/.exec(page) ?? [];
    expect(guarded.answers).toEqual(["OK", `secondNodeNotProven FAILED_PRECONDITION: ${quoted}`]);
    expect(guarded.nodes).toEqual(["node-a"]);
    const { answers, nodes } = await attach(storageClass?.object.parameters);
    expect(answers).toEqual(["OK", "OK"]);
    expect(nodes).toEqual(["node-a", "node-b"]);
    expect(page).toContain("> **DATA CORRUPTION.**");
  });
});

describe("events and errors", () => {
  test("output of kubectl on the page is what the driver says", () => {
    const rows = blocksOf(page)
      .filter(({ language, text }) => language === "text" && text.startsWith("LAST SEEN"))
      .flatMap(({ text }) => text.split("\n").slice(1));
    expect(rows.length).toBeGreaterThan(7);
    for (const row of rows) {
      const [, type, reason, object, message] = /^\S+ +(\w+) +(\w+) +(\S+) +(.+)$/.exec(row) ?? [];
      expect(object).toBe(`persistentvolumeclaim/${CLAIM}`);
      expect([...produced.events]).toContain(`${type} ${reason}: ${message}`);
    }
  });

  test("columns of that output are aligned", () => {
    for (const { text } of blocksOf(page).filter(({ text: each }) => each.startsWith("LAST SEEN"))) {
      const [titles = "", ...rows] = text.split("\n");
      const starts = ["TYPE", "REASON", "OBJECT", "MESSAGE"].map((title) => titles.indexOf(title));
      for (const row of rows)
        for (const start of starts) expect(row.slice(start - 1, start + 1)).toMatch(/^ \S$/);
    }
  });

  test("events.md lists exactly the reasons of the code, each with something that the driver says", async () => {
    const rows = rowsBelow(events, "## Reasons").map((row) => row.map(plain));
    const source = await Bun.file(join(root, "src/controller/attachment-messages.ts")).text();
    const reasons = new Set([...source.matchAll(/(?:normal|warning)\(\s*"(\w+)"/g)].map((found) => found[1]));
    for (const [, reason] of source.matchAll(/: warning\(\s*"(\w+)"/g)) reasons.add(reason);
    expect(reasons.size).toBe(9);
    expect(new Set(rows.map(([reason]) => reason))).toEqual(reasons);
    expect(new Set([...produced.events].map((event) => event.split(/[ :]/)[1]))).toEqual(reasons);
    for (const [reason, type, , example] of rows)
      expect([...produced.events]).toContain(`${type} ${reason}: ${example}`);
  });

  test("every event that the page names exists", () => {
    const named = [...page.matchAll(/\b(?:Migration\w+ed|\w+(?:Conflict|Cleared|Fenced|Drift))\b/g)]
      .map(([name]) => name)
      .filter((name) => !name.startsWith("RdsCsi"));
    expect(new Set(named)).toEqual(
      new Set([
        "MigrationStarted",
        "MigrationCompleted",
        "MigrationFailed",
        "AttachmentConflict",
        "StaleAttachmentCleared",
        "VolumeFenced",
      ]),
    );
  });

  test("the table of refusals: known errors with what the driver says, none of the attaching ones left out", () => {
    const rows = rowsBelow(page, "### An attach is refused").map(([id = "", message]) => ({
      id: plain(id),
      message,
    }));
    const errors = [...produced.errors];
    for (const { id, message } of rows) {
      expect(Object.keys(catalogue)).toContain(id);
      expect(errors.map((error) => error.replace(/ [A-Z_]+: /, ": "))).toContain(`${id}: ${message}`);
    }
    expect(Object.keys(catalogue)).toContain("deviceInUse");
    const missing = errors.filter(
      (error) => !rows.some(({ id }) => error.startsWith(`${id} `)) && !error.startsWith("nodeNotFound "),
    );
    expect(missing).toEqual([]);
  });
});

describe("names on the pages", () => {
  test("metrics.md lists the metrics of migrations, with type and labels", () => {
    const documented = documentedMetrics(metricsPage).map(({ name, type, labels }) => ({
      name,
      type,
      labels,
    }));
    for (const metric of registered()) expect(documented).toContainEqual(metric);
  });

  test("metrics.md gives the buckets and the values of labels", async () => {
    const registry = new Registry();
    const { drift } = createMigrationMetrics(registry, () => undefined);
    expect(await registry.metrics()).not.toContain("rds_csi_attachment_drift{");
    drift.set(Object.fromEntries(DRIFT_KINDS.map((kind) => [kind, 0])) as DriftCounts);
    const buckets = [...(await registry.metrics()).matchAll(/_bucket\{le="(\d+)"\}/g)].map(
      (found) => found[1],
    );
    expect(metricsPage).toContain(`Buckets: ${buckets.join(" ")} |`);
    // As the page says, every series of a counter is there before anything has happened.
    const series = [...(await registry.metrics()).matchAll(/^(\w+)\{(\w+)="([a-z-]+)"\} 0$/gm)];
    const values = (label: string) => series.filter((each) => each[2] === label).map((each) => each[3] ?? "");
    expect(values("result").sort()).toEqual(["failed", "success", "timeout"]);
    expect(values("cause").sort()).toEqual([...REFUSAL_CAUSES].sort());
    expect(values("kind").sort()).toEqual([...DRIFT_KINDS].sort());
    for (const label of ["result", "cause", "kind"])
      for (const value of values(label)) expect(metricsPage).toContain(`\`${value}\``);
  });

  test("every metric on the page exists, and all of migrations are on it", () => {
    const names = registered().map(({ name }) => name);
    const used = [...page.matchAll(/\brds_csi_[a-z_]+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ""),
    );
    expect(new Set(used)).toEqual(new Set(names));
  });

  test("every parameter, flag, file and link exists", async () => {
    for (const [, flag = ""] of page.matchAll(/`--([a-z-]+)[ `]/g)) {
      const known = Object.values(controllerOnly).map(({ name }) => name);
      expect(known).toContain(flag);
    }
    const modes = /`--fencing (epoch|epoch\+hosts|off)`/g;
    expect(new Set([...page.matchAll(modes)].map((found) => found[1])).size).toBe(3);
    for (const parameter of ["migrationGuard", "migrationTimeoutSeconds"]) {
      expect(Object.keys(PARAMETER_DOCS)).toContain(parameter);
      expect(page).toContain(`\`${parameter}`);
    }
    for (const [, file = ""] of page.matchAll(/`((?:src|test)\/[\w./-]+\.ts)`/g))
      expect({ file, exists: await Bun.file(join(root, file)).exists() }).toEqual({ file, exists: true });
    for (const text of [page, events, metricsPage]) {
      for (const [, file = "", heading] of text.matchAll(/\]\(([\w-]+\.md)(?:#([\w-]+))?\)/g)) {
        const target = await readPage(file);
        const anchors = [...target.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
          title
            .toLowerCase()
            .replace(/[^\w -]/g, "")
            .replaceAll(" ", "-"),
        );
        if (heading !== undefined) expect(anchors).toContain(heading);
      }
    }
  });
});

describe("the time limit", () => {
  test("the table is what `auto` gives, and fixed values are accepted", async () => {
    const rows = rowsBelow(page, "## The time limit").map((row) => row.map(plain));
    expect(rows.length).toBeGreaterThan(6);
    for (const [memory = "", automatic = "", fixed = ""] of rows) {
      const world = await World.start({ parameters: { migrationTimeoutSeconds: "auto" } });
      try {
        world.cluster.addMachine("vm1", parseQuantity(memory));
        const found = await world.stack.rds.find(VOLUME, world.stack.signal);
        if (found?.kind !== "volume") throw new Error("no volume");
        const allowed = await kubernetesEvidence(world.cluster).allowedSeconds(
          found.volume,
          { target: "node-b", since: 0 },
          world.stack.signal,
        );
        if (allowed.kind !== "known") throw new Error(allowed.reason);
        const { seconds } = allowed;
        expect(automatic).toBe(`${seconds} s`);
        const read = () =>
          readParameters({ migrationTimeoutSeconds: String(seconds) }).settings.migrationTimeoutSeconds;
        if (fixed.startsWith("none")) expect(read).toThrow("migrationTimeoutSeconds");
        else expect(read()).toBe(Number(fixed));
      } finally {
        await world.stack.close();
      }
    }
  });

  test("bounds and defaults", () => {
    expect(page).toContain(`an end after ${ORPHANED_AFTER_SECONDS} s`);
    const read = (value: string) => () => readParameters({ migrationTimeoutSeconds: value });
    for (const good of ["30", "3600", "auto"]) expect(read(good)).not.toThrow();
    for (const bad of ["29", "3601", "0", "5m", ""]) expect(read(bad)).toThrow("migrationTimeoutSeconds");
    expect(readParameters({}).settings).toMatchObject({
      migrationTimeoutSeconds: 300,
      migrationGuard: "enforce",
    });
  });
});

/** What the page promises and what it warns of. Should one of these become untrue, the page must change with it. */
describe("the promises and the warnings are true", () => {
  const opened: World[] = [];
  const start = async (options?: Parameters<typeof World.start>[0]) => {
    const world = await World.start(options);
    opened.push(world);
    return world;
  };
  afterEach(async () => {
    for (const world of opened.splice(0)) await world.stack.close();
  });

  const fenced = async (options: Parameters<typeof World.start>[0]) => {
    const world = await start(options);
    const { device } = world.stack.simulator;
    const source = await world.publish("node-a");
    const target = await world.publish("node-b");
    const connects = () => ({
      source: device.connectHost(source.nqn, source.hostNqn),
      target: device.connectHost(target.nqn, target.hostNqn),
    });
    const both = connects();
    await world.unpublish("node-a");
    const one = connects();
    await world.unpublish("node-b");
    const none = connects();
    const later = await world.publish("node-c");
    const after = connects();
    return { both, one, none, after, newNqn: later.nqn !== source.nqn };
  };
  const no = { source: false, target: false };
  const yes = { source: true, target: true };
  const targetOnly = { source: false, target: true };

  test("epoch keeps the detached one of two out only once nobody has the volume", async () => {
    expect(await fenced({})).toEqual({ both: yes, one: yes, none: no, after: no, newNqn: true });
  });
  for (const allowHostName of ["comma-list", "exact"] as const) {
    test(`epoch+hosts does at once, and locks nobody out meanwhile, where RouterOS reads ${allowHostName}`, async () => {
      expect(await fenced({ fencing: "epoch+hosts", switches: { allowHostName } })).toEqual({
        both: yes,
        one: targetOnly,
        none: no,
        after: no,
        newNqn: true,
      });
    });
  }
  test("epoch+hosts: the list names the only node, and is empty while there are two", async () => {
    const world = await start({ fencing: "epoch+hosts" });
    const allowed = async () => {
      const found = await world.stack.rds.find(VOLUME, world.stack.signal);
      return found?.kind === "volume" ? found.volume.disk.allowHost : undefined;
    };
    const source = await world.publish("node-a");
    expect(await allowed()).toBe(source.hostNqn);
    const target = await world.publish("node-b");
    expect(await allowed()).toBe("");
    await world.unpublish("node-a");
    expect(await allowed()).toBe(target.hostNqn);
  });
  test("off: the old node may reconnect", async () => {
    expect(await fenced({ fencing: "off" })).toEqual({
      both: yes,
      one: yes,
      none: no,
      after: yes,
      newNqn: false,
    });
  });

  /** The node of the source, its VolumeAttachment and its pod disappear, and the reconcile loop looks. */
  const lose = async (world: World) => {
    const connect = ({ nqn, hostNqn }: { nqn: string; hostNqn: string }) =>
      world.stack.simulator.device.connectHost(nqn, hostNqn);
    const source = await world.publish("node-a");
    return {
      reconnects: () => connect(source),
      now: async () => {
        world.at(61);
        world.cluster.nodeNames.delete("node-a");
        await world.reconcile(true);
      },
    };
  };
  const reasons = (world: World) => world.events().map((event) => event.split(/[ :]/)[1]);

  test("a lost node of two: cleared but not called fenced; under epoch it may reconnect until the last leaves", async () => {
    for (const fencing of ["epoch", "epoch+hosts"] as const) {
      const world = await start({ fencing });
      const lost = await lose(world);
      await world.publish("node-b");
      world.cluster.addAttachment(VOLUME, "node-b");
      await lost.now();
      expect(reasons(world)).toEqual(["MigrationStarted", "StaleAttachmentCleared", "MigrationCompleted"]);
      expect(lost.reconnects()).toBe(fencing === "epoch");
      await world.unpublish("node-b");
      expect(lost.reconnects()).toBe(false);
      await world.publish("node-b");
      expect(lost.reconnects()).toBe(false);
    }
  });

  test("the only node is lost: VolumeFenced, and that is true; without fencing it says so", async () => {
    for (const fencing of ["epoch", "off"] as const) {
      const world = await start({ fencing });
      const lost = await lose(world);
      await lost.now();
      expect(reasons(world)).toEqual(["StaleAttachmentCleared", "VolumeFenced"]);
      expect(world.events().at(-1)).toEndWith(
        fencing === "off"
          ? "fencing is off, so it may connect again if it returns"
          : "if it returns, it finds nothing under its old NQN",
      );
      expect(lost.reconnects()).toBe(false);
      await world.publish("node-b");
      expect(lost.reconnects()).toBe(fencing === "off");
    }
  });

  const ELSEWHERE = "no running pod uses the claim on node node-a, so nothing can be migrating from there";
  /** The second node is refused, is no migration, and gets the volume under a new NQN once the first is detached. */
  const waitsForDetach = async (world: World, before: string) => {
    const refused = await answer(world.publish("node-b"));
    expect(refused).toStartWith("holderNotDetached FAILED_PRECONDITION: ");
    expect(refused).toEndWith(ELSEWHERE);
    expect(await world.nodes()).toEqual(["node-a"]);
    await world.unpublish("node-a");
    expect((await world.publish("node-b")).nqn).not.toBe(before);
    expect(await world.nodes()).toEqual(["node-b"]);
    // Nobody is warned of a usual hand-over.
    expect(reasons(world)).toEqual([]);
  };

  test("a force-deleted launcher pod lets nobody in until its node is detached", async () => {
    const world = await start();
    const { nqn } = await world.publish("node-a");
    world.cluster.pods.splice(0);
    world.cluster.addLauncher("virt-launcher-vm1-7m2xc", "vm1-started-anew", "node-b", CLAIM);
    await waitsForDetach(world, nqn);
    expect(page).toContain(ELSEWHERE);
  });

  test("a machine that starts elsewhere beside a completed source waits, and is not reported as a migration", async () => {
    const world = await start();
    const { nqn } = await world.publish("node-a");
    world.cluster.pods.splice(0);
    world.cluster.addPod("importer", "node-a", CLAIM, { phase: "Succeeded" });
    world.cluster.addLauncher("virt-launcher-vm1-7m2xc", "vm1", "node-b", CLAIM);
    await waitsForDetach(world, nqn);
  });

  test("an export that was switched off by hand is on again with the second node, under the same NQN", async () => {
    const world = await start();
    const { device } = world.stack.simulator;
    const { nqn, hostNqn } = await world.publish("node-a");
    await device.setDisk(VOLUME, { "nvme-tcp-export": false });
    expect(device.connectHost(nqn, hostNqn)).toBe(false);
    expect((await world.publish("node-b")).nqn).toBe(nqn);
    expect(device.connectHost(nqn, hostNqn)).toBe(true);
  });

  test("a migration without limit is never overdue", async () => {
    const world = await start({ parameters: { migrationTimeoutSeconds: "auto" } });
    world.cluster.config = UNLIMITED;
    await world.publish("node-a");
    await world.publish("node-b");
    world.at(1_000_000);
    await world.reconcile();
    expect(reasons(world)).toEqual(["MigrationStarted"]);
  });

  test("a replica that stops reconciling shows no drift any more", async () => {
    const world = await start();
    await world.publish("node-a");
    await world.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": false });
    await world.reconcile();
    const shown = async () =>
      /drift\{kind="not-exported"\} (\d)/.exec(await world.stack.registry.metrics())?.[1];
    expect(await shown()).toBe("1");
    await world.reconciler(false).run(AbortSignal.abort());
    expect(await shown()).toBeUndefined();
  });

  test("a pod that comes later, on a node that is attached already, is not seen", async () => {
    const world = await start();
    await world.publish("node-a");
    world.cluster.addPod("backup", "node-a", CLAIM);
    expect(await answer(world.publish("node-a"))).toBe("OK");
  });

  test("labels of a machine are not believed, a reference to it as controller is", async () => {
    const labels = {
      "kubevirt.io": "virt-launcher",
      "kubevirt.io/created-by": "uid-vm1",
      "vm.kubevirt.io/name": "vm1",
    };
    const world = await start();
    world.cluster.pods.splice(1, 1);
    world.cluster.addPod("forged", "node-b", CLAIM, { labels });
    await world.publish("node-a");
    expect(await answer(world.publish("node-b"))).toEndWith("pod vms/forged belongs to no virtual machine");
    world.cluster.pods.splice(1, 1);
    world.cluster.addLauncher("forged", "vm1", "node-b", CLAIM);
    expect(await answer(world.publish("node-b"))).toBe("OK");
  });

  test("a disk that two machines share on one node: the migration of either is refused", async () => {
    const world = await start();
    world.cluster.addLauncher("virt-launcher-vm2-8hd4s", "vm2", "node-a", CLAIM);
    await world.publish("node-a");
    expect(await answer(world.publish("node-a"))).toBe("OK");
    expect(await answer(world.publish("node-b"))).toContain("belong to different virtual machines");
  });
});

describe.skipIf(PROMTOOL === null)("queries and alerts, by promtool on the driver's own output", () => {
  const recording = new Recording();
  const LAST = 60;
  let world: World | undefined;
  afterAll(async () => world?.stack.close());

  /** One hour of a cluster: four migrations that end, one that still runs, refusals, drift. Two replicas are scraped. */
  beforeAll(async () => {
    const on = await World.start();
    world = on;
    const replica = on.stack.controller();
    const scrape = async (minute: number) => {
      on.at(minute * 60);
      for (const [instance, stack] of [
        ["leader", on.stack],
        ["replica", replica],
      ] as const) {
        await stack.refreshCounts();
        recording.scrape(instance, minute, await stack.registry.metrics());
      }
    };
    await scrape(0);
    await scrape(1);
    await on.publish("node-a");
    await on.publish("node-b");
    await scrape(2);
    on.at(60 + 42);
    on.cluster.moveMachine("vm1", "node-b");
    await on.unpublish("node-a");
    await scrape(3);
    await on.publish("node-a");
    on.at(180 + 48);
    on.cluster.moveMachine("vm1", "node-a");
    await on.unpublish("node-b");
    await scrape(5);
    await on.publish("node-b");
    on.at(300 + 75);
    await on.unpublish("node-b");
    await scrape(8);
    await on.publish("node-b");
    for (const _ of [1, 2]) expect(await answer(on.publish("node-c"))).toStartWith("thirdNode");
    await scrape(9);
    on.at(480 + 301);
    await on.reconcile();
    expect(await answer(on.publish("node-c"))).toStartWith("migrationOverdue");
    await scrape(14);
    on.at(480 + 600);
    on.cluster.moveMachine("vm1", "node-b");
    await on.unpublish("node-a");
    await scrape(20);
    // A second writer that goes on for minutes.
    on.cluster.addPod("backup", "node-a", CLAIM);
    for (const minute of [21, 25, 30]) {
      expect(await answer(on.publish("node-a"))).toContain("pod vms/backup belongs to no");
      await scrape(minute);
    }
    on.cluster.pods.pop();
    await on.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": false });
    await on.reconcile();
    await on.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": true });
    await scrape(40);
    // A machine that starts before its old node is detached; some seconds later it has the volume.
    const [old] = on.cluster.pods.splice(1, 1);
    expect(await answer(on.publish("node-a"))).toContain("nothing can be migrating from there");
    if (old !== undefined) on.cluster.pods.push(old);
    await scrape(45);
    await on.publish("node-a");
    await scrape(58);
    await scrape(LAST);
  }, 60_000);

  // Worked out by hand from the hour above; the two replicas must not be counted twice.
  const DURATIONS = [42, 48, 75, 600];
  const expected: Record<string, Samples> = {
    "sum by (result) (increase(rds_csi_migration_migrations_total[24h]))": {
      '{result="success"}': 2,
      '{result="failed"}': 1,
      '{result="timeout"}': 1,
    },
    'sum(increase(rds_csi_migration_migrations_total{result="success"}[24h])) / sum(increase(rds_csi_migration_migrations_total[24h]))':
      { "{}": 0.5 },
    // The fourth of four is in the bucket 300-600; Prometheus interpolates within it.
    "histogram_quantile(0.95, sum by (le) (increase(rds_csi_migration_duration_seconds_bucket[24h])))": {
      "{}": 300 + 300 * (0.95 * 4 - 3),
    },
    "sum(increase(rds_csi_migration_duration_seconds_sum[24h])) / sum(increase(rds_csi_migration_duration_seconds_count[24h]))":
      { "{}": DURATIONS.reduce((sum, each) => sum + each) / DURATIONS.length },
    "max(rds_csi_migration_active_migrations)": { "{}": 1 },
    "max(rds_csi_attachment_dual_attached_volumes)": { "{}": 1 },
    "sum by (cause) (increase(rds_csi_attachment_refusals_total[1h]))": {
      '{cause="third-node"}': 2,
      '{cause="overdue"}': 1,
      '{cause="not-proven"}': 4,
      '{cause="attached-elsewhere"}': 0,
      '{cause="guard-unavailable"}': 0,
      '{cause="incompatible"}': 0,
    },
    "max by (kind) (rds_csi_attachment_drift) > 0": { '{kind="not-exported"}': 1 },
    "sum(increase(rds_csi_attachment_stale_cleared_total[24h]))": { "{}": 0 },
  };
  const rules = blocksOf(page).find(
    ({ language, text }) => language === "yaml" && text.startsWith("groups:"),
  );
  const alertRules: Manifest[] = rules === undefined ? [] : documentsOf(rules)[0].groups[0].rules;
  /** Minutes at which each alert must be silent, and fire. */
  const alerts: Record<string, { silent: number[]; fires: number[]; labels?: Record<string, string> }> = {
    RdsCsiMigrationOverdue: { silent: [1, 9], fires: [15, 40] },
    RdsCsiMigrationFailed: { silent: [1, 5], fires: [9, 60] },
    // Refused from minute 21 to 30; the single refusal of minute 45 is not worth an alert.
    RdsCsiSecondWriterRefused: { silent: [1, 15, 35, 45, 52, 60], fires: [37] },
    RdsCsiTwoNodesForLong: { silent: [1, 60], fires: [] },
    RdsCsiAttachmentDrift: { silent: [30, 45], fires: [55], labels: { kind: "not-exported" } },
    RdsCsiMigrationMetricsMissing: { silent: [1, 60], fires: [] },
  };
  const summaryOf = (name: string, labels: Record<string, string> = {}) =>
    String(alertRules.find(({ alert }) => alert === name)?.annotations.summary).replace(
      /\{\{ \$labels\.(\w+) \}\}/g,
      (_, label) => labels[label] ?? "",
    );
  const severityOf = (name: string) => alertRules.find(({ alert }) => alert === name)?.labels.severity;
  const alertTests = (over: typeof alerts = alerts) =>
    Object.entries(over).flatMap(([name, { silent, fires, labels = {} }]) => [
      ...silent.map((minute) => ({ name, minute, fires: [] })),
      ...fires.map((minute) => ({
        name,
        minute,
        fires: [{ labels: { severity: severityOf(name), ...labels }, summary: summaryOf(name, labels) }],
      })),
    ]);

  test("every query of the page has an expected value here, and every alert", () => {
    expect(promqlBlocks.map(({ text }) => text).sort()).toEqual(Object.keys(expected).sort());
    expect(alertRules.map(({ alert }) => alert).sort()).toEqual(Object.keys(alerts).sort());
  });

  test("queries yield the right values, alerts fire when they should", async () => {
    const input = recording.input();
    expect(input.length).toBeGreaterThan(30);
    const result = {
      rules: rules?.text ?? "",
      input,
      minute: LAST,
      expressions: expected,
      alerts: alertTests(),
    };
    expect(await testRules(result)).toBe("");
  });

  test("alerts that need hours or the absence of the controller fire then", async () => {
    const dual = 'rds_csi_attachment_dual_attached_volumes{instance="leader"}';
    const active = 'rds_csi_migration_active_migrations{instance="leader"}';
    expect(recording.series).toContain(dual);
    expect(recording.series).toContain(active);
    const result = {
      rules: rules?.text ?? "",
      input: [
        { series: dual, values: "1x240" },
        { series: active, values: "1x100 _x140" },
      ],
      minute: 0,
      expressions: {},
      alerts: alertTests({
        RdsCsiTwoNodesForLong: { silent: [179], fires: [181] },
        RdsCsiMigrationMetricsMissing: { silent: [100, 110], fires: [120] },
      }),
    };
    expect(await testRules(result)).toBe("");
  });

  test("this test can fail: a wrong value and a wrong name are found", async () => {
    const base = { rules: rules?.text ?? "", input: recording.input(), minute: LAST, alerts: [] };
    const [name = ""] = Object.keys(expected);
    expect(await testRules({ ...base, expressions: { [name]: { '{result="success"}': 3 } } })).toContain(
      "FAILED",
    );
    const typo = { "max(rds_csi_migration_active_migration)": { "{}": 1 } };
    expect(await testRules({ ...base, expressions: typo })).toContain("FAILED");
  });

  test("the exposition passes promtool check metrics", async () => {
    const text = (await world?.stack.registry.metrics()) ?? "";
    expect(text).toContain("rds_csi_migration_migrations_total");
    expect(await promtool(["check", "metrics"], text)).toEqual({ code: 0, text: "" });
  });
});
