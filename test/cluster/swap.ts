import { expect } from "bun:test";
import process from "node:process";
import type { Thing } from "./api.ts";
import { run, until } from "./run.ts";
import { api, awaitNodes, cluster, diskOf, type Scope } from "./world.ts";

// What the tests share that put one driver in the place of another while pods write.

/** Runs commands of a person with kubectl, each of which has to succeed. */
export function shell(text: string): Promise<string> {
  const env = { KUBECONFIG: cluster.kubeconfig, PATH: `${cluster.place.programs}/bin:${process.env.PATH}` };
  return run("bash", ["-ec", text], { timeoutMs: 240_000, env });
}

/** Runs `rds-csi` in a pod of the controller. */
export const inController = (...args: string[]) =>
  cluster.kubectl([
    "exec",
    "-n",
    "rds-csi",
    "deploy/rds-csi-controller",
    "-c",
    "driver",
    "--",
    "rds-csi",
    ...args,
  ]);

/** Waits until every pod of the driver is of a version, by its image. */
export async function awaitVersion(image: RegExp): Promise<void> {
  let found: string[] = [];
  await until(
    `no pod of another image than ${image}`,
    async () => {
      const pods: Thing[] = await api.list("Pod", "rds-csi");
      found = pods.map(({ spec }) => spec.containers.find(({ name }: Thing) => name === "driver").image);
      return found.length === 2 + cluster.nodes.length && found.every((each) => image.test(each));
    },
    { explain: () => found.join() },
  );
  await cluster.awaitDriver();
}

/** Prints the last number that a writer has written. */
export const COUNT = {
  fs: "tail -n 1 /data/log",
  block: "dd if=/dev/vol bs=512 count=1 2>/dev/null | head -n 1",
};
/** Counts on its volume, ten times a second, and ends with the first write that fails. */
const WRITE = {
  fs: "n=0; while :; do echo $n >>/data/log; sync; n=$((n+1)); sleep 0.1; done",
  block:
    "n=0; while :; do echo $n | dd of=/dev/vol conv=notrunc,fsync 2>/dev/null; n=$((n+1)); sleep 0.1; done",
};
type Kind = keyof typeof WRITE;

/** A pod that writes without a pause to a claim, and must go on whatever happens to the driver. */
export class Writer {
  readonly pod: string;
  readonly kind: Kind;
  readonly #scope: Scope;
  #last = -1;

  constructor(scope: Scope, pod: string, kind: Kind) {
    this.#scope = scope;
    this.pod = pod;
    this.kind = kind;
  }

  async start(claim: string, node: string): Promise<void> {
    const { kind, pod } = this;
    await this.#scope.pod(pod, {
      claims: [claim],
      block: kind === "block",
      node,
      script: WRITE[kind],
      graceSeconds: 1,
    });
    await this.#scope.ready(pod, 180_000);
  }

  /** Waits until it has written more than at the last look. */
  async goesOn(): Promise<void> {
    await until(`${this.pod} to write on`, async () => {
      const count = Number(await this.#scope.shell(this.pod, COUNT[this.kind]));
      const more = count > this.#last + 3;
      if (more) this.#last = count;
      return more;
    });
    const { status } = await api.get("Pod", this.pod, this.#scope.namespace);
    expect([status.phase, status.containerStatuses[0].restartCount]).toEqual(["Running", 0]);
    // Every line that it has written, in order.
    if (this.kind === "fs")
      expect(await this.#scope.shell(this.pod, "awk '$1 != NR - 1' /data/log | head -n 1")).toBe("");
  }
}

/** Reads, and fills, the first 4 MiB of a block volume. */
export const READ = "dd if=/dev/vol bs=1M count=4 2>/dev/null | sha256sum";
export const FILL = "dd if=/dev/urandom of=/dev/vol bs=1M count=4 2>/dev/null; sync";

/** The NQN under which the disk of a claim is exported. */
export async function nqnOf(scope: Scope, claim: string): Promise<string> {
  const disk = await diskOf(await scope.bound(claim));
  return disk?.nqn ?? "";
}

/** Waits until the volume of a claim is attached to just these nodes, given in the order of their names. */
export async function awaitNodesOf(scope: Scope, claim: string, ...nodes: string[]): Promise<unknown> {
  return awaitNodes((await scope.bound(claim)).metadata.name, ...nodes);
}

/** Asks for more space, and waits until the workload has it. */
export async function grow(scope: Scope, claim: string, size: string): Promise<void> {
  await api.patch("PersistentVolumeClaim", claim, scope.namespace, {
    spec: { resources: { requests: { storage: size } } },
  });
  await api.await(
    "PersistentVolumeClaim",
    claim,
    scope.namespace,
    `with ${size}`,
    ({ status }) => status.capacity?.storage === size && status.conditions === undefined,
    180_000,
  );
}
