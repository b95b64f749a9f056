import { type ChartSource, valuesOf } from "../chart/chart.ts";
import { valueRows } from "../chart/values-text.ts";

/** `docs/helm.md`, complete. */
export function helmPage(source: ChartSource): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  // A list or a map that fills a screen is in values.yaml.
  const shown = (value: string): string => (value.length > 40 ? "see values.yaml" : `\`${value}\``);
  const rows = valueRows(valuesOf(source)).map(
    ([key, value, meaning]) => `| \`${key}\` | ${cell(shown(value))} | ${cell(meaning)} |`,
  );
  return `# Install with Helm

<!-- Generated from scripts/lib/docs/helm-page.ts and the manifests by scripts/docs; a test compares. Do not edit. -->
The chart \`manifests/chart\` makes the same objects as \`kubectl apply -k\`: its templates are generated from
\`manifests/base\` and the components, and a test compares both for every switch. [install.md](install.md) has what comes before:
the RDS's user, its key, its host key, and the image. [manifests.md](manifests.md) explains each object.

## Install

Write your values into a file:

<!-- helm -->
\`\`\`yaml
config:
  rds-address: 192.0.2.10
  nvme-address: 198.51.100.10
  pool: storage-pool
image:
  repository: images.example.org/storage/rds-csi
networkPolicy:
  rdsCidrs:
    - 192.0.2.10/32
kubevirt:
  enabled: true
monitoring:
  enabled: true
\`\`\`

The namespace needs the labels of Pod Security, as the node's plugin is privileged. The Secret is made once, outside of the chart, so
that Helm keeps no copy of the key:

<!-- helm -->
\`\`\`sh
kubectl create namespace rds-csi
kubectl label namespace rds-csi pod-security.kubernetes.io/enforce=privileged
kubectl create secret generic rds-csi-rds -n rds-csi --from-file=key=rds-csi-key --from-file=known_hosts=known_hosts
helm install rds-csi manifests/chart -n rds-csi -f values.yaml --wait
\`\`\`

Helm checks the values first. A key of \`config\` that the driver does not know, or a missing address, is named, and nothing is installed.

With \`--set-file deviceProfile=box.yaml\` the controller knows [what your RDS has answered](probe.md#into-the-pod). Give it at each
upgrade too: without it the file is gone.

With \`--set-file rds.key=FILE\` instead, the chart makes the Secret, and an upgrade without it leaves the Secret as it is.

## Upgrade, roll back, uninstall

A new version restarts the pods; mounts and connections stay. [upgrade.md](upgrade.md) says what to look at before.

<!-- helm -->
\`\`\`sh
helm upgrade rds-csi manifests/chart -n rds-csi -f values.yaml --wait
helm rollback rds-csi -n rds-csi --wait
\`\`\`

Delete workloads and claims before the driver, as [install.md](install.md#uninstall) says.

<!-- helm -->
\`\`\`sh
helm uninstall rds-csi -n rds-csi --wait
kubectl delete namespace rds-csi
\`\`\`

The volumes' records stay on the RDS. Their copies, the ConfigMaps \`rds-csi-records-…\`, go with the namespace.

## Differences from kustomize

- The ConfigMap has a fixed name. An annotation of the pods has the hash of the configuration, so a change restarts them all the same.
- The namespace is not part of a release, unless \`namespace.create\` is set, as for \`helm template\`.
- A class that exists cannot be changed: \`storageClass.create: false\` leaves yours alone.

## Values

\`helm show values manifests/chart\` prints them with their descriptions.

| value | default | meaning |
|---|---|---|
${rows.join("\n")}
`;
}
