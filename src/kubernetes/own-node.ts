import type { V1Node } from "@kubernetes/client-node";
import { failure } from "../domain/errors/driver-error.ts";
import type { CallOptions, KubernetesApi } from "./api.ts";
import { ApiStatusError, toFailure } from "./api-error.ts";
import { isObjectName } from "./names.ts";

const JSON_PATCH = { headers: { "Content-Type": "application/json-patch+json" } };

export type OwnNode = Pick<ApiOwnNode, "isRegistered" | "hasTaint" | "removeTaint">;

/**
 * The Node and CSINode objects of the node that this process runs on. All methods throw as ClusterReader's, and nodeNotFound when the
 * node has no Node object.
 */
export class ApiOwnNode {
  readonly #api: KubernetesApi;
  readonly #name: string;
  readonly #driver: string;

  /** @param name of the Node object @param driver CSI driver name */
  constructor(api: KubernetesApi, name: string, driver: string) {
    this.#api = api;
    this.#name = name;
    this.#driver = driver;
  }

  /** Whether kubelet has registered the driver: the node's CSINode lists it. */
  async isRegistered(signal: AbortSignal): Promise<boolean> {
    const name = this.#name;
    if (!isObjectName(name)) return false;
    const found = await this.#api.find({ verb: "get", resource: `csinode ${name}` }, signal, (options) =>
      this.#api.storage.readCSINode({ name }, options),
    );
    return found?.spec.drivers.some((driver) => driver.name === this.#driver) ?? false;
  }

  /** Whether the node has a taint of this key, with any value and effect. */
  async hasTaint(key: string, signal: AbortSignal): Promise<boolean> {
    return taintsOf(await this.#read(signal)).some((taint) => taint.key === key);
  }

  /**
   * Removes every taint of this key and touches no other. Each taint is removed at its place, if it is still there: the API server tests key
   * and effect and removes, in one step. Changes of others are kept; if they shifted the list, the patch is refused as a whole.
   * @returns false if the taints changed meanwhile, so that nothing was done: look again
   */
  async removeTaint(key: string, signal: AbortSignal): Promise<boolean> {
    const name = this.#name;
    const body = taintsOf(await this.#read(signal))
      .map((taint, index) => ({ ...taint, path: `/spec/taints/${index}` }))
      .filter((taint) => taint.key === key)
      // From the end, so that places before it stay.
      .reverse()
      .flatMap(({ path, effect }) => [
        { op: "test", path: `${path}/key`, value: key },
        { op: "test", path: `${path}/effect`, value: effect },
        { op: "remove", path },
      ]);
    if (body.length === 0) return true;
    const patch = (options: CallOptions) => this.#api.core.patchNode({ name, body }, options);
    try {
      await this.#api.attempt(signal, patch, JSON_PATCH);
      return true;
    } catch (error) {
      if (error instanceof ApiStatusError && error.status === 422) return false;
      throw toFailure(error, { verb: "patch", resource: `node ${name}` }, this.#api.transport.server, signal);
    }
  }

  async #read(signal: AbortSignal): Promise<V1Node> {
    const name = this.#name;
    if (!isObjectName(name)) throw failure("nodeNotFound", { node: name });
    const found = await this.#api.find({ verb: "get", resource: `node ${name}` }, signal, (options) =>
      this.#api.core.readNode({ name }, options),
    );
    if (found === undefined) throw failure("nodeNotFound", { node: name });
    return found;
  }
}

function taintsOf(node: V1Node) {
  return node.spec?.taints ?? [];
}
