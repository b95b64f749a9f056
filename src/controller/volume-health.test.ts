import { describe, expect, test } from "bun:test";
import { type ServiceClient, serviceClient } from "../../test/support/csi-client.ts";
import { withServer } from "../../test/support/csi-server.ts";
import { codeOf, nameOf, outcome } from "../../test/support/rpc.ts";
import { controllerService } from "../csi/controller.ts";
import {
  Controller,
  ControllerServiceCapability_RPC_Type as Rpc,
  VolumeHealthErrorType,
} from "../csi/gen/csi_pb.ts";
import type { HealthDialect } from "../csi/health.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { type ReconcileLab, startReconcileLab } from "./reconcile.fixture.ts";

interface Lab extends ReconcileLab {
  readonly client: ServiceClient<typeof Controller>;
  /** Number of RouterOS commands of some calls. */
  commands(run: () => Promise<unknown>): Promise<number>;
}

/** A controller on a simulator and a cluster, over a real socket. */
async function withLab(run: (lab: Lab) => Promise<void>, healthDialect: HealthDialect = "both") {
  const lab = await startReconcileLab();
  const { on, health } = lab;
  try {
    await withServer([controllerService({ ...on, health, healthDialect })], async (_, { path }) => {
      const client = serviceClient(Controller, path);
      await on.rds.version(on.signal);
      const commands = async (calls: () => Promise<unknown>): Promise<number> => {
        on.commandsSince();
        await calls();
        return on.commandsSince().length;
      };
      await run({ ...lab, client, commands }).finally(() => client.close());
    });
  } finally {
    await on.close();
  }
}

/** What each RPC says of one volume. */
async function said({ client }: Lab, volumeId: string) {
  const shown = (entries: readonly { status: number; reason: string }[] = []) =>
    entries.map(({ status, reason }) => `${nameOf(VolumeHealthErrorType, status)} ${reason}`);
  const { volumeHealth } = await client.controllerGetVolumeHealth({ volumeId });
  const listed = (await client.controllerListVolumeHealth()).entries.find(
    (each) => each.volumeId === volumeId,
  );
  const { status } = await client.controllerGetVolume({ volumeId });
  const entry = (await client.listVolumes()).entries.find(({ volume }) => volume?.volumeId === volumeId);
  expect(volumeHealth?.volumeId).toBe(volumeId);
  return {
    health: shown(volumeHealth?.healthStatuses),
    listed: shown(listed?.healthStatuses),
    abnormal: status?.volumeCondition?.abnormal,
    inList: entry?.status?.volumeCondition?.abnormal,
    message: status?.volumeCondition?.message ?? "",
  };
}

const NORMAL = { health: [], listed: [], abnormal: false, inList: false };

describe("the health of a volume, in every RPC that tells it", () => {
  test("normal, attached or not; two commands each, and of the lists two for all", async () => {
    await withLab(async (lab) => {
      const id = await lab.volume("a");
      lab.pass(120);
      expect(await said(lab, id)).toMatchObject(NORMAL);
      await lab.publish(id, "node-a");
      lab.cluster.addAttachment(id, "node-a");
      expect(await said(lab, id)).toMatchObject({
        ...NORMAL,
        message: "nothing adverse is known of the volume",
      });
      const { volume, status } = await lab.client.controllerGetVolume({ volumeId: id });
      expect([volume?.volumeId, volume?.capacityBytes, status?.publishedNodeIds]).toEqual([
        id,
        1n << 20n,
        ["node-a"],
      ]);
      for (let more = 0; more < 20; more++) await lab.volume(`more-${more}`);
      const { client, commands } = lab;
      expect(await commands(() => client.controllerGetVolume({ volumeId: id }))).toBe(2);
      expect(await commands(() => client.controllerGetVolumeHealth({ volumeId: id }))).toBe(2);
      expect(await commands(() => client.controllerListVolumeHealth())).toBe(2);
      expect(await commands(() => client.listVolumes())).toBe(2);
    });
  });

  test("the pool degraded, then unmounted, then back", async () => {
    await withLab(async (lab) => {
      const id = await lab.volume("a");
      lab.pass(120);
      const { device } = lab.on.simulator;
      await device.setPool("storage-pool", { state: "clean, degraded" });
      const degraded = ["DEGRADED PoolDegraded"];
      expect(await said(lab, id)).toMatchObject({
        ...{ health: degraded, listed: degraded, abnormal: true, inList: true },
        message: expect.stringContaining('array storage-pool is "clean, degraded"'),
      });
      await device.setPool("storage-pool", { mounted: false });
      const away = ["INACCESSIBLE PoolNotMounted"];
      expect(await said(lab, id)).toMatchObject({ health: away, listed: away, abnormal: true, inList: true });
      await device.setPool("storage-pool", { mounted: true, state: "clean" });
      expect(await said(lab, id)).toMatchObject(NORMAL);
    });
  });

  test("the file missing while its pool is mounted is data loss; a file at another path, and a young volume, prove nothing", async () => {
    await withLab(async (lab) => {
      const id = await lab.volume("a");
      const { fileStore } = lab.on.simulator.device;
      const path = lab.on.simulator.device.disk(id)?.filePath.replace(/^\//, "") ?? "";
      const file = lab.on.simulator.device.file(path);
      if (file === undefined) throw new Error("the volume has no file");
      await fileStore.remove(file);
      const lost = ["DATA_LOSS FileMissing"];
      expect((await said(lab, id)).health).not.toEqual(lost);
      lab.pass(61);
      expect(await said(lab, id)).toMatchObject({ health: lost, listed: lost, abnormal: true });
      await lab.on.simulator.device.addFile(`storage-pool/${id}.img`, 1n << 20n);
      expect((await said(lab, id)).health).not.toEqual(lost);
      expect((await said(lab, id)).listed).not.toEqual(lost);
    });
  });

  test("the export off while it is attached, and a node that has lost its attachment", async () => {
    await withLab(async (lab) => {
      const id = await lab.volume("a");
      await lab.publish(id, "node-a");
      lab.cluster.addAttachment(id, "node-a");
      lab.pass(120);
      await lab.on.simulator.device.setDisk(id, { "nvme-tcp-export": false });
      const off = ["INACCESSIBLE ExportOff"];
      expect(await said(lab, id)).toMatchObject({ health: off, listed: off, abnormal: true, inList: true });
      lab.cluster.addAttachment(id, "node-b");
      const both = [...off, "DEGRADED AttachmentLost"];
      // The cluster is not asked for a list of volumes.
      expect(await said(lab, id)).toMatchObject({ health: both, listed: both, abnormal: true, inList: true });
    });
  });
});

describe("volumes that are no volumes", () => {
  test("never made, of another form, empty: NOT_FOUND and INVALID_ARGUMENT", async () => {
    await withLab(async ({ client }) => {
      const unknown = volumeIdFromName("never made");
      for (const ask of [client.controllerGetVolume, client.controllerGetVolumeHealth]) {
        expect(await codeOf(ask({ volumeId: unknown }))).toBe("NOT_FOUND");
        expect(await codeOf(ask({ volumeId: "x" }))).toBe("NOT_FOUND");
        expect(await outcome(ask({}))).toStartWith("INVALID_ARGUMENT: volume_id is required");
      }
    });
  });

  test("a PersistentVolume whose disk item is gone is inaccessible, and not found by the older RPCs", async () => {
    await withLab(async ({ client, cluster, on, volume, pass }) => {
      const id = await volume("a");
      pass(120);
      await on.simulator.device.removeDisk(id);
      const { volumeHealth } = await client.controllerGetVolumeHealth({ volumeId: id });
      const statuses = [{ status: VolumeHealthErrorType.INACCESSIBLE, reason: "DiskItemMissing" }];
      expect(volumeHealth).toMatchObject({ volumeId: id, healthStatuses: statuses });
      const { entries } = await client.controllerListVolumeHealth();
      expect(entries).toMatchObject([{ volumeId: id, healthStatuses: statuses }]);
      expect(await codeOf(client.controllerGetVolume({ volumeId: id }))).toBe("NOT_FOUND");
      expect((await client.listVolumes()).entries).toEqual([]);
      cluster.pvs.length = 0;
      expect(await codeOf(client.controllerGetVolumeHealth({ volumeId: id }))).toBe("NOT_FOUND");
      expect((await client.controllerListVolumeHealth()).entries).toEqual([]);
    });
  });

  test("a record that cannot be used: with a PersistentVolume degraded, without one refused", async () => {
    await withLab(async ({ client, cluster, on, volume }) => {
      const id = await volume("a");
      await on.simulator.device.setDisk(id, { comment: "emptied by hand" });
      const { volumeHealth } = await client.controllerGetVolumeHealth({ volumeId: id });
      expect(volumeHealth?.healthStatuses).toMatchObject([{ status: 1, reason: "RecordUnusable" }]);
      cluster.pvs.length = 0;
      expect(await codeOf(client.controllerGetVolumeHealth({ volumeId: id }))).toBe("FAILED_PRECONDITION");
      expect(await codeOf(client.controllerGetVolume({ volumeId: id }))).toBe("FAILED_PRECONDITION");
    });
  });

  test("while the cluster does not answer nothing is said: an entry would seem to be over", async () => {
    await withLab(async ({ client, cluster, volume }) => {
      const id = await volume("a");
      cluster.up = false;
      expect(await codeOf(client.controllerGetVolumeHealth({ volumeId: id }))).toBe("UNAVAILABLE");
      expect(await codeOf(client.controllerListVolumeHealth())).toBe("UNAVAILABLE");
    });
  });
});

test("pages of the list: in handle order, none twice, with as many entries as asked for", async () => {
  await withLab(async ({ client, commands, on, volume, pass }) => {
    const ids = await Promise.all(["a", "b", "c", "d", "e"].map((name) => volume(name)));
    pass(120);
    await on.simulator.device.setPool("storage-pool", { state: "clean, degraded" });
    const seen: string[] = [];
    const sizes: number[] = [];
    let startingToken = "";
    do {
      let page: Awaited<ReturnType<typeof client.controllerListVolumeHealth>> | undefined;
      const cost = await commands(async () => {
        page = await client.controllerListVolumeHealth({ maxEntries: 2, startingToken });
      });
      expect(cost).toBe(2);
      sizes.push(page?.entries.length ?? 0);
      seen.push(...(page?.entries ?? []).map(({ volumeId }) => volumeId));
      startingToken = page?.nextToken ?? "";
    } while (startingToken !== "");
    expect(sizes).toEqual([2, 2, 1]);
    expect(seen).toEqual(ids.toSorted());
    expect(await codeOf(client.controllerListVolumeHealth({ startingToken: "no token" }))).toBe("ABORTED");
    expect(await codeOf(client.controllerListVolumeHealth({ maxEntries: -1 }))).toBe("INVALID_ARGUMENT");
  });
});

describe("the dialect", () => {
  const offered: Readonly<Record<HealthDialect, readonly Rpc[]>> = {
    "csi-1.12": [Rpc.GET_VOLUME, Rpc.VOLUME_CONDITION],
    "csi-1.13": [Rpc.GET_VOLUME, Rpc.GET_VOLUME_HEALTH, Rpc.LIST_VOLUME_HEALTH],
    both: [Rpc.GET_VOLUME, Rpc.VOLUME_CONDITION, Rpc.GET_VOLUME_HEALTH, Rpc.LIST_VOLUME_HEALTH],
  };
  for (const [dialect, wanted] of Object.entries(offered) as [HealthDialect, readonly Rpc[]][])
    test(`${dialect}: capabilities, RPCs and VolumeCondition go together`, async () => {
      await withLab(async ({ client, volume }) => {
        const volumeId = await volume("a");
        const { capabilities } = await client.controllerGetCapabilities();
        const about = capabilities
          .map(({ type }) => type.value?.type)
          .filter((type) => offered.both.includes(type ?? 0));
        expect(about).toEqual([...wanted]);
        const rpc = wanted.includes(Rpc.GET_VOLUME_HEALTH) ? "OK" : "UNIMPLEMENTED";
        expect(await codeOf(client.controllerGetVolumeHealth({ volumeId }))).toBe(rpc);
        expect(await codeOf(client.controllerListVolumeHealth())).toBe(rpc);
        const condition = wanted.includes(Rpc.VOLUME_CONDITION) ? { abnormal: false } : undefined;
        const { status } = await client.controllerGetVolume({ volumeId });
        const [entry] = (await client.listVolumes()).entries;
        for (const each of [status, entry?.status]) {
          if (condition === undefined) expect(each?.volumeCondition).toBeUndefined();
          else expect(each?.volumeCondition).toMatchObject(condition);
        }
      }, dialect);
    });
});
