import { failure } from "../../../src/domain/errors/driver-error.ts";
import type {
  AttachmentView,
  ClusterReader,
  MigrationConfigView,
  MigrationView,
  PersistentVolumeView,
  PodView,
  VmiView,
} from "../../../src/kubernetes/port.ts";

type Kubevirts = "virtualmachineinstances" | "virtualmachineinstancemigrations" | "kubevirts";

/** A cluster in memory, for tests of what the driver concludes; the API itself has its own tests. */
export class TestCluster implements ClusterReader {
  up = true;
  readonly nodeNames = new Set<string>();
  readonly attachments: AttachmentView[] = [];
  readonly pvs: PersistentVolumeView[] = [];
  /** UIDs of claims by `namespace/name`. */
  readonly claimUids = new Map<string, string>();
  readonly pods: (PodView & { readonly claims: readonly string[] })[] = [];
  readonly vmis: VmiView[] = [];
  readonly migrations: (MigrationView & { readonly vmi: string })[] = [];
  config: MigrationConfigView | undefined;
  /** Whether KubeVirt's CRDs are there. */
  kubevirt = true;
  /** What the driver's account may not read. */
  readonly forbidden = new Set<Kubevirts>();

  #check(): void {
    if (!this.up)
      throw failure("kubernetesUnavailable", {
        verb: "list",
        resource: "pods",
        reason: "connection refused",
      });
  }
  #checkKubevirt(resource: Kubevirts): void {
    this.#check();
    if (this.forbidden.has(resource))
      throw failure("kubernetesForbidden", { verb: "get", resource, detail: "no RBAC policy matched" });
  }
  async nodeExists(name: string): Promise<boolean> {
    this.#check();
    return this.nodeNames.has(name);
  }
  async nodes(): Promise<readonly string[]> {
    this.#check();
    return [...this.nodeNames];
  }
  async volumeAttachments(): Promise<readonly AttachmentView[]> {
    this.#check();
    return this.attachments;
  }
  async persistentVolumes(): Promise<readonly PersistentVolumeView[]> {
    this.#check();
    return this.pvs;
  }
  async persistentVolumeByHandle(handle: string): Promise<PersistentVolumeView | undefined> {
    this.#check();
    return this.pvs.find((pv) => pv.handle === handle);
  }
  async claimUid({
    namespace,
    name,
  }: {
    readonly namespace: string;
    readonly name: string;
  }): Promise<string | undefined> {
    return this.claimUids.get(`${namespace}/${name}`);
  }

  async podsUsingClaim({
    namespace,
    name,
  }: {
    namespace: string;
    name: string;
  }): Promise<readonly PodView[]> {
    this.#check();
    return this.pods.filter(
      (pod) =>
        pod.namespace === namespace &&
        pod.claims.includes(name) &&
        !["Succeeded", "Failed"].includes(pod.phase),
    );
  }
  async pod(namespace: string, name: string): Promise<PodView | undefined> {
    this.#check();
    return this.pods.find((pod) => pod.namespace === namespace && pod.name === name);
  }
  async virtualMachineInstance(namespace: string, name: string): Promise<VmiView | undefined> {
    this.#checkKubevirt("virtualmachineinstances");
    return this.kubevirt
      ? this.vmis.find((vmi) => vmi.namespace === namespace && vmi.name === name)
      : undefined;
  }
  async migrationsOf(_namespace: string, vmiName: string): Promise<readonly MigrationView[] | undefined> {
    this.#checkKubevirt("virtualmachineinstancemigrations");
    return this.kubevirt ? this.migrations.filter(({ vmi }) => vmi === vmiName) : undefined;
  }
  async migrationConfig(): Promise<MigrationConfigView | undefined> {
    this.#check();
    return this.forbidden.has("kubevirts") ? undefined : this.config;
  }

  /** A bound PersistentVolume with its claim. */
  addVolume(handle: string, claim = "disk"): void {
    this.pvs.push({
      name: `pv-${handle}`,
      handle,
      claim: { namespace: "vms", name: claim, uid: `uid-${claim}` },
      storageClass: "rds",
      accessModes: ["ReadWriteMany"],
      volumeMode: "Block",
      phase: "Bound",
      deleting: false,
      capacityBytes: undefined,
      reclaimPolicy: "Delete",
    });
  }

  addAttachment(handle: string, node: string, over: Partial<AttachmentView> = {}): void {
    this.attachments.push({
      name: `va-${handle}-${node}`,
      node,
      pvName: `pv-${handle}`,
      attached: true,
      deleting: false,
      metadata: {},
      attachError: undefined,
      detachError: undefined,
      ...over,
    });
  }

  /** A launcher pod of a virtual machine. */
  addLauncher(name: string, vmi: string, node: string, claim = "disk"): void {
    this.addPod(name, node, claim, {
      labels: { "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": `uid-${vmi}` },
      owners: [
        {
          apiVersion: "kubevirt.io/v1",
          kind: "VirtualMachineInstance",
          name: vmi,
          uid: `uid-${vmi}`,
          controller: true,
        },
      ],
    });
  }

  addPod(name: string, node: string, claim = "disk", over: Partial<PodView> = {}): void {
    this.pods.push({
      namespace: "vms",
      name,
      uid: `uid-${name}`,
      node,
      phase: "Running",
      terminating: false,
      labels: {},
      owners: [],
      claims: [claim],
      ...over,
    });
  }

  /** A VirtualMachineInstance, in place of one of that name. */
  addMachine(name: string, memoryBytes: bigint | undefined, over: Partial<VmiView> = {}): void {
    const old = this.vmis.findIndex((vmi) => vmi.name === name);
    if (old >= 0) this.vmis.splice(old, 1);
    this.vmis.push({
      uid: `uid-${name}`,
      namespace: "vms",
      name,
      node: "node-a",
      phase: "Running",
      memoryBytes,
      migratedVolumes: [],
      migrationState: undefined,
      ...over,
    });
  }

  /** The guest runs on another node from now on. */
  moveMachine(name: string, node: string): void {
    const vmi = this.vmis.find((each) => each.name === name);
    if (vmi !== undefined) this.addMachine(name, vmi.memoryBytes, { ...vmi, node });
  }

  /** A VirtualMachineInstanceMigration, by default as it is while its target pod starts. */
  addMigration(vmi: string, over: Partial<MigrationView> = {}): void {
    this.migrations.push(migrationOf({ name: `${vmi}-${this.migrations.length}`, ...over }, vmi));
  }
}

/** A migration that waits for its target pod, with something changed. */
export function migrationOf(
  over: Partial<MigrationView>,
  vmi = "vm1",
): MigrationView & { readonly vmi: string } {
  return {
    name: "migration",
    uid: `uid-${over.name ?? "migration"}`,
    phase: "Scheduling",
    created: 0,
    targetNode: undefined,
    targetPod: undefined,
    started: undefined,
    completed: undefined,
    failureReason: undefined,
    ...over,
    vmi,
  };
}
