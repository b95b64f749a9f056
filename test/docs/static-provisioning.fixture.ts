import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testIo } from "../../src/cli/cli.fixture.ts";
import { main } from "../../src/cli/main.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { encodePublishContext, type PublishContext } from "../../src/domain/publish-context.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { createNodeSystem } from "../../src/host/system.ts";
import { createNodeService } from "../../src/node/service.ts";
import { createLoopDataPath } from "../../src/nvme/loop.ts";
import { ManualClock } from "../support/clock.ts";
import { CLUSTER_UID } from "../support/kubernetes/fake-api-server.ts";
import { DRIVER, startWorld, type World } from "../support/kubernetes/world.ts";
import { PREFIX } from "../support/loop-node.ts";
import { reconcilerOf } from "../support/own-stack.ts";
import { BRISK_CLOCK, type Stack, type StackOptions, startStack } from "../support/rds-stack.ts";
import { connectWith } from "../support/simulator-client.ts";

/** Of the PersistentVolume of docs/static-provisioning.md. */
export const NAME = "archive";
export const HANDLE = volumeIdFromName(NAME);
const NODE = "node-a";

/** Objects of the API as YAML has them. */
// biome-ignore lint/suspicious/noExplicitAny: what a page holds
type Thing = any;

export interface HandOptions extends StackOptions {
  /** Images are files, so that a node can use them; else they are in memory. */
  readonly onDisk?: boolean;
}

/** A RDS, a cluster, a controller and a node for a disk that was made by hand. */
export class HandStand {
  readonly stack: Stack;
  readonly world: World;
  readonly #root: string;
  readonly #kubeconfig: string;
  readonly #node: ReturnType<typeof createNodeService>;
  readonly #staged: string;

  constructor(stack: Stack, world: World, root: string, kubeconfig: string) {
    this.stack = stack;
    this.world = world;
    this.#root = root;
    this.#kubeconfig = kubeconfig;
    this.#staged = join(root, "staging");
    for (const name of ["staging", "state"]) mkdirSync(join(root, name));
    const system = createNodeSystem();
    const exportsDir = join(root, "rds", "exports");
    const dataPath = createLoopDataPath(system, {
      ...{ exportsDir, stateDir: join(root, "state"), nqnPrefix: PREFIX },
    });
    const names = { clusterId: CLUSTER_UID, nqnPrefix: PREFIX, driverName: DRIVER, nodeId: NODE };
    this.#node = createNodeService({ ...names, system, dataPath, maxVolumesPerNode: 0 });
  }

  /** Runs lines on the RDS, as an administrator does. @returns their output @throws Error when one fails */
  async onRds(lines: readonly string[]): Promise<string> {
    const { simulator, keyFile } = this.stack;
    const privateKey = await readFile(keyFile, "utf8");
    const { exec, close } = await connectWith(simulator, { username: "csi", privateKey });
    let output = "";
    try {
      for (const line of lines) {
        output += (await exec(line)).stdout;
        const { outcome } = simulator.commands.at(-1) ?? {};
        if (outcome !== "ok") throw new Error(`${line}: ${outcome}: ${output}`);
      }
    } finally {
      close();
    }
    return output;
  }

  /** Applies PersistentVolume and claim, and binds them as kube-controller-manager does. */
  bind(pv: Thing, claim: Thing): void {
    const uid = "uid-archive";
    const spec = { ...pv.spec, claimRef: { ...pv.spec.claimRef, uid } };
    const metadata = {
      creationTimestamp: new Date(Date.now() - 10 * 86_400_000).toISOString(),
      ...pv.metadata,
    };
    this.world.api.apply({ ...pv, metadata, spec, status: { phase: "Bound" } });
    this.world.api.apply({
      ...claim,
      metadata: { ...claim.metadata, uid },
      status: { phase: "Bound", capacity: pv.spec.capacity },
    });
  }

  /** Runs the program. */
  async run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
    const { host, port, hostKeyFingerprints } = this.stack.simulator;
    const io = testIo();
    const flags = [
      ...["--rds-address", `${host}:${port}`, "--rds-key-file", this.stack.keyFile],
      ...hostKeyFingerprints.flatMap((pin) => ["--rds-host-key", pin]),
      ...["--orchestrator", "kubernetes", "--kubeconfig", this.#kubeconfig],
    ];
    const code = await main([...args, ...flags], io);
    return { code, ...io.written };
  }

  /** The command of the page that writes the record. */
  rebuild(...more: "--yes"[]) {
    return this.run(["volumes", "record", NAME, "--rebuild", ...more]);
  }

  attach(capability: Capability): Promise<PublishContext> {
    const { signal } = this.stack;
    return this.stack.attachments.publish({
      ...{ volumeId: HANDLE, nodeId: NODE, capability, readonly: false, signal },
    });
  }

  async detach(): Promise<void> {
    await this.stack.attachments.unpublish(HANDLE, NODE, this.stack.signal);
    await this.stack.attachments.settled();
  }

  remove(): Promise<void> {
    return this.stack.volumes.delete(HANDLE, this.stack.signal);
  }

  expand(requiredBytes: bigint) {
    const range = { requiredBytes, limitBytes: 0n };
    return this.stack.expansions.expand({
      ...{ volumeId: HANDLE, range, capability: undefined, signal: this.stack.signal },
    });
  }

  /** Attaches and stages. @returns the staging path, where the filesystem is */
  async stage(capability: Capability): Promise<string> {
    const publishContext = encodePublishContext(await this.attach(capability));
    await this.#node.stage({
      ...{ volumeId: HANDLE, publishContext, stagingTargetPath: this.#staged, capability, volumeContext: {} },
    });
    return this.#staged;
  }

  unstage(): Promise<void> {
    return this.#node.unstage({ volumeId: HANDLE, stagingTargetPath: this.#staged });
  }

  /** Looks of the reconcile loop over hours, with the cluster. */
  async reconcileOften(): Promise<void> {
    const { reader } = await this.world.client();
    const clock = new ManualClock(Date.now());
    const reconciler = reconcilerOf(this.stack, {
      ...{ clock, cluster: reader },
      unasked: {
        remove: (volume, signal) => this.stack.volumes.removeUnasked(volume, signal),
        clusterUid: async () => CLUSTER_UID,
        names: { volumes: async () => [] },
      },
    });
    for (let look = 0; look < 8; look += 1) {
      await reconciler.tick(this.stack.signal);
      await clock.advance(30 * 60_000);
    }
  }

  /** Where a file of the RDS is on this machine. */
  imagePath(path: string): string {
    return join(this.#root, "rds", "files", path);
  }

  /** A folder with one file. */
  contentWith(name: string, text: string): string {
    const folder = join(this.#root, "content");
    mkdirSync(folder);
    writeFileSync(join(folder, name), text);
    return folder;
  }

  async close(): Promise<void> {
    await this.unstage().catch(() => {});
    await this.world.stop();
    await this.stack.close();
    await rm(this.#root, { recursive: true });
  }
}

export async function startHandStand({ onDisk = false, ...options }: HandOptions = {}): Promise<HandStand> {
  const root = realpathSync(await mkdtemp(join(tmpdir(), "rds-hand-")));
  const backend = onDisk ? { backend: { kind: "files", dir: join(root, "rds") } as const } : {};
  const common = { clusterId: CLUSTER_UID, simulatorClock: BRISK_CLOCK, online: "re-export" } as const;
  const stack = await startStack({ ...common, ...backend, ...options });
  const world = await startWorld();
  const kubeconfig = await world.api.writeKubeconfig(join(world.dir, "admin"));
  const parameters = { "csi.storage.k8s.io/fstype": "ext4" };
  world.api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    ...{ metadata: { name: "rds" }, provisioner: DRIVER, parameters, reclaimPolicy: "Delete" },
  });
  return new HandStand(stack, world, root, kubeconfig);
}
