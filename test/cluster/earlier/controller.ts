import { readFile } from "node:fs/promises";
import { type BoundService, service } from "../../../src/csi/bridge.ts";
import {
  Controller,
  VolumeCapability_AccessMode_Mode as Mode,
  ControllerServiceCapability_RPC_Type as Rpc,
} from "../../../src/csi/gen/csi_pb.ts";
import {
  EARLIER,
  EARLIER_FOLDER,
  earlierNqn,
  requireDone,
  saysReady,
} from "../../support/earlier-commands.ts";
import { connectWith } from "../../support/simulator-client.ts";

/** How the controller reaches the RDS. */
export interface EarlierRds {
  /** Address of SSH and of NVMe/TCP. */
  readonly address: string;
  readonly user: string;
  readonly keyFile: string;
}

/** The least size that it makes, bytes. */
const LEAST = 1n << 30n;

/**
 * The controller of the earlier Go driver: no record, the handle is the name, an attach is its own memory only. Another node is refused, and a shared block
 * volume has two.
 */
export function earlierController(rds: EarlierRds): BoundService {
  const nodesOf = new Map<string, Set<string>>();
  const run = async (...lines: readonly string[]): Promise<string> => {
    const privateKey = await readFile(rds.keyFile);
    const client = await connectWith({ host: rds.address, port: 22 }, { username: rds.user, privateKey });
    try {
      let text = "";
      for (const line of lines) text = requireDone(line, await client.exec(line));
      return text;
    } finally {
      client.close();
    }
  };
  const isThere = async (handle: string) => saysReady(await run(EARLIER.look(handle)), handle);
  const context = (handle: string) => ({
    ...{ rdsAddress: rds.address, nvmeAddress: rds.address, nvmePort: "4420", nqn: earlierNqn(handle) },
    volumePath: `/${EARLIER_FOLDER}/${handle}.img`,
    ...{ ctrlLossTmo: "-1", reconnectDelay: "5", keepAliveTmo: "0", migrationTimeoutSeconds: "300" },
  });
  return service(Controller, {
    controllerGetCapabilities: async () => ({
      capabilities: [Rpc.CREATE_DELETE_VOLUME, Rpc.PUBLISH_UNPUBLISH_VOLUME].map((type) => ({
        type: { case: "rpc" as const, value: { type } },
      })),
    }),
    createVolume: async ({ name, capacityRange }) => {
      const asked = capacityRange?.requiredBytes ?? 0n;
      const capacityBytes = asked > LEAST ? asked : LEAST;
      if (!(await isThere(name))) await run(EARLIER.create(name, capacityBytes));
      if (!(await isThere(name))) throw new Error(`${name} is not ready`);
      return { volume: { volumeId: name, capacityBytes, volumeContext: context(name) } };
    },
    deleteVolume: async ({ volumeId }) => {
      await run(EARLIER.removeDisk(volumeId), EARLIER.removeFile(volumeId));
      return {};
    },
    controllerPublishVolume: async ({ volumeId, nodeId, volumeCapability }) => {
      // Its only look at the RDS.
      if (!(await isThere(volumeId))) throw new Error(`${volumeId} is not ready`);
      const nodes = nodesOf.get(volumeId) ?? new Set();
      const most = volumeCapability?.accessMode?.mode === Mode.MULTI_NODE_MULTI_WRITER ? 2 : 1;
      if (!nodes.has(nodeId) && nodes.size >= most)
        throw new Error(`${volumeId} is attached to ${[...nodes].join()}`);
      nodesOf.set(volumeId, nodes.add(nodeId));
      return {
        publishContext: {
          ...{ nvme_address: rds.address, nvme_port: "4420" },
          ...{ nvme_nqn: earlierNqn(volumeId), fs_type: "ext4" },
        },
      };
    },
    controllerUnpublishVolume: async ({ volumeId, nodeId }) => {
      nodesOf.get(volumeId)?.delete(nodeId);
      return {};
    },
  });
}
