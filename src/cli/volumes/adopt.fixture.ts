import { afterEach } from "bun:test";
import { join } from "node:path";
import { EARLIER_FOLDER, earlierNqn } from "../../../test/support/earlier-commands.ts";
import { EarlierDriver } from "../../../test/support/earlier-driver.ts";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { DRIVER, startWorld, type World } from "../../../test/support/kubernetes/world.ts";
import { BLOCK, MOUNT, type Stack, type StackOptions, startStack } from "../../../test/support/rds-stack.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { decodeRecord } from "../../domain/record/record-codec.ts";
import type { VolumeRecord } from "../../domain/record/volume-record.ts";
import { parseVolumeId, type VolumeId } from "../../domain/volume-id.ts";
import { parseVolumeName } from "../../inspect/resolve.ts";
import { testIo } from "../cli.fixture.ts";
import { ExitCode } from "../exit-codes.ts";
import { runVolumesAdopt } from "./adopt.ts";
import { runVolumesAdoptUndo } from "./adopt-undo.ts";

/** Handle of the earlier driver's volume with a number. */
export function earlierId(number: number): VolumeId {
  const id = parseVolumeId(`pvc-0b2c6a3e-6f0e-4a5b-9a43-${String(number).padStart(12, "0")}`);
  if (id === undefined) throw new Error("no handle");
  return id;
}

/** How the external sidecars ask for volumes of the earlier driver. */
export const RWO_MOUNT: Capability = { ...MOUNT, accessMode: "SINGLE_NODE_MULTI_WRITER", fsType: "ext4" };
export const RWX_BLOCK: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };

/** What may differ in a PersistentVolume of the earlier driver. */
export interface EarlierPv {
  readonly mode?: "Block" | "Filesystem";
  readonly accessMode?: string;
  readonly capacity?: string;
  /** "": it has none. */
  readonly fsType?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly name?: string;
}

/** A RDS, a cluster, the earlier driver and this one. */
export interface Swap {
  readonly on: Stack;
  readonly world: World;
  readonly earlier: EarlierDriver;
  /** The PersistentVolume as external-provisioner makes it of the earlier driver's answer. */
  pv(id: VolumeId, more?: EarlierPv): void;
  /** The VolumeAttachment as external-attacher makes it of the earlier driver's answer. */
  va(id: VolumeId, node: string, more?: { attached?: boolean; at?: string; status?: object }): void;
  noVa(id: VolumeId, node: string): void;
  pod(id: VolumeId, node: string): void;
  adopt(
    name: VolumeId | string | "--all",
    yes?: boolean,
    onOut?: (text: string) => void,
    clusterId?: string,
  ): Promise<Adoption>;
  undo(name: VolumeId | "--all", yes?: boolean): Promise<Adoption>;
  record(id: VolumeId): VolumeRecord;
  publish(id: VolumeId, node: string, capability: Capability): ReturnType<Stack["attachments"]["publish"]>;
  /** The id of the error that the call fails with, or OK. */
  outcome(call: Promise<unknown>): Promise<string>;
}

/** What the command has done. */
export interface Adoption {
  readonly code: number;
  readonly out: string;
  readonly error?: string;
}

const NAMESPACE = "rds-csi";

/** Gives the tests of a file a way to start a swap; it is stopped after its test. */
export function useSwap(): (options?: StackOptions) => Promise<Swap> {
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  return async (options = {}) => {
    const on = await startStack({ clusterId: CLUSTER_UID, ...options });
    stops.push(() => on.close());
    const world = await startWorld();
    stops.push(() => world.stop());
    const earlier = await EarlierDriver.start(on.simulator, on.keyFile);
    stops.push(async () => earlier.close());
    const kubeconfig = await world.api.writeKubeconfig(join(world.dir, "admin"));
    return swapOf(on, world, earlier, kubeconfig);
  };
}

function swapOf(on: Stack, world: World, earlier: EarlierDriver, kubeconfig: string): Swap {
  const vaName = (id: VolumeId, node: string) => `csi-${id}-${node}`;
  return {
    on,
    world,
    earlier,
    pv: (id, more = {}) => {
      const { mode = "Filesystem", accessMode = "ReadWriteOnce", capacity = "1Gi", name = id } = more;
      world.api.apply({
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name, creationTimestamp: "2026-01-01T00:00:00Z" },
        spec: {
          csi: {
            driver: DRIVER,
            volumeHandle: id,
            ...(mode === "Filesystem" && more.fsType !== "" ? { fsType: more.fsType ?? "ext4" } : {}),
            volumeAttributes: {
              rdsAddress: "192.0.2.1",
              nvmeAddress: "192.0.2.2",
              nvmePort: "4420",
              nqn: earlierNqn(id),
              volumePath: `/${EARLIER_FOLDER}/${id}.img`,
              ctrlLossTmo: "-1",
              reconnectDelay: "5",
              keepAliveTmo: "0",
              migrationTimeoutSeconds: "600",
              ...more.attributes,
            },
          },
          capacity: { storage: capacity },
          accessModes: [accessMode],
          volumeMode: mode,
          storageClassName: "rds-nvme",
          claimRef: { namespace: "vms", name: `disk-${id.slice(-2)}`, uid: `uid-${id}` },
        },
        status: { phase: "Bound" },
      });
    },
    va: (id, node, { attached = true, at = "2026-02-01T00:00:00Z", status } = {}) =>
      world.api.apply({
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name: vaName(id, node), creationTimestamp: at },
        spec: { attacher: DRIVER, nodeName: node, source: { persistentVolumeName: id } },
        status: status ?? {
          attached,
          ...(attached
            ? {
                attachmentMetadata: {
                  nvme_address: "192.0.2.2",
                  nvme_port: "4420",
                  nvme_nqn: earlierNqn(id),
                  fs_type: "ext4",
                },
              }
            : {}),
        },
      }),
    noVa: (id, node) => world.api.delete("VolumeAttachment", vaName(id, node)),
    pod: (id, node) =>
      world.api.apply({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `pod-${id.slice(-2)}`, namespace: "vms" },
        spec: {
          nodeName: node,
          volumes: [{ name: "d", persistentVolumeClaim: { claimName: `disk-${id.slice(-2)}` } }],
        },
        status: { phase: "Running" },
      }),
    adopt: (name, yes = false, onOut = () => {}, clusterId?) =>
      adoptAs(runVolumesAdopt, on, kubeconfig, name, yes, onOut, clusterId),
    undo: (name, yes = false) => adoptAs(runVolumesAdoptUndo, on, kubeconfig, name, yes, () => {}),
    record: (id) => {
      const decoded = decodeRecord(on.simulator.device.disk(id)?.comment ?? "");
      if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
      return decoded.record;
    },
    publish: (volumeId, nodeId, capability) =>
      on.attachments.publish({ volumeId, nodeId, capability, readonly: false, signal: on.signal }),
    outcome: async (call) => {
      try {
        await call;
        return "OK";
      } catch (error) {
        if (!(error instanceof DriverError)) throw error;
        return error.id;
      }
    },
  };
}

async function adoptAs(
  command: typeof runVolumesAdopt,
  { simulator, keyFile }: Stack,
  kubeconfig: string,
  name: string,
  yes: boolean,
  onOut: (text: string) => void,
  clusterId?: string,
): Promise<Adoption> {
  let out = "";
  const io = testIo({
    out: (text) => {
      out += text;
      onOut(text);
    },
  });
  const { host, port, hostKeyFingerprints } = simulator;
  const flags = {
    "rds-address": [`${host}:${port}`],
    "rds-key-file": [keyFile],
    "rds-host-key": [...hostKeyFingerprints],
    "lease-namespace": [NAMESPACE],
    orchestrator: ["kubernetes"],
    kubeconfig: [kubeconfig],
    ...(clusterId === undefined ? {} : { "cluster-id": [clusterId] }),
  };
  const options = {
    name: name === "--all" ? undefined : parseVolumeName(name, undefined),
    yes,
    timeoutSeconds: 30,
  };
  try {
    return { code: await command({ flags, env: {} }, options, io), out };
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return { code: ExitCode.failure, out, error: error.summary };
  }
}
