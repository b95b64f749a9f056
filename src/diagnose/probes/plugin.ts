import { create } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { serviceDefinition } from "../../csi/bridge.ts";
import { type GetPluginInfoResponse, Identity, type ProbeResponse } from "../../csi/gen/csi_pb.ts";
import type { DiagnoseContext } from "../context.ts";
import { isThere, namesIn } from "./files.ts";

/** The node plugin's socket and what answers on it. */
export interface PluginFacts {
  /** The sockets that were looked for; the first that exists was asked. */
  readonly looked: readonly string[];
  /** undefined: none exists. */
  readonly socket: string | undefined;
  /** undefined: nobody answered. */
  readonly name: string | undefined;
  readonly version: string | undefined;
  readonly ready: boolean | undefined;
  /** Why nobody answered. */
  readonly problem: string | undefined;
}

const RPC_DEADLINE_MS = 2_000;

/** Asks the plugin who it is, as kubelet's registrar does. In the pod the socket is --endpoint, on the host below kubelet's directory. */
export async function pluginFacts({ config }: DiagnoseContext): Promise<PluginFacts> {
  const looked = [
    ...new Set([config.endpoint, `${config.kubeletDir}/plugins/${config.driverName}/csi.sock`]),
  ];
  const present = await Promise.all(looked.map(isThere));
  const socket = looked.find((_, index) => present[index]);
  const nobody = { looked, socket, name: undefined, version: undefined, ready: undefined };
  if (socket === undefined) return { ...nobody, problem: "no such socket" };
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    const info = await ask<GetPluginInfoResponse>(client, "getPluginInfo");
    const probe = await ask<ProbeResponse>(client, "probe").catch(() => undefined);
    // CSI: a missing `ready` means ready.
    const ready = probe === undefined ? undefined : (probe.ready ?? true);
    return { looked, socket, name: info.name, version: info.vendorVersion, ready, problem: undefined };
  } catch (error) {
    return { ...nobody, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    client.close();
  }
}

function ask<T>(client: Client, name: "getPluginInfo" | "probe"): Promise<T> {
  const method = Identity.method[name];
  const rpc = serviceDefinition(Identity)[name];
  if (rpc === undefined) throw new Error(`${name} has no definition`);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      rpc.path,
      rpc.requestSerialize,
      rpc.responseDeserialize,
      create(method.input, {}),
      { deadline: Date.now() + RPC_DEADLINE_MS },
      (error: Error | null, value: unknown) => (error === null ? resolve(value as T) : reject(error)),
    );
  });
}

/** What kubelet's directory says about the driver. */
export interface KubeletFacts {
  readonly directory: string;
  readonly present: boolean;
  /** Registration sockets of this driver. */
  readonly registered: readonly string[];
  /** Those of other drivers. */
  readonly others: readonly string[];
}

export async function kubeletFacts({ config }: DiagnoseContext): Promise<KubeletFacts> {
  const { kubeletDir, driverName } = config;
  const sockets = (await namesIn(`${kubeletDir}/plugins_registry`)).filter((name) => name.endsWith(".sock"));
  // node-driver-registrar names it `<driver>-reg.sock`, others `<driver>.sock`.
  const own = (name: string): boolean => name === `${driverName}-reg.sock` || name === `${driverName}.sock`;
  return {
    directory: kubeletDir,
    present: await isThere(kubeletDir),
    registered: sockets.filter(own),
    others: sockets.filter((name) => !own(name)),
  };
}
