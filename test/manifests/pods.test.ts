import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { refusedVariables } from "../../src/cli/runtime-variables.ts";
import { driverName } from "../../src/config/common-options.ts";
import { nodeOnly } from "../../src/config/node-options.ts";
import { PluginCapability_Service_Type as PluginService } from "../../src/csi/gen/csi_pb.ts";
import { PLUGIN_SERVICES } from "../../src/csi/identity.ts";
import { describeSets, type Manifest, named, ofKind, templates } from "./manifests.fixture.ts";

const podOf = (template: Manifest): Manifest => template.spec.template.spec;
const containersOf = (template: Manifest): Manifest[] => [
  ...(podOf(template).initContainers ?? []),
  ...podOf(template).containers,
];
/** A flag's value, with the container's variables put in as kubelet does. */
function flag(container: Manifest, name: string): string {
  const given = (container.args as string[]).filter((arg) => arg.startsWith(`--${name}=`));
  if (given.length !== 1) throw new Error(`${container.name} has ${given.length} --${name}`);
  return (given[0] ?? "")
    .slice(name.length + 3)
    .replace(/\$\((\w+)\)/g, (_, variable) => named(container.env, variable).value);
}
const mountAt = (container: Manifest, path: string): Manifest => {
  const found = container.volumeMounts.filter(({ mountPath }: Manifest) => mountPath === path);
  if (found.length !== 1) throw new Error(`${container.name} mounts ${found.length} at ${path}`);
  return found[0];
};
const isDriver = ({ image }: Manifest) => /(^|\/)rds-csi:/.test(image);

/** Flags of the sidecars' versions, from their sources and csi-lib-utils' standard flags. */
const STANDARD =
  "automaxprocs csi-address http-endpoint kube-api-burst kube-api-qps kubeconfig leader-election " +
  "leader-election-labels leader-election-lease-duration leader-election-namespace " +
  "leader-election-renew-deadline leader-election-retry-period metrics-address metrics-path v version";
const SIDECAR_FLAGS: Readonly<Record<string, string>> = {
  "csi-provisioner:v6.4.0": `${STANDARD} timeout retry-interval-start retry-interval-max worker-threads default-fstype extra-create-metadata enable-capacity capacity-ownerref-level capacity-poll-interval strict-topology immediate-topology`,
  "csi-attacher:v4.13.0": `${STANDARD} timeout retry-interval-start retry-interval-max worker-threads default-fstype reconcile-sync resync max-entries`,
  "csi-resizer:v2.3.0": `${STANDARD} timeout retry-interval-start retry-interval-max workers handle-volume-inuse-error resync-period extra-modify-metadata feature-gates`,
  "csi-snapshotter:v8.7.0": `${STANDARD} timeout retry-interval-start retry-interval-max worker-threads extra-create-metadata snapshot-name-prefix snapshot-name-uuid-length resync-period node-deployment feature-gates`,
  "livenessprobe:v2.19.0": "csi-address http-endpoint health-port probe-timeout metrics-path v version",
  "csi-node-driver-registrar:v2.17.0":
    "csi-address http-endpoint kubelet-registration-path plugin-registration-path timeout v version",
};

test("the sidecars have the versions that the tests of the cluster run", async () => {
  const modules = await readFile(join(import.meta.dir, "../cluster/sidecars/go.mod"), "utf8");
  const versions = [...modules.matchAll(/^\s*github\.com\/kubernetes-csi\/external-(\w+)\/v\d+ (v\S+)/gm)];
  expect(versions).toHaveLength(4);
  for (const [, name, version] of versions) expect(SIDECAR_FLAGS).toHaveProperty([`csi-${name}:${version}`]);
});

describeSets((objects) => {
  const [controller] = ofKind(objects, "Deployment");
  const [node] = ofKind(objects, "DaemonSet");
  const nodeDriver = named(containersOf(node), "driver");
  const all = templates(objects).flatMap((template) =>
    containersOf(template).map((container) => ({ template, container })),
  );

  test("there are two workloads, and each container has one of the known images", () => {
    expect(templates(objects)).toHaveLength(2);
    for (const { container } of all) {
      const image = container.image.split("/").at(-1);
      expect(isDriver(container) || Object.keys(SIDECAR_FLAGS).includes(image)).toBe(true);
      if (!isDriver(container)) expect(container.image).toStartWith("registry.k8s.io/sig-storage/");
    }
    const hasSnapshots = ofKind(objects, "VolumeSnapshotClass").length > 0;
    const wanted = Object.keys(SIDECAR_FLAGS).filter(
      (name) => hasSnapshots || !name.startsWith("csi-snapshotter:"),
    );
    for (const name of wanted) expect(all.some(({ container }) => container.image.endsWith(name))).toBe(true);
  });

  test("no variable of a container makes the runtime do something else", () => {
    for (const { container } of all) {
      expect(container.envFrom).toBeUndefined();
      const names = (container.env ?? []).map(({ name }: Manifest) => name) as string[];
      expect(refusedVariables(Object.fromEntries(names.map((name) => [name, ""])))).toEqual([]);
      expect(names.filter((name) => /^(LD_|NODE_(?!NAME$|ID$)|SSL_|GLIBC_)/.test(name))).toEqual([]);
    }
  });

  test("images are pinned, and not pulled again", () => {
    for (const { container } of all) {
      if (isDriver(container)) expect(container.image).toEndWith(`:${packageJson.version}`);
      else expect(container.image).toMatch(/:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$/);
      expect(container.imagePullPolicy).toBe("IfNotPresent");
    }
  });

  test("sidecars get only flags that their version has", () => {
    for (const { container } of all.filter((each) => !isDriver(each.container))) {
      const known = (SIDECAR_FLAGS[container.image.split("/").at(-1)] ?? "").split(" ");
      const given = container.args.map((arg: string) => /^--([a-z-]+)(=|$)/.exec(arg)?.[1] ?? arg);
      expect(given.filter((name: string) => !known.includes(name))).toEqual([]);
      expect(new Set(given).size).toBe(given.length);
      for (const [, variable] of container.args.join(" ").matchAll(/\$\((\w+)\)/g))
        expect(named(container.env, variable).name).toBe(variable);
    }
  });

  test("only the driver on a node is privileged; everything else has no capability and cannot get one", () => {
    for (const { template, container } of all) {
      const { securityContext } = container;
      expect(securityContext.readOnlyRootFilesystem).toBe(true);
      expect(podOf(template).securityContext.seccompProfile).toEqual({ type: "RuntimeDefault" });
      if (container === nodeDriver) continue;
      expect(securityContext.privileged ?? false).toBe(false);
      expect(securityContext.allowPrivilegeEscalation).toBe(false);
      expect(securityContext.capabilities).toEqual({ drop: ["ALL"] });
    }
    expect(nodeDriver.securityContext.privileged).toBe(true);
    expect(podOf(controller).securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532 });
    for (const name of ["hostNetwork", "hostPID", "hostIPC"]) expect(podOf(controller)[name]).toBeUndefined();
    expect(podOf(controller).volumes.some((volume: Manifest) => volume.hostPath !== undefined)).toBe(false);
  });

  test("every container has requests, a memory limit and no CPU limit, and leaves its last words", () => {
    for (const { container } of all) {
      expect(container.resources.requests).toEqual({ cpu: expect.anything(), memory: expect.anything() });
      expect(Object.keys(container.resources.limits)).toEqual(["memory"]);
      expect(container.terminationMessagePolicy).toBe("FallbackToLogsOnError");
    }
  });

  test("Services cannot set options; priorities are those of the cluster's own", () => {
    for (const template of templates(objects)) expect(podOf(template).enableServiceLinks).toBe(false);
    expect(podOf(controller).priorityClassName).toBe("system-cluster-critical");
    expect(podOf(node).priorityClassName).toBe("system-node-critical");
  });

  test("every mount is of a volume, every volume is mounted, and no path is mounted twice", () => {
    for (const template of templates(objects)) {
      const volumes = podOf(template).volumes.map(({ name }: Manifest) => name);
      const mounts = containersOf(template).flatMap((container) => container.volumeMounts);
      expect(new Set(mounts.map(({ name }) => name))).toEqual(new Set(volumes));
      for (const { volumeMounts } of containersOf(template)) {
        const paths = volumeMounts.map(({ mountPath }: Manifest) => mountPath);
        expect(new Set(paths).size).toBe(paths.length);
      }
    }
  });

  test("both pods mount the configuration that there is", () => {
    const all = ofKind(objects, "ConfigMap").map(({ metadata }) => metadata.name);
    const made = all.filter((name) => name !== "rds-csi-dashboards");
    // The base's files have only its generator.
    const names = made.length === 0 ? ["rds-csi-config"] : made;
    for (const template of templates(objects))
      expect(names).toEqual([named(podOf(template).volumes, "config").configMap.name]);
  });

  test("all containers of a pod speak at one socket", () => {
    for (const template of templates(objects)) {
      const driver = named(containersOf(template), "driver");
      const socket = flag(driver, "endpoint").replace("unix://", "");
      const { name } = mountAt(driver, "/csi");
      expect(socket).toBe("/csi/csi.sock");
      for (const sidecar of containersOf(template).filter((each) => each !== driver)) {
        expect(flag(sidecar, "csi-address")).toBe(socket);
        expect(mountAt(sidecar, "/csi").name).toBe(name);
      }
    }
  });

  test("kubelet finds the node's socket: root directory, volumes, mounts and registration agree", () => {
    const { volumes } = podOf(node);
    const hostPath = (name: string) => named(volumes, name).hostPath.path;
    const root = hostPath("kubelet-dir");
    expect(mountAt(nodeDriver, root)).toEqual({
      name: "kubelet-dir",
      mountPath: root,
      mountPropagation: "Bidirectional",
    });
    const plugin = `${root}/plugins/${driverName.defaultText}`;
    expect(hostPath("plugin-dir")).toBe(plugin);
    expect(hostPath("registration-dir")).toBe(`${root}/plugins_registry`);
    const registrar = named(containersOf(node), "node-driver-registrar");
    expect(flag(registrar, "kubelet-registration-path")).toBe(`${plugin}/csi.sock`);
    // Where the registrar puts its own socket unless it is told otherwise.
    expect(mountAt(registrar, "/registration").name).toBe("registration-dir");
    // No other kubelet root is left over.
    for (const [path] of JSON.stringify(node).matchAll(/\/[\w/.-]*kubelet(?=["/])/g)) expect(path).toBe(root);
    // sun_path of Linux.
    expect(`${plugin}/csi.sock`.length).toBeLessThan(108);
  });

  test("the node driver has the host's devices, sysfs and modules, its directory, and sees all processes", () => {
    expect(podOf(node)).toMatchObject({ hostNetwork: true, hostPID: true });
    expect(podOf(node).tolerations).toEqual([{ operator: "Exists" }]);
    const path = (mount: Manifest) => named(podOf(node).volumes, mount.name).hostPath.path;
    for (const same of ["/dev", "/sys"]) expect(path(mountAt(nodeDriver, same))).toBe(same);
    expect(mountAt(nodeDriver, "/lib/modules").readOnly).toBe(true);
    expect(path(mountAt(nodeDriver, "/lib/modules"))).toBe("/lib/modules");
    const stateDir = flag(nodeDriver, "state-dir");
    expect(path(mountAt(nodeDriver, stateDir))).toBe(stateDir);
    expect(stateDir).toBe(nodeOnly.stateDir.defaultText ?? "");
    // Only the driver has the token and the host.
    for (const sidecar of containersOf(node).filter((each) => each !== nodeDriver)) {
      const volumes = sidecar.volumeMounts.map(({ name }: Manifest) => name);
      expect(["plugin-dir", "registration-dir"]).toEqual(expect.arrayContaining(volumes));
    }
    expect(podOf(node).automountServiceAccountToken).toBe(false);
    expect(node.spec.updateStrategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: "10%" },
    });
  });

  test("probes ask ports that are served: liveness the sidecar, never /readyz", () => {
    for (const template of templates(objects)) {
      const driver = named(containersOf(template), "driver");
      const port = (name: string) => String(named(driver.ports, name).containerPort);
      const live = driver.livenessProbe.httpGet;
      expect([live.path, live.port]).toEqual(["/healthz", "healthz"]);
      const sidecar = named(containersOf(template), "liveness-probe");
      expect(flag(sidecar, "http-endpoint").split(":").at(-1)).toBe(port("healthz"));
      // kubelet waits longer than the sidecar, so that its answer is heard.
      expect(driver.livenessProbe.timeoutSeconds).toBeGreaterThan(
        parseInt(flag(sidecar, "probe-timeout"), 10),
      );
      const ready = driver.readinessProbe.httpGet;
      expect([ready.path, ready.port]).toEqual(["/readyz", "metrics"]);
      expect(flag(driver, "metrics-address").split(":").at(-1)).toBe(port("metrics"));
      for (const each of containersOf(template)) {
        if (each === driver || each.name === "node-driver-registrar" || each.livenessProbe === undefined)
          continue;
        const { path, port: name } = each.livenessProbe.httpGet;
        expect(path).toBe("/healthz/leader-election");
        expect(each.args).toContain("--leader-election");
        expect(flag(each, "http-endpoint")).toBe(`:${named(each.ports, name).containerPort}`);
      }
      const ports = containersOf(template).flatMap((each) => each.ports ?? []);
      expect(new Set(ports.map(({ containerPort }) => containerPort)).size).toBe(ports.length);
      expect(new Set(ports.map(({ name }) => name)).size).toBe(ports.length);
    }
    // The node's ports are the host's: below NodePorts (30000) and the kernel's outgoing ones (32768).
    for (const { ports = [] } of containersOf(node))
      for (const { containerPort } of ports) expect(containerPort).toBeWithin(20_000, 30_000);
    for (const probe of ["livenessProbe", "readinessProbe"])
      expect(nodeDriver[probe].httpGet.host).toBe("127.0.0.1");
    const registrar = named(containersOf(node), "node-driver-registrar");
    expect(registrar.livenessProbe.httpGet).toEqual({
      host: "127.0.0.1",
      path: "/healthz",
      port: "registrar",
    });
    expect(registrar.startupProbe.httpGet).toEqual(registrar.livenessProbe.httpGet);
    expect(flag(registrar, "http-endpoint")).toBe(
      `127.0.0.1:${named(registrar.ports, "registrar").containerPort}`,
    );
  });

  test("two controllers, on two machines where possible, and one at least during a drain", () => {
    const { replicas, selector } = controller.spec;
    expect(replicas).toBe(2);
    const [budget] = ofKind(objects, "PodDisruptionBudget");
    expect(budget.spec).toEqual({ maxUnavailable: 1, selector });
    const affinity =
      podOf(controller).affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
    expect(affinity[0].podAffinityTerm.labelSelector).toEqual(selector);
    expect(podOf(controller).topologySpreadConstraints[0].labelSelector).toEqual(selector);
  });

  test("capacity is published if it is heeded, and both only if the driver has topology: else pods wait for it", () => {
    // The provisioner of a driver without topology deletes its CSIStorageCapacity again, and the scheduler of a class with
    // WaitForFirstConsumer then finds no room on any node.
    const provisioner = named(containersOf(controller), "csi-provisioner");
    const publishes = provisioner.args.some((arg: string) => /^--enable-capacity(=true)?$/.test(arg));
    const [csiDriver] = ofKind(objects, "CSIDriver");
    const services: readonly number[] = PLUGIN_SERVICES;
    const hasTopology = services.includes(PluginService.VOLUME_ACCESSIBILITY_CONSTRAINTS);
    expect(publishes).toBe(csiDriver.spec.storageCapacity === true);
    expect(publishes && !hasTopology).toBe(false);
    expect(JSON.stringify(objects).includes("csistoragecapacities")).toBe(publishes);
  });

  test("selectors select their pods and no others", () => {
    const selects = (labels: Manifest, template: Manifest) =>
      Object.entries(labels).every(([name, value]) => template.spec.template.metadata.labels[name] === value);
    for (const template of templates(objects)) {
      const { matchLabels } = template.spec.selector;
      expect(templates(objects).filter((each) => selects(matchLabels, each))).toEqual([template]);
    }
    for (const { spec } of ofKind(objects, "NetworkPolicy"))
      expect(templates(objects).filter((each) => selects(spec.podSelector.matchLabels, each))).toEqual([
        controller,
      ]);
    for (const { metadata, spec } of ofKind(objects, "PodMonitor")) {
      const [template, ...others] = templates(objects).filter((each) =>
        selects(spec.selector.matchLabels, each),
      );
      expect(others).toEqual([]);
      expect(template.metadata.name).toBe(metadata.name);
      for (const { port } of spec.podMetricsEndpoints)
        named(
          containersOf(template).flatMap(({ ports }) => ports ?? []),
          port,
        );
    }
  });

  test("Prometheus may reach exactly the controller's ports that it is told to scrape", () => {
    const monitors = ofKind(objects, "PodMonitor").filter(
      ({ metadata }) => metadata.name === controller.metadata.name,
    );
    const scraped = monitors.flatMap(({ spec }) =>
      spec.podMetricsEndpoints.map(({ port }: Manifest) => port),
    );
    const open = ofKind(objects, "NetworkPolicy")
      .flatMap(({ spec }) => spec.ingress ?? [])
      .flatMap(({ ports }) => ports.map(({ port }: Manifest) => port));
    expect(open.sort()).toEqual(scraped.sort());
    // Its namespace reaches the node at its address only if it is not on the loopback interface.
    const nodes = ofKind(objects, "PodMonitor").some(({ metadata }) => metadata.name === node.metadata.name);
    expect(flag(nodeDriver, "metrics-address").startsWith("127.0.0.1:")).toBe(!nodes);
  });

  test("the controller may reach SSH, the API server and DNS", () => {
    const policy = named(
      ofKind(objects, "NetworkPolicy").map((object) => ({ name: object.metadata.name, ...object })),
      controller.metadata.name,
    );
    expect(policy.spec.policyTypes).toEqual(["Ingress", "Egress"]);
    const ports = policy.spec.egress.flatMap((rule: Manifest) =>
      rule.ports.map(({ protocol, port }: Manifest) => `${protocol} ${port}`),
    );
    expect(ports).toEqual(["TCP 22", "TCP 443", "TCP 6443", "UDP 53", "TCP 53"]);
  });

  test("modes of secrets are the decimal numbers of what they should be", () => {
    expect(named(podOf(controller).volumes, "rds").secret).toEqual({
      secretName: "rds-csi-rds",
      defaultMode: 0o440,
    });
    expect(named(podOf(node).volumes, "api-access").projected.defaultMode).toBe(0o400);
    // Nodes need no SSH access, so they have no key.
    expect(JSON.stringify(node)).not.toContain("rds-csi-rds");
  });

  test("the namespace lets the node plugin be privileged", () => {
    const [namespace] = ofKind(objects, "Namespace");
    expect(namespace.metadata.labels["pod-security.kubernetes.io/enforce"]).toBe("privileged");
  });
});
