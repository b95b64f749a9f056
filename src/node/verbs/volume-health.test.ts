import { expect, test } from "bun:test";
import { isFailure } from "../../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { createNodeSystem } from "../../host/system.ts";
import { createNodeService } from "../service.ts";

const ID = volumeIdFromName("a");
const connection = (name: string, state: string): Connection => {
  const slot = volumeIdFromName(name);
  return { nqn: `nqn.2000-02.com.mikrotik:${slot}.1`, slot, epoch: 1, state, device: undefined };
};

/** A node with these connections and nothing mounted. */
function nodeWith(connections: readonly Connection[]) {
  const service = createNodeService({
    system: createNodeSystem(),
    dataPath: { kind: "nvme-tcp", list: async () => connections } as unknown as DataPath,
    nodeId: "node-a",
    clusterId: "test",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
    maxVolumesPerNode: 0,
  });
  return (volumeId: string, paths: { volumePublishPath?: string; stagingTargetPath?: string } = {}) =>
    service.volumeHealth({ volumeId, volumePublishPath: "", stagingTargetPath: "", ...paths });
}

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test("without a path, and at a path where nothing is yet, the connections tell it", async () => {
  const ask = nodeWith([connection("a", "connecting"), connection("b", "live")]);
  const notLive = [{ status: "inaccessible", reason: "ConnectionNotLive" }];
  expect(await ask(ID)).toMatchObject(notLive);
  expect(
    await ask(ID, { volumePublishPath: "/nothing/is/here", stagingTargetPath: "/nor/here" }),
  ).toMatchObject(notLive);
  expect(await ask(volumeIdFromName("b"))).toMatchObject([{ reason: "NamespaceMissing" }]);
});

test("a volume of which the node has nothing is not found; a handle is required", async () => {
  const ask = nodeWith([connection("b", "live")]);
  expect(isFailure(await failureOf(ask(ID)), "volumePathNotFound")).toBe(true);
  expect(isFailure(await failureOf(ask("no handle of ours")), "volumeNotFound")).toBe(true);
  expect(isFailure(await failureOf(ask("")), "fieldMissing")).toBe(true);
});

test("a volume that cannot be looked at is unknown, and no volume that is well", async () => {
  const broken: Connection = {
    ...connection("a", "live"),
    get state(): string {
      throw new Error("its sysfs is broken");
    },
  };
  expect(isFailure(await failureOf(nodeWith([broken])(ID)), "nodeStateUnknown")).toBe(true);
});
