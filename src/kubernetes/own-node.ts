import type { V1Node } from "@kubernetes/client-node";
import { failure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";
import { ApiStatusError, toFailure } from "./api-error.ts";
import { isObjectName } from "./names.ts";

const JSON_PATCH = { headers: { "Content-Type": "application/json-patch+json" } };

export type OwnNode = ReturnType<typeof ownNode>;

/**
 * The Node and CSINode objects of the node that this process runs on. All methods throw as ClusterReader's, and nodeNotFound when the
 * node has no Node object.
 * @param name of the Node object
 * @param driver CSI driver name
 */
export function ownNode(api: KubernetesApi, name: string, driver: string) {
  const { core, storage } = api;
  const read = async (signal: AbortSignal): Promise<V1Node> => {
    if (!isObjectName(name)) throw failure("nodeNotFound", { node: name });
    const found = await api.find({ verb: "get", resource: `node ${name}` }, signal, (options) =>
      core.readNode({ name }, options),
    );
    if (found === undefined) throw failure("nodeNotFound", { node: name });
    return found;
  };
  return {
    /** Whether kubelet has registered the driver: the node's CSINode lists it. */
    isRegistered: async (signal: AbortSignal): Promise<boolean> => {
      if (!isObjectName(name)) return false;
      const found = await api.find({ verb: "get", resource: `csinode ${name}` }, signal, (options) =>
        storage.readCSINode({ name }, options),
      );
      return found?.spec.drivers.some((each) => each.name === driver) ?? false;
    },
    /** Whether the node has a taint of this key, with any value and effect. */
    hasTaint: async (key: string, signal: AbortSignal): Promise<boolean> =>
      taintsOf(await read(signal)).some((taint) => taint.key === key),
    /**
     * Removes every taint of this key and touches no other. Each taint is removed at its place, if it is still there: the API server tests key
     * and effect and removes, in one step. Changes of others are kept; if they shifted the list, the patch is refused as a whole.
     * @returns false if the taints changed meanwhile, so that nothing was done: look again
     */
    removeTaint: async (key: string, signal: AbortSignal): Promise<boolean> => {
      const body = taintsOf(await read(signal))
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
      try {
        await api.attempt(signal, (options) => core.patchNode({ name, body }, options), JSON_PATCH);
        return true;
      } catch (error) {
        if (error instanceof ApiStatusError && error.status === 422) return false;
        throw toFailure(error, { verb: "patch", resource: `node ${name}` }, api.transport.server, signal);
      }
    },
  };
}

function taintsOf(node: V1Node) {
  return node.spec?.taints ?? [];
}
