import type { OptionDefinition } from "../../../src/config/option.ts";
import { driverOptions } from "../docs/configuration-page.ts";

/** A JSON schema, as far as it is used here. */
export type Schema = Readonly<Record<string, unknown>>;

/** One value of the chart. */
export interface Leaf {
  readonly description: string;
  readonly default: unknown;
  readonly schema: Schema;
}

/** Values below a key. */
export interface Group {
  readonly description?: string;
  readonly values: Readonly<Record<string, Leaf | Group>>;
}

/** What the manifests say, so that they and the chart have one source. */
export interface ManifestDefaults {
  readonly config: Readonly<Record<string, unknown>>;
  readonly driverImage: string;
  readonly replicas: number;
  readonly controller: PodDefaults;
  readonly node: PodDefaults & { readonly maxUnavailable: string | number };
  /** By the key below `sidecars`. */
  readonly sidecars: Readonly<Record<string, SidecarDefaults>>;
}

interface PodDefaults {
  readonly resources: unknown;
  readonly tolerations: unknown;
  readonly priorityClassName: string;
  readonly nodeSelector: unknown;
}

interface SidecarDefaults {
  readonly container: string;
  readonly image: string;
  readonly resources: unknown;
}

const TEXT = { type: "string" };
const SWITCH = { type: "boolean" };
const MAP_OF_TEXTS = { type: "object", additionalProperties: TEXT };
const RESOURCES = {
  type: "object",
  additionalProperties: false,
  properties: {
    ...{ requests: { type: "object" }, limits: { type: "object" }, claims: { type: "array" } },
  },
};
const DIGEST = { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" };

const leaf = (description: string, value: unknown, schema: Schema): Leaf => ({
  ...{ description, default: value, schema },
});
const group = (values: Group["values"], description?: string): Group =>
  description === undefined ? { values } : { description, values };

/** Name and tag of an image. */
function partsOf(image: string): { readonly repository: string; readonly tag: string } {
  const at = image.lastIndexOf(":");
  return { repository: image.slice(0, at), tag: image.slice(at + 1) };
}

const imageValues = (repository: string, tag: string, tagText: string): Group["values"] => ({
  repository: leaf("Name with registry.", repository, { ...TEXT, minLength: 1 }),
  tag: leaf(tagText, tag, TEXT),
  digest: leaf("`sha256:…`: counts instead of the tag.", "", DIGEST),
});

const podValues = ({
  resources,
  tolerations,
  priorityClassName,
  nodeSelector,
}: PodDefaults): Group["values"] => ({
  resources: leaf("Of the container `driver`.", resources, RESOURCES),
  nodeSelector: leaf("Nodes that run it.", nodeSelector, MAP_OF_TEXTS),
  tolerations: leaf("A list of your own replaces this one.", tolerations, {
    type: "array",
    items: { type: "object" },
  }),
  priorityClassName: leaf("Empty: the cluster's default.", priorityClassName, TEXT),
});

/** All values of the chart, in the order in which they are written. */
export function chartValues(from: ManifestDefaults): Group {
  const { repository } = partsOf(from.driverImage);
  return group({
    config: leaf(
      "Configuration of controller, nodes and commands: the keys of docs/configuration.md. `rds-address` and `nvme-address` are required.",
      from.config,
      configSchema(),
    ),
    deviceProfile: leaf(
      "What your RDS has answered, by `--set-file deviceProfile=FILE` with the file of `rds-csi probe --save`; the controller then has `device-profile` (docs/probe.md). Give it at each upgrade: without it the file is gone.",
      "",
      TEXT,
    ),
    rds: group({
      secret: leaf("Name of the Secret with `key` and `known_hosts`.", "rds-csi-rds", {
        ...TEXT,
        minLength: 1,
      }),
      key: leaf(
        "The user's private key, by `--set-file rds.key=FILE`: the chart then makes the Secret, and leaves it when it is empty again. Empty: the Secret exists. Helm keeps values in the cluster, so a Secret of your own is better.",
        "",
        TEXT,
      ),
      knownHosts: leaf("The RDS's host keys, by `--set-file`; together with `key`.", "", TEXT),
    }),
    image: group(
      {
        ...imageValues(repository, "", "Empty: the chart's appVersion."),
        pullPolicy: leaf("Of all containers.", "IfNotPresent", { enum: ["Always", "IfNotPresent", "Never"] }),
      },
      "The driver's image.",
    ),
    imagePullSecrets: leaf("As `- name: SECRET`, of both kinds of pods.", [], {
      type: "array",
      items: { type: "object", required: ["name"], additionalProperties: false, properties: { name: TEXT } },
    }),
    controller: group({
      replicas: leaf("All serve; one reconcile loop, and one of each sidecar, leads.", from.replicas, {
        type: "integer",
        minimum: 1,
      }),
      ...podValues(from.controller),
    }),
    node: group({
      kubeletRoot: leaf("kubelet's directory; k0s has /var/lib/k0s/kubelet.", "/var/lib/kubelet", {
        ...TEXT,
        pattern: "^/.*[^/]$",
      }),
      maxUnavailable: leaf("Of a rollout: nodes at a time, or a share.", from.node.maxUnavailable, {
        anyOf: [{ type: "integer", minimum: 1 }, TEXT],
      }),
      ...podValues(from.node),
    }),
    sidecars: group(
      Object.fromEntries(
        Object.entries(from.sidecars).map(([key, { container, image, resources }]) => {
          const parts = partsOf(image);
          return [
            key,
            group(
              {
                image: group(
                  imageValues(parts.repository, parts.tag, "A version that docs/upgrade.md names."),
                ),
                resources: leaf("Of the container.", resources, RESOURCES),
              },
              container,
            ),
          ];
        }),
      ),
    ),
    storageClass: group({
      create: leaf("The class `rds`: ext4 for pods.", true, SWITCH),
      isDefault: leaf("It is the cluster's default class.", false, SWITCH),
    }),
    kubevirt: group({
      enabled: leaf(
        "With KubeVirt: the class `rds-vm` for virtual machines, and the right to read KubeVirt's objects.",
        false,
        SWITCH,
      ),
    }),
    snapshots: group({
      enabled: leaf(
        "The sidecar csi-snapshotter and the class `rds` of snapshots. The cluster needs external-snapshotter's custom resources and controller (docs/backup.md).",
        false,
        SWITCH,
      ),
    }),
    monitoring: group({
      enabled: leaf(
        "With the Prometheus operator: PodMonitors, alerts, and a NetworkPolicy that lets Prometheus in. The node's metrics leave the loopback interface.",
        false,
        SWITCH,
      ),
      labels: leaf(
        "Of PodMonitors and alerts: those by which your Prometheus selects them.",
        {},
        MAP_OF_TEXTS,
      ),
      dashboards: leaf(
        "ConfigMaps with Grafana's dashboards, for its sidecar; they need no operator.",
        false,
        SWITCH,
      ),
      namespace: leaf("Of Prometheus.", "monitoring", { ...TEXT, minLength: 1 }),
    }),
    diagnosePods: group({
      enabled: leaf(
        "`rds-csi diagnose` on a node names the pods that use a volume; every node may then list the pods of all nodes.",
        false,
        SWITCH,
      ),
    }),
    nodeRestriction: group({
      enabled: leaf(
        "An admission policy that keeps a node's account to its own Node. Needs Kubernetes 1.30.",
        true,
        SWITCH,
      ),
    }),
    networkPolicy: group({
      enabled: leaf("Limits whom the controller reaches, and lets nobody in.", true, SWITCH),
      rdsCidrs: leaf("Addresses of the RDS, as 192.0.2.10/32. Empty: any.", [], {
        type: "array",
        items: { ...TEXT, minLength: 1 },
      }),
      rdsPort: leaf("SSH port of the RDS; also `rds-port` of config.", 22, PORT),
      apiPorts: leaf("Of the API server, as pods reach it.", [443, 6443], { type: "array", items: PORT }),
    }),
    namespace: group({
      create: leaf(
        "Makes the namespace of the release, for `helm template`. `helm install` needs one that exists (docs/helm.md).",
        false,
        SWITCH,
      ),
    }),
  });
}

const PORT = { type: "integer", minimum: 1, maximum: 65_535 };

/** Every key that a command of the driver knows. */
function configSchema(): Schema {
  const SCALAR = { type: ["string", "number", "boolean"] };
  const schemaOf = ({ description, expects, repeatable }: OptionDefinition<unknown>): Schema => ({
    description: `${description} (${expects})`,
    ...(repeatable ? { anyOf: [SCALAR, { type: "array", items: SCALAR }] } : SCALAR),
  });
  const properties = Object.fromEntries(
    [...driverOptions()].flatMap(([name, option]) =>
      FIXED.includes(name) ? [] : [[name, schemaOf(option)]],
    ),
  );
  const address = { ...SCALAR, minLength: 1 };
  return {
    type: "object",
    additionalProperties: false,
    properties: {
      ...properties,
      ...Object.fromEntries(
        REQUIRED.map((name) => [name, { description: properties[name]?.description, ...address }]),
      ),
    },
    required: REQUIRED,
  };
}

/** What the templates set: names that stand in several objects, and paths of containers. */
const FIXED = ["driver-name", "endpoint", "metrics-address", "state-dir", "node-id", "kubelet-dir"];
const REQUIRED = ["rds-address", "nvme-address"];
