import type { Thing } from "./api.ts";
import { until } from "./run.ts";
import type { Scope } from "./scope.ts";

const VMI = "VirtualMachineInstance";
const VMIM = "VirtualMachineInstanceMigration";
const PDB = "PodDisruptionBudget";

/**
 * Plays KubeVirt's virt-controller and virt-handler for one virtual machine: its objects, its pods with their owners and labels, and the
 * phases of its migrations. Pods, attach-detach controller, external-attacher and kubelet are real. There is no guest: a pod
 * that reads and writes the device stands for it. Source: KubeVirt 1.9, pkg/virt-controller/watch/migration/migration.go,
 * pkg/virt-controller/services/template.go.
 */
export class PlayedMachine {
  readonly name: string;
  readonly #scope: Scope;
  readonly #claims: readonly string[];
  readonly #image: string | undefined;
  #uid = "";
  #launchers = 0;
  #protected = false;
  /** Where the guest runs: node and launcher. */
  #home = { node: "", pod: "" };

  /** @param image of the launchers, that of other pods if not given */
  constructor(scope: Scope, name: string, claims: readonly string[], image?: string) {
    this.#scope = scope;
    this.#image = image;
    this.name = name;
    this.#claims = claims;
  }

  /** Name of the pod that the guest runs in. */
  get pod(): string {
    return this.#home.pod;
  }

  get uid(): string {
    return this.#uid;
  }

  /** Creates the instance and its first launcher on a node. The pod may still be starting then. */
  async start(node: string): Promise<void> {
    const object = await this.#scope.api.apply({
      apiVersion: "kubevirt.io/v1",
      kind: VMI,
      metadata: { name: this.name, namespace: this.#scope.namespace },
      spec: { domain: { memory: { guest: "1Gi" } } },
    });
    this.#uid = object.metadata.uid;
    this.#home = { node, pod: await this.launch(node) };
  }

  /** Waits until the launcher runs; then the instance is Running. */
  async running(timeoutMs?: number): Promise<void> {
    await this.#scope.ready(this.#home.pod, timeoutMs);
    await this.#status({ phase: "Running", nodeName: this.#home.node });
  }

  /**
   * Makes the disruption budget that keeps an eviction from ending the launcher, as for the eviction strategy LiveMigrate. Waits until it is in force.
   * Source: KubeVirt 1.9, pkg/virt-controller/watch/drain/disruptionbudget/disruptionbudget.go.
   */
  async protect(): Promise<void> {
    await this.#scope.api.apply({
      apiVersion: "policy/v1",
      kind: PDB,
      metadata: { name: this.name, namespace: this.#scope.namespace },
      spec: {
        minAvailable: 1,
        selector: { matchLabels: { "kubevirt.io/created-by": this.#uid } },
      },
    });
    this.#protected = true;
    await this.#budget(1);
  }

  /** Notes that a launcher's eviction was refused, and begins the migration that it asks for. Source: KubeVirt 1.9, pkg/virt-api/webhooks. */
  async evacuate(node: string): Promise<PlayedMigration> {
    await this.#status({ evacuationNodeName: this.#home.node });
    return await this.migrate(node, `kubevirt-evacuation-${this.name}`);
  }

  /** Sets how many launchers may not be evicted: both of them during a migration. */
  async #budget(minAvailable: number): Promise<void> {
    if (!this.#protected) return;
    const { namespace } = this.#scope;
    const { metadata } = await this.#scope.api.patch(PDB, this.name, namespace, { spec: { minAvailable } });
    await this.#scope.api.await(
      PDB,
      this.name,
      namespace,
      `with ${minAvailable}`,
      ({ status }) => status?.observedGeneration === metadata.generation,
    );
  }

  /** Creates a launcher of the machine. @returns its name */
  async launch(node: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
    this.#launchers += 1;
    const pod = `virt-launcher-${this.name}-${this.#launchers}`;
    await this.#scope.pod(pod, {
      claims: this.#claims,
      block: true,
      node,
      ...(this.#image === undefined ? {} : { image: this.#image }),
      // A launcher ends by itself when its guest has gone.
      script: "until [ -e /tmp/ended ]; do sleep 0.2; done; rm /tmp/ended",
      labels: { "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": this.#uid, ...labels },
      owners: [
        {
          apiVersion: "kubevirt.io/v1",
          kind: VMI,
          name: this.name,
          uid: this.#uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    });
    return pod;
  }

  /**
   * Makes the pod that attaches a hot-plugged claim for a launcher. Source: KubeVirt 1.9, template.go.
   * @param launcher the one that the guest runs in, if not given
   * @returns the pod's name
   */
  async hotplug(claim: string, node: string, launcher = this.#home.pod): Promise<string> {
    const owner = await this.#scope.api.get("Pod", launcher, this.#scope.namespace);
    const pod = `hp-volume-${launcher.replace("virt-launcher-", "")}`;
    await this.#scope.pod(pod, {
      claims: [claim],
      block: true,
      node,
      labels: { "kubevirt.io": "hotplug-disk" },
      owners: [
        {
          apiVersion: "v1",
          kind: "Pod",
          name: launcher,
          uid: owner.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    });
    return pod;
  }

  /** Begins a live migration. @returns the migration, whose target pod is made and waits for its volumes */
  async migrate(node: string, name = `${this.name}-to-${node}`): Promise<PlayedMigration> {
    const object = await this.#scope.api.apply({
      apiVersion: "kubevirt.io/v1",
      kind: VMIM,
      metadata: { name, namespace: this.#scope.namespace },
      spec: { vmiName: this.name },
    });
    const { uid } = object.metadata;
    await this.#phase(name, { phase: "Pending" });
    await this.#budget(2);
    const pod = await this.launch(node, { "kubevirt.io/migrationJobUID": uid });
    await this.#phase(name, { phase: "Scheduling" });
    const source = this.#home;
    const state = {
      migrationUid: uid,
      sourceNode: source.node,
      targetNode: node,
      targetPod: pod,
      startTimestamp: now(),
    };
    return {
      pod,
      ready: async (timeoutMs) => {
        await this.#scope.ready(pod, timeoutMs);
        await this.#phase(name, { phase: "Running", migrationState: state });
        await this.#status({ migrationState: state });
      },
      succeed: async () => {
        this.#home = { node, pod };
        const migrationState = { ...state, completed: true, endTimestamp: now() };
        await this.#status({ nodeName: node, migrationState });
        await this.#phase(name, { phase: "Succeeded", migrationState });
        await this.#end(source.pod);
        await this.#budget(1);
      },
      fail: async () => {
        const migrationState = { ...state, failed: true, completed: true, endTimestamp: now() };
        await this.#status({ migrationState });
        await this.#phase(name, { phase: "Failed", migrationState });
        await this.#scope.remove(pod);
        await this.#budget(1);
      },
      cancel: async () => {
        await this.#scope.api.delete(VMIM, name, this.#scope.namespace);
        await this.#status({
          migrationState: { ...state, abortRequested: true, failed: true, endTimestamp: now() },
        });
        await this.#scope.remove(pod);
        await this.#budget(1);
      },
    };
  }

  /** Shuts the machine down. */
  async stop(): Promise<void> {
    await this.#scope.api.delete(VMI, this.name, this.#scope.namespace);
    await this.#scope.api.delete(PDB, this.name, this.#scope.namespace);
    for (const { metadata } of await this.#scope.api.list("Pod", this.#scope.namespace)) {
      if (metadata.labels?.["kubevirt.io/created-by"] === this.#uid) await this.#scope.remove(metadata.name);
    }
  }

  /** The guest has left a launcher, which then ends well and stays, unless a drain evicts what has ended. */
  async #end(pod: string): Promise<void> {
    let isTold = false;
    await until(`the end of ${pod}`, async () => {
      const found = await this.#scope.api.find("Pod", pod, this.#scope.namespace);
      if (found === undefined) return isTold;
      if (found.status.phase === "Succeeded") return true;
      await this.#scope.tryShell(pod, "touch /tmp/ended");
      isTold = true;
      return false;
    });
  }

  /** Status is no subresource of an instance. */
  #status(status: Thing): Promise<Thing> {
    return this.#scope.api.patch(VMI, this.name, this.#scope.namespace, { status });
  }

  #phase(name: string, status: Thing): Promise<Thing> {
    return this.#scope.api.patch(VMIM, name, this.#scope.namespace, { status }, "status");
  }
}

/** A live migration that is under way. */
export interface PlayedMigration {
  /** The target's pod. */
  readonly pod: string;
  /** Waits until the target's pod runs; then the guest is copied. */
  ready(timeoutMs?: number): Promise<void>;
  /** The guest runs on the target now, and the source's launcher ends. */
  succeed(): Promise<void>;
  /** The guest stays, and the target's launcher ends. */
  fail(): Promise<void>;
  /** The migration is deleted, as `virtctl migrate-cancel` does. */
  cancel(): Promise<void>;
}

const now = (): string => `${new Date().toISOString().slice(0, 19)}Z`;
