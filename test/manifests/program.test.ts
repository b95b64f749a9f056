import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandOptions, knownNames } from "../../src/cli/options.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { DEFAULT_DRIVER_NAME, driverName } from "../../src/config/common-options.ts";
import { loadControllerConfig, loadNodeConfig, loadVolumesConfig } from "../../src/config/load.ts";
import { envNameOf, type OptionTable } from "../../src/config/option.ts";
import { readConfigFile } from "../../src/config/sources.ts";
import { readParameters } from "../../src/controller/parameters.ts";
import { chooseSize } from "../../src/controller/sizes.ts";
import { capabilityProblem } from "../../src/domain/capability-problem.ts";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { capabilitiesOf } from "../docs/manifests.fixture.ts";
import {
  describeSets,
  files,
  MANIFESTS,
  type Manifest,
  named,
  ofKind,
  templates,
} from "./manifests.fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "rds-csi-manifests-"));
afterAll(() => rmSync(directory, { recursive: true }));

const key = newEd25519Key();
const keyFile = join(directory, "key");
const hostKeyFile = join(directory, "known_hosts");
writeFileSync(keyFile, key.private, { mode: 0o600 });
writeFileSync(hostKeyFile, `192.0.2.10 ${key.public}\n`);

/** What a driver container is run with: flags by name, and the environment with the values that Kubernetes puts in. */
function input(container: Manifest, configText: string) {
  const [command, ...rest] = container.args as string[];
  const flags: Record<string, string[]> = {};
  for (const flag of rest) {
    const [, name, value] = /^--([a-z-]+)=(.+)$/.exec(flag) ?? [];
    if (name === undefined || value === undefined) throw new Error(`flag ${flag}`);
    flags[name] = [value];
  }
  const env: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env ?? [])
    env[name] =
      value ?? { "metadata.namespace": "rds-csi" }[valueFrom.fieldRef.fieldPath as string] ?? "some-name";
  const file = join(directory, `config-${Bun.hash(configText)}.yaml`);
  writeFileSync(
    file,
    configText.replace("/etc/rds/key", keyFile).replace("/etc/rds/known_hosts", hostKeyFile),
  );
  return { command, flags, env: { ...env, [envNameOf("config")]: file }, file };
}

/** The configuration that the pods of a set mount. */
function configOf(objects: readonly Manifest[]): Promise<string> {
  const [map] = ofKind(objects, "ConfigMap");
  return map === undefined ? Bun.file(join(MANIFESTS, "base/config.yaml")).text() : map.data["config.yaml"];
}

const driverOf = (template: Manifest) => named(template.spec.template.spec.containers, "driver");

describeSets((objects) => {
  const [controller] = ofKind(objects, "Deployment");
  const [node] = ofKind(objects, "DaemonSet");

  test("the controller starts with its flags, variables and configuration", async () => {
    const { command, ...given } = input(driverOf(controller), await configOf(objects));
    expect(command).toBe("controller");
    const config = await loadControllerConfig(given);
    expect(config).toMatchObject({
      endpoint: "/csi/csi.sock",
      orchestrator: "kubernetes",
      driverName: driverName.defaultText,
      podName: "some-name",
      leaseNamespace: "rds-csi",
      metricsAddress: ":9809",
    });
    // The same environment serves `kubectl exec ... -- rds-csi volumes list`.
    const volumes = await loadVolumesConfig({ flags: {}, env: given.env });
    expect(volumes.rds).toEqual(config.rds);
    expect(volumes.orchestrator).toBe("kubernetes");
    expect(volumes.clusterId).toBe(config.clusterId);
  });

  test("a node starts with its flags, variables and the same configuration", async () => {
    const { command, ...given } = input(driverOf(node), await configOf(objects));
    expect(command).toBe("node");
    const config = await loadNodeConfig(given);
    expect(config).toMatchObject({
      endpoint: "/csi/csi.sock",
      nodeId: "some-name",
      orchestrator: "kubernetes",
      dataPath: "nvme-tcp",
      removeStartupTaint: true,
    });
    const nodeId = named(driverOf(node).env, envNameOf("node-id"));
    expect(nodeId.valueFrom.fieldRef.fieldPath).toBe("spec.nodeName");
  });

  test("every flag and variable of the driver is an option of its command, every key of the file is known", async () => {
    for (const template of templates(objects)) {
      const { command, flags, env, file } = input(driverOf(template), await configOf(objects));
      const table: OptionTable = commandOptions[command as "controller" | "node"];
      const names = Object.values(table).map(({ name }) => name);
      expect(Object.keys(flags).filter((name) => !names.includes(name))).toEqual([]);
      // Commands that are run in the same container read its variables too.
      const inContainer = Object.values(commandOptions.diagnose).map(({ name }) => name);
      const variables = [...names, ...inContainer, "config"].map(envNameOf);
      expect(Object.keys(env).filter((name) => !variables.includes(name))).toEqual([]);
      expect((await readConfigFile(file, knownNames)).mistakes).toEqual([]);
    }
  });

  test("the command exists", () => {
    const stop = new AbortController().signal;
    const io = { env: {}, out: () => {}, err: () => {}, columns: undefined, colour: false, stop };
    const program = buildProgram(io, () => {});
    for (const template of templates(objects)) {
      const { command, args } = driverOf(template);
      expect(command).toEqual([program.name()]);
      expect(program.commands.map((each) => each.name())).toContain(args[0]);
    }
  });

  test("the grace period is longer than the driver takes to stop", async () => {
    for (const template of templates(objects)) {
      const given = input(driverOf(template), await configOf(objects));
      const load = given.command === "node" ? loadNodeConfig : loadControllerConfig;
      const { shutdownTimeoutSeconds } = await load(given);
      // Watches, events and connections end after the calls.
      expect(template.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(
        shutdownTimeoutSeconds + 10,
      );
    }
  });

  test("StorageClasses and the CSIDriver have the driver's name, and it takes their parameters", () => {
    expect(ofKind(objects, "CSIDriver").map(({ metadata }) => metadata.name)).toEqual([
      driverName.defaultText,
    ]);
    for (const { provisioner, parameters } of ofKind(objects, "StorageClass")) {
      expect(provisioner).toBe(driverName.defaultText);
      expect(readParameters(parameters).settings.migrationGuard).toBe("enforce");
    }
  });
});

describe("examples", () => {
  const all = [...files].filter(([path]) => path.startsWith("examples/")).flatMap(([, found]) => found);
  const classes = [...files.values()].flat().filter((object) => object?.kind === "StorageClass");

  test("every claim is of a class of ours, and the driver accepts what it asks for", () => {
    const claims = ofKind(all, "PersistentVolumeClaim");
    expect(claims.length).toBe(5);
    const attributes = ofKind(all, "VolumeAttributesClass");
    for (const { driverName, parameters } of attributes) {
      expect(driverName).toBe(DEFAULT_DRIVER_NAME);
      expect(() => readParameters({}, parameters)).not.toThrow();
    }
    const named = claims.flatMap(({ spec }) => spec.volumeAttributesClassName ?? []);
    expect(named).toEqual(attributes.map(({ metadata }) => metadata.name));
    for (const { spec } of claims) {
      expect(classes.map(({ metadata }) => metadata.name)).toContain(spec.storageClassName);
      for (const capability of capabilitiesOf(spec)) expect(capabilityProblem(capability)).toBeUndefined();
    }
  });

  test("pods use a claim of their file, as what it is", () => {
    for (const [path, documents] of files) {
      for (const pod of ofKind(documents, "Pod")) {
        const [claim] = ofKind(documents, "PersistentVolumeClaim");
        expect([path, pod.spec.volumes[0].persistentVolumeClaim.claimName]).toEqual([
          path,
          claim.metadata.name,
        ]);
        const [container] = pod.spec.containers;
        const use = claim.spec.volumeMode === "Block" ? container.volumeDevices : container.volumeMounts;
        expect(use[0].name).toBe(pod.spec.volumes[0].name);
      }
    }
  });

  test("the machine migrates: ReadWriteMany block, LiveMigrate, no page cache, a migration of its name", () => {
    const [machine] = ofKind(all, "VirtualMachine");
    const { spec } = machine.spec.template;
    expect(spec.evictionStrategy).toBe("LiveMigrate");
    const onClaims = spec.volumes.filter((volume: Manifest) => "persistentVolumeClaim" in volume);
    const names = onClaims.map(({ name }: Manifest) => name);
    const disks = spec.domain.devices.disks.filter(({ name }: Manifest) => names.includes(name));
    expect(disks.map((disk: Manifest) => disk.cache)).toEqual(["none"]);
    expect(spec.volumes.map(({ name }: Manifest) => name)).toEqual(
      spec.domain.devices.disks.map(({ name }: Manifest) => name),
    );
    const used = onClaims.map((volume: Manifest) => volume.persistentVolumeClaim.claimName);
    expect(used).toHaveLength(1);
    for (const claimName of used) {
      const claim = ofKind(all, "PersistentVolumeClaim").find(({ metadata }) => metadata.name === claimName);
      expect(claim.spec).toMatchObject({ accessModes: ["ReadWriteMany"], volumeMode: "Block" });
      const [storageClass] = classes.filter(({ metadata }) => metadata.name === claim.spec.storageClassName);
      expect(readParameters(storageClass.parameters).settings.migrationGuard).toBe("enforce");
    }
    const [migration] = ofKind(all, "VirtualMachineInstanceMigration");
    expect(migration.spec.vmiName).toBe(machine.metadata.name);
  });

  test("StorageProfiles: of a class of ours, sets with both fields that the driver accepts", () => {
    for (const { metadata, spec } of ofKind(all, "StorageProfile")) {
      expect(classes.map(({ metadata: { name } }) => name)).toContain(metadata.name);
      for (const set of spec.claimPropertySets) {
        expect(Object.keys(set).sort()).toEqual(["accessModes", "volumeMode"]);
        for (const capability of capabilitiesOf(set)) expect(capabilityProblem(capability)).toBeUndefined();
      }
    }
  });

  test("disks: the default of their profile migrates, golden images are ReadWriteOnce", () => {
    const [profile] = files.get("examples/kubevirt/storage-profile.yaml") ?? [];
    expect(profile.spec.claimPropertySets).toEqual([
      { accessModes: ["ReadWriteMany"], volumeMode: "Block" },
      { accessModes: ["ReadWriteOnce"], volumeMode: "Block" },
    ]);
    expect(profile.metadata.annotations["cdi.kubevirt.io/useReadWriteOnceForDataImportCron"]).toBe("true");
    expect(profile.spec.cloneStrategy).toBe("csi-clone");
  });

  test("disks: their profile names the VolumeSnapshotClass of the component snapshots", () => {
    const [profile] = files.get("examples/kubevirt/storage-profile.yaml") ?? [];
    const [snapshotClass] = files.get("components/snapshots/snapshot-class.yaml") ?? [];
    expect(snapshotClass.kind).toBe("VolumeSnapshotClass");
    expect(profile.spec.snapshotClass).toBe(snapshotClass.metadata.name);
  });

  test("state of vTPM and EFI: the class before its profile, ReadWriteOnce with a filesystem, deleted with its claim", () => {
    const documents = files.get("examples/kubevirt/vm-state.yaml") ?? [];
    // CDI deletes a profile whose class does not exist.
    expect(documents.map(({ kind }) => kind)).toEqual(["StorageClass", "StorageProfile"]);
    const [state, profile] = documents;
    expect(profile.metadata.name).toBe(state.metadata.name);
    // CDI leaves a profile without effect whose VolumeSnapshotClass does not exist, and then the machine does not start.
    expect(profile.spec.snapshotClass).toBeUndefined();
    // KubeVirt takes the access mode of the first set with a filesystem, and makes a claim at each migration.
    expect(profile.spec.claimPropertySets).toEqual([
      { accessModes: ["ReadWriteOnce"], volumeMode: "Filesystem" },
    ]);
    expect(state).toMatchObject({ reclaimPolicy: "Delete", volumeBindingMode: "Immediate" });
    expect(state.provisioner).toBe(driverName.defaultText);
    expect(() => readParameters(state.parameters)).not.toThrow();
    // Its claims ask for 10Mi, less than an ext4 of ours has.
    const range = { requiredBytes: 10n * 1024n ** 2n, limitBytes: 0n };
    const [set] = profile.spec.claimPropertySets;
    expect(chooseSize(range, capabilitiesOf(set))).toBeGreaterThanOrEqual(range.requiredBytes);
  });

  test("the Secret has what the configuration names, and no key is in the repository", async () => {
    const [secret] = ofKind(all, "Secret");
    const [map] = files.get("base/config.yaml") ?? [];
    expect(Object.keys(secret.stringData).map((name) => `/etc/rds/${name}`)).toEqual([
      map["rds-key-file"],
      map["rds-host-key-file"],
    ]);
    for (const value of Object.values(secret.stringData)) expect(value).toMatch(/^<.+>\n$/);
  });

  test("the site's NetworkPolicy lets the controller reach the RDS of its configuration", () => {
    const [config] = files.get("examples/site/config.yaml") ?? [];
    const [policy] = files.get("examples/site/network-policy.yaml") ?? [];
    expect(policy.spec.egress[0].to).toEqual([{ ipBlock: { cidr: `${config["rds-address"]}/32` } }]);
    expect(policy.spec.egress[0].ports).toEqual([{ protocol: "TCP", port: 22 }]);
  });
});
