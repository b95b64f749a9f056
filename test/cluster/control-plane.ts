import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { API, CONTROL, SERVICES } from "./addresses.ts";
import { INSIDE, type Machine } from "./machine.ts";
import { kubeconfig, makeCertificates, Tokens } from "./pki.ts";

const ETCD = "http://127.0.0.1:2379";
const PEERS = "http://127.0.0.1:2380";
const at = (name: string) => `${INSIDE.machine}/${name}`;
/** Path of the authority's certificate in every machine. */
export const AUTHORITY = at("pki/ca.crt");

/** Tokens of users outside of the control plane. */
export interface Credentials {
  readonly admin: string;
  /** Of each node's kubelet. */
  readonly nodes: ReadonlyMap<string, string>;
}

/** Writes certificates, tokens and kubeconfigs of the control plane. */
export async function prepareControlPlane(control: Machine, nodes: readonly string[]): Promise<Credentials> {
  const here = (name: string) => join(control.directory, name);
  await mkdir(here("etcd"), { recursive: true, mode: 0o700 });
  await makeCertificates(here("pki"));
  await copyFile(join(import.meta.dirname, "audit-policy.yaml"), here("audit-policy.yaml"));
  const tokens = new Tokens();
  const admin = tokens.add("admin", "system:masters");
  for (const name of ["kube-controller-manager", "kube-scheduler"]) {
    const text = kubeconfig(API, AUTHORITY, tokens.add(`system:${name}`));
    await writeFile(here(`${name}.kubeconfig`), text, { mode: 0o600 });
  }
  await writeFile(here("admin.kubeconfig"), kubeconfig(API, AUTHORITY, admin), { mode: 0o600 });
  const credentials = new Map(nodes.map((name) => [name, tokens.add(`system:node:${name}`, "system:nodes")]));
  await tokens.write(here("pki/tokens.csv"));
  return { admin, nodes: credentials };
}

/** Starts etcd and the API server, and waits until the latter is ready. */
export async function startApi(control: Machine): Promise<void> {
  await startEtcd(control);
  await startApiServer(control);
}

async function startEtcd(control: Machine): Promise<void> {
  await control.daemon("etcd", [
    ...["etcd", "--name=cluster", `--data-dir=${at("etcd")}`, "--unsafe-no-fsync"],
    ...[`--listen-client-urls=${ETCD}`, `--advertise-client-urls=${ETCD}`],
    ...[`--listen-peer-urls=${PEERS}`, `--initial-advertise-peer-urls=${PEERS}`],
    `--initial-cluster=cluster=${PEERS}`,
  ]);
}

export async function startApiServer(control: Machine): Promise<void> {
  await control.daemon("kube-apiserver", [
    ...["kube-apiserver", `--etcd-servers=${ETCD}`, "--bind-address=0.0.0.0", "--secure-port=443"],
    ...["--endpoint-reconciler-type=none", `--advertise-address=${CONTROL}`],
    ...[`--tls-cert-file=${at("pki/api.crt")}`, `--tls-private-key-file=${at("pki/api.key")}`],
    ...[`--token-auth-file=${at("pki/tokens.csv")}`, `--client-ca-file=${at("pki/ca.crt")}`],
    ...["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"],
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${at("pki/accounts.pub")}`,
    `--service-account-signing-key-file=${at("pki/accounts.key")}`,
    ...[`--service-cluster-ip-range=${SERVICES}`, "--allow-privileged=true", "--profiling=false"],
    ...[`--audit-policy-file=${at("audit-policy.yaml")}`, `--audit-log-path=${at("audit.log")}`],
    // For kubectl exec and logs, which Kubernetes' own tests need.
    `--kubelet-client-certificate=${at("pki/kubelet-client.crt")}`,
    `--kubelet-client-key=${at("pki/kubelet-client.key")}`,
    "--kubelet-preferred-address-types=InternalIP",
  ]);
  await awaitApi(control);
}

export async function awaitApi(control: Machine): Promise<void> {
  await control.await(
    "kube-apiserver",
    async () => (await kubectl(control, "get", "--raw", "/readyz")) === "ok",
    120_000,
  );
}

/** Starts the scheduler and the controllers. Both ask a lot at the start: their usual limits would only slow it. */
export async function startControllers(control: Machine): Promise<void> {
  const common = (name: string) => [
    ...[name, `--kubeconfig=${at(`${name}.kubeconfig`)}`, "--bind-address=127.0.0.1", "--leader-elect=false"],
    ...["--authentication-skip-lookup=true", "--kube-api-qps=200", "--kube-api-burst=400"],
  ];
  await control.daemon("kube-scheduler", common("kube-scheduler"));
  await control.daemon("kube-controller-manager", [
    ...common("kube-controller-manager"),
    ...["--use-service-account-credentials=true", `--root-ca-file=${at("pki/ca.crt")}`],
    `--service-account-private-key-file=${at("pki/accounts.key")}`,
    "--controllers=*,-node-ipam-controller,-certificatesigningrequest-signing-controller,-certificatesigningrequest-approving-controller,-certificatesigningrequest-cleaner-controller",
    // A node counts as lost after 40 s, as by default; it is looked at more often.
    "--node-monitor-period=2s",
  ]);
}

/** Starts the controller of snapshots, which a cluster has once, whatever its drivers. Their kinds have to be there. */
export async function startSnapshotController(control: Machine): Promise<void> {
  await control.daemon("snapshot-controller", [
    ...["snapshot-controller", `--kubeconfig=${at("admin.kubeconfig")}`, "--leader-election=false"],
    ...["--retry-interval-start=1s", "--retry-interval-max=1m", "--kube-api-qps=50", "--kube-api-burst=100"],
  ]);
}

/** kubectl in the control machine, with the rights of an administrator. */
export function kubectl(control: Machine, ...args: string[]): Promise<string> {
  return control.run(`${INSIDE.bin}/kubectl`, [`--kubeconfig=${at("admin.kubeconfig")}`, ...args], {
    timeoutMs: 120_000,
  });
}
