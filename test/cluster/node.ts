import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { API, DNS, nodeAddress } from "./addresses.ts";
import type { Thing } from "./api.ts";
import type { Computer } from "./computer.ts";
import { AUTHORITY } from "./control-plane.ts";
import { INSIDE } from "./machine.ts";
import { kubeconfig } from "./pki.ts";

const SOCKET = "/run/containerd/containerd.sock";
const at = (name: string) => `${INSIDE.machine}/${name}`;
/** Name of the image of a pod's sandbox. */
export const PAUSE = "registry.k8s.io/pause:3.10.2";

/**
 * Starts a node's containerd. Restricting the OOM score is needed where root lacks CAP_SYS_RESOURCE.
 */
export async function startContainerd(node: Computer): Promise<void> {
  await mkdir(join(node.directory, "cni/bin"), { recursive: true });
  await mkdir(join(node.directory, "cni/conf"), { recursive: true });
  await copyFile(join(import.meta.dirname, "cni.sh"), join(node.directory, "cni/bin/cluster"));
  await copyFile(join(import.meta.dirname, "cni.sh"), join(node.directory, "cni/bin/loopback"));
  await writeFile(
    join(node.directory, "cni/conf/10-cluster.conflist"),
    JSON.stringify({ cniVersion: "1.0.0", name: "cluster", plugins: [{ type: "cluster" }] }),
  );
  await writeFile(
    join(node.directory, "containerd.toml"),
    `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "${SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  enable_selinux = false
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["${at("cni/bin")}"]
  conf_dir = "${at("cni/conf")}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    BinaryName = "${INSIDE.bin}/runc"
    SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
[plugins."io.containerd.nri.v1.nri"]
  disable = true
`,
  );
  await node.daemon("containerd", ["containerd", "--config", at("containerd.toml")]);
  await node.await("containerd", async () => (await ctr(node, "version")) !== "");
}

/** Runs containerd's client in a node, in kubelet's namespace of it. */
export function ctr(node: Computer, ...args: string[]): Promise<string> {
  return node.run(`${INSIDE.bin}/ctr`, ["--address", SOCKET, "--namespace", "k8s.io", ...args], {
    timeoutMs: 120_000,
  });
}

/** Taint of a node that takes only pods which ask for it by name. */
export const ASKED_FOR = { key: "cluster.test/asked-for", effect: "NoSchedule" } as const;

export interface KubeletOptions {
  /** Of the node, from 0. */
  readonly index: number;
  readonly token: string;
  /** Certificate of the API server's authority, a file. */
  readonly authority: string;
  /** That the node has whenever it registers anew; none if not given. */
  readonly taints?: readonly Thing[];
}

/** Writes kubelet's configuration and starts it. */
export async function startKubelet(node: Computer, options: KubeletOptions): Promise<void> {
  const { index, token, authority, taints = [] } = options;
  await mkdir(join(node.directory, "pki"), { recursive: true });
  await copyFile(authority, join(node.directory, "pki/ca.crt"));
  await writeFile(join(node.directory, "kubelet.kubeconfig"), kubeconfig(API, AUTHORITY, token), {
    mode: 0o600,
  });
  const configuration = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address: nodeAddress(index),
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: AUTHORITY },
    },
    authorization: { mode: "Webhook" },
    containerRuntimeEndpoint: `unix://${SOCKET}`,
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    evictionHard: { "memory.available": "50Mi" },
    // Else kubelet removes the images of pods that do not run at the moment, once the computer's disk is 85 % full.
    imageGCHighThresholdPercent: 100,
    localStorageCapacityIsolation: true,
    podLogsDir: "/var/lib/pod-logs",
    resolvConf: "",
    clusterDomain: "cluster.local",
    // Nobody answers there: pods of tests name no hosts. Without it each pod has a warning in its events.
    clusterDNS: [DNS],
    volumePluginDir: "/var/lib/flexvolume",
    // Else a pod takes 8 s to start instead of 2: kubelet learns only then that its volumes are attached.
    nodeStatusUpdateFrequency: "1s",
    nodeStatusReportFrequency: "10s",
    syncFrequency: "5s",
    volumeStatsAggPeriod: "10s",
    shutdownGracePeriod: "0s",
    registerWithTaints: taints,
  };
  await writeFile(join(node.directory, "kubelet.yaml"), JSON.stringify(configuration));
  await runKubelet(node, index);
}

/** Starts kubelet, also anew after it was killed. */
export async function runKubelet(node: Computer, index: number): Promise<void> {
  await node.daemon("kubelet", [
    ...["kubelet", `--config=${at("kubelet.yaml")}`, `--kubeconfig=${at("kubelet.kubeconfig")}`],
    ...["--root-dir=/var/lib/kubelet", `--cert-dir=${at("kubelet-pki")}`],
    ...[`--hostname-override=${node.name}`, `--node-ip=${nodeAddress(index)}`, "--v=3"],
  ]);
}
