import { CONTROL } from "../addresses.ts";
import { INSIDE } from "../machine.ts";

const PROGRAM = [`${INSIDE.repository}/dist/rds-csi`, `${INSIDE.repository}/test/cluster/earlier/main.ts`];
const ENDPOINT = "--endpoint=unix:///csi/csi.sock";

/** The pod of a component with the earlier driver in place of this one, which has neither metrics nor readiness. */
const pod = (args: readonly string[]) => ({
  spec: {
    containers: [
      {
        name: "driver",
        command: PROGRAM,
        args,
        env: [{ name: "BUN_BE_BUN", value: "1" }],
        readinessProbe: null,
        volumeMounts: [{ name: "repository", mountPath: INSIDE.repository, readOnly: true }],
      },
    ],
    volumes: [{ name: "repository", hostPath: { path: INSIDE.repository } }],
  },
});

/**
 * Patches that make the manifests of this driver those of the earlier one: its programs, one controller, its CSIDriver. Sidecars and rights
 * stay, which are no part of a swap.
 */
export const EARLIER_PATCHES: readonly object[] = [
  {
    target: { kind: "Deployment", name: "rds-csi-controller" },
    patch: {
      spec: { replicas: 1, template: pod([ENDPOINT, `--rds-address=${CONTROL}`]) },
    },
  },
  {
    target: { kind: "DaemonSet", name: "rds-csi-node" },
    patch: {
      spec: {
        template: pod([
          ...[ENDPOINT, "--node-id=$(RDS_CSI_NODE_ID)", `--exports-dir=${INSIDE.rds}/exports`],
          "--state-dir=/var/lib/rds-csi/$(RDS_CSI_NODE_ID)",
        ]),
      },
    },
  },
  {
    target: { kind: "CSIDriver" },
    patch: { spec: { podInfoOnMount: true, storageCapacity: true, fsGroupPolicy: "File" } },
  },
].map(({ target, patch }) => ({
  target,
  // A strategic merge names its object.
  patch: JSON.stringify({ ...header(target.kind), ...patch }),
}));

function header(kind: string) {
  return kind === "CSIDriver"
    ? { apiVersion: "storage.k8s.io/v1", kind, metadata: { name: "rds.csi.srvlab.io" } }
    : {
        ...{ apiVersion: "apps/v1", kind },
        metadata: {
          name: kind === "Deployment" ? "rds-csi-controller" : "rds-csi-node",
          namespace: "rds-csi",
        },
      };
}
