import { join } from "node:path";
import { DRIVER_ROLES, NAMESPACE, rulesOf } from "../manifests/rbac.fixture.ts";
import { BUILT_IN, CLUSTER_UID, FakeApiServer, KUBEVIRT } from "../support/kubernetes/fake-api-server.ts";
import { NODES } from "./plan.ts";

const kubevirt = (kind: string, name: string, rest: object) => ({
  apiVersion: "kubevirt.io/v1",
  kind,
  metadata: { namespace: "vms", name, uid: `uid-${name}` },
  ...rest,
});

/** What a cluster says about the volumes of a round, behind an API server that fails on demand. */
export class Cluster {
  readonly api: FakeApiServer;
  /** Of controllers. */
  readonly flags: readonly string[];
  readonly nodeFlags: readonly string[] = ["--cluster-id", CLUSTER_UID];

  private constructor(api: FakeApiServer, kubeconfig: string) {
    this.api = api;
    this.flags = [
      ...["--orchestrator", "kubernetes", "--kubeconfig", kubeconfig, "--lease-namespace", NAMESPACE],
      ...["--cluster-id", CLUSTER_UID],
    ];
  }

  static async start(directory: string): Promise<Cluster> {
    const api = await FakeApiServer.start({ resources: [...BUILT_IN, ...KUBEVIRT] });
    // It may do what the manifests grant, and nothing else.
    api.rules = rulesOf(DRIVER_ROLES.controller);
    for (const name of NODES) api.apply({ apiVersion: "v1", kind: "Node", metadata: { name } });
    return new Cluster(api, await api.writeKubeconfig(join(directory, "kubeconfig")));
  }

  /** A PersistentVolume, bound to the claim of the volume's name. */
  volume(name: string, handle: string): void {
    this.api.apply({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: `pv-${name}` },
      spec: {
        csi: { driver: "rds.csi.srvlab.io", volumeHandle: handle },
        accessModes: ["ReadWriteMany"],
        volumeMode: "Block",
        claimRef: { namespace: "vms", name, uid: `uid-${name}` },
      },
      status: { phase: "Bound" },
    });
  }

  forget(name: string): void {
    if (this.api.get("PersistentVolume", `pv-${name}`) !== undefined)
      this.api.delete("PersistentVolume", `pv-${name}`);
  }

  /** The virtual machine of a volume, and its launcher pod on a node. */
  machineOn(name: string, node: string): void {
    this.api.apply(
      kubevirt("VirtualMachineInstance", `vm-${name}`, { status: { nodeName: node, phase: "Running" } }),
    );
    this.launcher(name, node);
  }

  launcher(name: string, node: string): void {
    this.api.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `launcher-${name}-${node}`,
        namespace: "vms",
        ownerReferences: [
          {
            apiVersion: "kubevirt.io/v1",
            kind: "VirtualMachineInstance",
            name: `vm-${name}`,
            uid: `uid-vm-${name}`,
            controller: true,
          },
        ],
      },
      spec: { nodeName: node, volumes: [{ name: "disk", persistentVolumeClaim: { claimName: name } }] },
      status: { phase: "Running" },
    });
  }

  launcherGone(name: string, node: string): void {
    const pod = `launcher-${name}-${node}`;
    if (this.api.get("Pod", pod, "vms") !== undefined) this.api.delete("Pod", pod, "vms");
  }

  /** A migration of the volume's machine, which has begun or has ended. */
  migration(name: string, phase: "Scheduling" | "Succeeded" | "Failed"): void {
    this.api.apply(
      kubevirt("VirtualMachineInstanceMigration", `mig-${name}`, {
        spec: { vmiName: `vm-${name}` },
        status: { phase },
      }),
    );
  }

  stop(): Promise<void> {
    return this.api.stop();
  }
}
