import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Document, isMap, isSeq, parseAllDocuments, stringify } from "yaml";
import { dashboardFiles } from "../dashboards/dashboards.ts";
import { type Path, Template } from "./template.ts";
import { chartValues, type ManifestDefaults } from "./values.ts";
import { GENERATED, schemaText, valuesText } from "./values-text.ts";

/** The manifests, and the version of the program. */
export interface ChartSource {
  /** Folder `manifests`. */
  readonly manifests: string;
  readonly version: string;
}

/** Containers of sidecars by the keys below `sidecars`. */
const SIDECARS = {
  provisioner: "csi-provisioner",
  attacher: "csi-attacher",
  resizer: "csi-resizer",
  snapshotter: "csi-snapshotter",
  livenessProbe: "liveness-probe",
  nodeDriverRegistrar: "node-driver-registrar",
} as const;

/** Each template, from one file of the manifests; with a condition for the whole file. */
const TEMPLATES: Readonly<Record<string, { readonly from: string; readonly when?: string }>> = {
  namespace: { from: "base/namespace.yaml", when: ".Values.namespace.create" },
  "csi-driver": { from: "base/csi-driver.yaml" },
  controller: { from: "base/controller.yaml" },
  "controller-rbac": { from: "base/controller-rbac.yaml" },
  "sidecar-rbac": { from: "base/sidecar-rbac.yaml" },
  node: { from: "base/node.yaml" },
  "node-rbac": { from: "base/node-rbac.yaml" },
  "node-restriction": { from: "base/node-restriction.yaml", when: ".Values.nodeRestriction.enabled" },
  "network-policy": { from: "base/network-policy.yaml", when: ".Values.networkPolicy.enabled" },
  "storage-class": { from: "base/storage-class.yaml", when: ".Values.storageClass.create" },
  "kubevirt-rbac": { from: "components/kubevirt/rbac.yaml", when: ".Values.kubevirt.enabled" },
  "kubevirt-storage-class": {
    from: "components/kubevirt/storage-class.yaml",
    when: ".Values.kubevirt.enabled",
  },
  "snapshots-rbac": { from: "components/snapshots/rbac.yaml", when: ".Values.snapshots.enabled" },
  "snapshots-class": { from: "components/snapshots/snapshot-class.yaml", when: ".Values.snapshots.enabled" },
  "pod-monitor": { from: "components/monitoring/pod-monitor.yaml", when: ".Values.monitoring.enabled" },
  "metrics-network-policy": {
    from: "components/monitoring/network-policy.yaml",
    when: "and .Values.monitoring.enabled .Values.networkPolicy.enabled",
  },
  "diagnose-pods-rbac": { from: "components/diagnose-pods/rbac.yaml", when: ".Values.diagnosePods.enabled" },
};

/** The generated files of the chart by their paths below `manifests/chart`. */
export function chartFiles(source: ChartSource): Record<string, string> {
  const files = new Map(Object.entries(TEMPLATES).map(([name, { from }]) => [name, read(source, from)]));
  const snapshotter = read(source, SNAPSHOTTER);
  const values = valuesOf(source);
  const templates = [...files].map(([name, documents]) => {
    const template = new Template(documents);
    for (const document of documents) everywhere(template, document);
    RULES[name]?.(template, snapshotter);
    return [`templates/${name}.yaml`, template.print(TEMPLATES[name]?.when)];
  });
  const rules = read(source, "components/monitoring/rules.yaml")[0]?.toJS();
  return {
    // Not a template: its annotations have actions of Prometheus.
    "files/rules.yaml": `# ${GENERATED}\n${stringify(rules.spec, { lineWidth: 0 })}`,
    ...Object.fromEntries(Object.entries(dashboardFiles()).map(([name, text]) => [`files/${name}`, text])),
    "Chart.yaml": chartText(source.version),
    "values.yaml": valuesText(values, (value) => stringify(value, { lineWidth: 0 })),
    "values.schema.json": schemaText(values),
    ...Object.fromEntries(templates),
  };
}

/** The values of the chart. */
export function valuesOf(source: ChartSource): ReturnType<typeof chartValues> {
  return chartValues(defaultsOf(source));
}

/** The patch that adds the sidecar for snapshots. */
const SNAPSHOTTER = "components/snapshots/snapshotter.yaml";

function read({ manifests }: ChartSource, path: string): Document.Parsed[] {
  return parseAllDocuments(readFileSync(join(manifests, path), "utf8")) as Document.Parsed[];
}

function chartText(version: string): string {
  return `# ${GENERATED}
apiVersion: v2
name: rds-csi
description: CSI driver for the MikroTik ROSE Data Server, block storage by NVMe/TCP
type: application
version: ${version}
appVersion: ${version}
# Older APIs have no ValidatingAdmissionPolicy: nodeRestriction.enabled=false.
kubeVersion: ">=1.28.0-0"
keywords: [storage, csi, nvme, kubevirt, mikrotik]
`;
}

type Objects = readonly Document.Parsed[];

/** The namespace of the release, and the label that kustomize adds. */
function everywhere(template: Template, document: Document.Parsed): void {
  const inNamespace = (path: Path) => {
    if (document.getIn(path as string[]) === "rds-csi")
      template.inline(document, path, "{{ .Release.Namespace }}");
  };
  for (const path of [["metadata"], ["spec", "template", "metadata"]])
    if (document.hasIn(path)) document.setIn([...path, "labels", "app.kubernetes.io/part-of"], "rds-csi");
  if (document.get("kind") === "Namespace") inNamespace(["metadata", "name"]);
  inNamespace(["metadata", "namespace"]);
  const subjects = document.get("subjects");
  if (isSeq(subjects)) for (const at of subjects.items.keys()) inNamespace(["subjects", at, "namespace"]);
}

const POD = ["spec", "template", "spec"] as const;
const CONTAINERS = [...POD, "containers"] as const;
const container = (name: string): Path => [...CONTAINERS, { name }];
const volume = (name: string): Path => [...POD, "volumes", { name }];

/** An action that prints an image. @param image the values @param tag an expression, for values without a tag */
const imageAction = (image: string, tag: string): string =>
  `{{ include "rds-csi.image" (dict "image" ${image} "tag" ${tag}) }}`;

/** Both kinds of pods. */
function pods(template: Template, document: Document.Parsed, values: string): void {
  for (const name of namesIn(document, CONTAINERS)) {
    const sidecar = Object.entries(SIDECARS).find(([, each]) => each === name)?.[0];
    const of = sidecar === undefined ? values : `.Values.sidecars.${sidecar}`;
    const image =
      sidecar === undefined
        ? imageAction(".Values.image", ".Chart.AppVersion")
        : imageAction(`${of}.image`, '""');
    template.inline(document, [...container(name), "image"], image);
    template.inline(document, [...container(name), "imagePullPolicy"], "{{ .Values.image.pullPolicy }}");
    template.block(document, [...container(name), "resources"], `${of}.resources`);
  }
  template.inline(document, [...POD, "priorityClassName"], "{{ . }}");
  template.wrap(document, [...POD, "priorityClassName"], `with ${values}.priorityClassName`);
  if (!document.hasIn([...POD, "nodeSelector"]))
    template.insert(document, POD, "nodeSelector", "tolerations");
  template.block(document, [...POD, "nodeSelector"], ".");
  template.wrap(document, [...POD, "nodeSelector"], `with ${values}.nodeSelector`);
  template.block(document, [...POD, "tolerations"], ".");
  template.wrap(document, [...POD, "tolerations"], `with ${values}.tolerations`);
  template.insert(document, POD, "imagePullSecrets", "serviceAccountName");
  template.block(document, [...POD, "imagePullSecrets"], ".");
  template.wrap(document, [...POD, "imagePullSecrets"], "with .Values.imagePullSecrets");
  // A change of the configuration restarts the pods, as the hash in the name does that kustomize gives the ConfigMap.
  const checksum = ["spec", "template", "metadata", "annotations", "checksum/config"];
  document.setIn(checksum, "");
  template.inline(document, checksum, '{{ include "rds-csi.config" . | sha256sum }}');
}

/** The names of the items of a list. */
function namesIn(document: Document.Parsed, path: Path): string[] {
  const list = document.getIn(path as string[]);
  return isSeq(list) ? list.items.flatMap((each) => (isMap(each) ? [String(each.get("name"))] : [])) : [];
}

const KUBELET = "/var/lib/kubelet";
const ROOT = "{{ .Values.node.kubeletRoot }}";

/** What is special to a template. @param snapshotter the patch that adds the sidecar */
const RULES: Readonly<Record<string, (template: Template, snapshotter: Objects) => void>> = {
  controller: (template, snapshotter) => {
    const document = template.of("Deployment", "rds-csi-controller");
    const sidecar = snapshotter[0]?.getIn([...CONTAINERS, 0], true);
    document.addIn(CONTAINERS, sidecar);
    pods(template, document, ".Values.controller");
    template.wrap(document, container(SIDECARS.snapshotter), "if .Values.snapshots.enabled");
    template.inline(document, ["spec", "replicas"], "{{ .Values.controller.replicas }}");
    template.inline(document, [...volume("rds"), "secret", "secretName"], "{{ .Values.rds.secret }}");
  },

  node: (template) => {
    const document = template.of("DaemonSet", "rds-csi-node");
    pods(template, document, ".Values.node");
    const driver = container("driver");
    const isOther = `if ne .Values.node.kubeletRoot "${KUBELET}"`;
    document.addIn(
      [...CONTAINERS, 0, "env"],
      document.createNode({ name: "RDS_CSI_KUBELET_DIR", value: KUBELET }),
    );
    template.inline(document, [...driver, "env", { name: "RDS_CSI_KUBELET_DIR" }, "value"], ROOT);
    template.wrap(document, [...driver, "env", { name: "RDS_CSI_KUBELET_DIR" }], isOther);
    template.inline(document, [...driver, "volumeMounts", { name: "kubelet-dir" }, "mountPath"], ROOT);
    const registrar = container(SIDECARS.nodeDriverRegistrar);
    template.inline(document, [...registrar, "env", { name: "KUBELET_ROOT" }, "value"], ROOT);
    for (const name of namesIn(document, [...POD, "volumes"])) {
      const path = [...volume(name), "hostPath", "path"];
      const found = template.get(document, path);
      if (typeof found === "string" && found.startsWith(KUBELET))
        template.inline(document, path, found.replace(KUBELET, ROOT));
    }
    const address = "--metrics-address=127.0.0.1:29809";
    template.inlineItem(
      document,
      [...driver, "args"],
      address,
      "--metrics-address={{ if not .Values.monitoring.enabled }}127.0.0.1{{ end }}:29809",
    );
    const most = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];
    template.inline(document, most, "{{ .Values.node.maxUnavailable }}");
  },

  "network-policy": (template) => {
    const document = template.of("NetworkPolicy", "rds-csi-controller");
    const egress = ["spec", "egress"];
    template.inline(document, [...egress, 0, "ports", 0, "port"], "{{ .Values.networkPolicy.rdsPort }}");
    // Behind the ports, as a condition cannot stand before the first key of an item.
    document.setIn([...egress, 0, "to"], null);
    template.block(document, [...egress, 0, "to"], '(include "rds-csi.cidrs" . | fromYamlArray)');
    template.wrap(document, [...egress, 0, "to"], "with .Values.networkPolicy.rdsCidrs");
    template.block(
      document,
      [...egress, 1, "ports"],
      '(include "rds-csi.ports" .Values.networkPolicy.apiPorts | fromYamlArray)',
    );
  },

  "storage-class": (template) => {
    const document = template.of("StorageClass", "rds");
    document.setIn(["metadata", "annotations"], { "storageclass.kubernetes.io/is-default-class": "true" });
    template.wrap(document, ["metadata", "annotations"], "if .Values.storageClass.isDefault");
  },

  "pod-monitor": (template) => {
    for (const document of template.documents)
      template.extend(document, ["metadata", "labels"], ".Values.monitoring.labels");
    const controller = template.of("PodMonitor", "rds-csi-controller");
    added(template, controller, ["spec", "podMetricsEndpoints"], { port: "snapshotter", interval: "60s" });
  },

  "metrics-network-policy": (template) => {
    const document = template.of("NetworkPolicy", "rds-csi-controller-metrics");
    const from = ["spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels"];
    template.inline(document, [...from, "kubernetes.io/metadata.name"], "{{ .Values.monitoring.namespace }}");
    added(template, document, ["spec", "ingress", 0, "ports"], { protocol: "TCP", port: "snapshotter" });
  },
};

/** Adds an item that only snapshots need. */
function added(template: Template, document: Document.Parsed, path: Path, item: unknown): void {
  document.addIn(path as string[], document.createNode(item));
  const list = document.getIn(path as string[]);
  const last = isSeq(list) ? list.items.length - 1 : 0;
  template.wrap(document, [...path, last], "if .Values.snapshots.enabled");
}

/** What the manifests say of each value. */
function defaultsOf(source: ChartSource): ManifestDefaults {
  const [controller, node, snapshotter] = ["base/controller.yaml", "base/node.yaml", SNAPSHOTTER].map(
    (path) => read(source, path)[0]?.toJS(),
  );
  const containers = [controller, node, snapshotter].flatMap((each) => each.spec.template.spec.containers);
  const podOf = ({ spec }: typeof controller) => ({
    resources: spec.template.spec.containers[0].resources,
    tolerations: spec.template.spec.tolerations,
    priorityClassName: spec.template.spec.priorityClassName,
    nodeSelector: spec.template.spec.nodeSelector ?? {},
  });
  const {
    "rds-address": _,
    "nvme-address": __,
    ...config
  } = read(source, "base/config.yaml")[0]?.toJS() ?? {};
  return {
    config,
    driverImage: controller.spec.template.spec.containers[0].image,
    replicas: controller.spec.replicas,
    controller: podOf(controller),
    node: { ...podOf(node), maxUnavailable: node.spec.updateStrategy.rollingUpdate.maxUnavailable },
    sidecars: Object.fromEntries(
      Object.entries(SIDECARS).map(([key, name]) => {
        const { image, resources } = containers.find((each) => each.name === name);
        return [key, { container: name, image, resources }];
      }),
    ),
  };
}
