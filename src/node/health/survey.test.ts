import { expect, test } from "bun:test";
import { ManualClock } from "../../../test/support/clock.ts";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { createNodeSystem } from "../../host/system.ts";
import { createNodeService } from "../service.ts";
import { createHealthWatch } from "./health-watch.ts";

const [BROKEN, OTHER] = [volumeIdFromName("a"), volumeIdFromName("b")];
const connection = (slot: typeof OTHER, state: string): Connection => ({
  nqn: `nqn.2000-02.com.mikrotik:${slot}.1`,
  slot,
  epoch: 1,
  state,
  device: undefined,
});

test("a volume that cannot be looked at keeps no other from being looked at and reported", async () => {
  const broken: Connection = {
    ...connection(BROKEN, "live"),
    get state(): string {
      throw new Error("its sysfs is broken");
    },
  };
  const list = async () => [broken, connection(OTHER, "connecting")];
  const log: LogLine[] = [];
  const logger = recordingLogger(log);
  const service = createNodeService({
    system: createNodeSystem({ logger }),
    dataPath: { kind: "nvme-tcp", list } as unknown as DataPath,
    nodeId: "node-a",
    clusterId: "test",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
    maxVolumesPerNode: 0,
  });
  const found = await service.survey();
  expect(found.get(OTHER)?.map(({ cause }) => cause)).toEqual(["not-live"]);
  expect(found.has(BROKEN)).toBe(true);
  expect(found.get(BROKEN)).toBeUndefined();

  const clock = new ManualClock();
  const posted: string[] = [];
  const seen: unknown[] = [];
  const watch = createHealthWatch({
    survey: (signal) => service.survey(signal),
    events: { postForVolume: (handle) => posted.push(handle) },
    onLook: (volumes) =>
      seen.push(volumes.map(([id, conditions]) => [id, conditions.map(({ cause }) => cause)])),
    nodeId: "node-a",
    clock,
    logger,
  });
  for (let look = 0; look < 3; look += 1) {
    await watch.look(new AbortController().signal);
    await clock.advance(30_000);
  }
  expect(posted).toEqual([OTHER]);
  expect(seen.at(-1)).toEqual([[OTHER, ["not-live"]]]);
  // Told once, not at each look.
  const told = log.filter(({ level, message }) => level === "warn" && message.startsWith("some volumes"));
  expect(told.map(({ fields }) => fields)).toEqual([{ volumes: [BROKEN] }]);
});
