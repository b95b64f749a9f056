import { expect, test } from "bun:test";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import { createNodeSystem } from "../../host/system.ts";
import { createNodeService } from "../service.ts";

const slot = volumeIdFromName("pvc-1");
const DEAD: Connection = { nqn: `nqn.x:${slot}.1`, slot, epoch: 1, state: "dead", device: undefined };

/** The lines of a start-up that finds these connections. */
async function linesOf(found: readonly Connection[], disconnect: DataPath["disconnect"]): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const system = createNodeSystem({ sysRoot: "/nonexistent", logger: recordingLogger(lines) });
  const dataPath = { kind: "loop", list: async () => found, disconnect } as unknown as DataPath;
  const service = createNodeService({
    ...{ system, dataPath, nodeId: "node-a", clusterId: "test", nqnPrefix: "nqn.x", maxVolumesPerNode: 0 },
  });
  await service.prune(5_000);
  return lines.filter(({ message }) => message.startsWith("leftovers"));
}

test("a start without leftovers says nothing about them", async () => {
  expect(await linesOf([], async () => {})).toEqual([]);
});

test("leftovers that were cleared are said to be, those that remain are a warning", async () => {
  const cleared = { unmounted: [], disconnected: [DEAD.nqn], left: [], incomplete: false };
  expect(await linesOf([DEAD], async () => {})).toEqual([
    { level: "info", message: "leftovers cleared", fields: cleared },
  ]);
  const refused = () => Promise.reject(failure("internal", { what: "no" }));
  expect(await linesOf([DEAD], refused)).toEqual([
    {
      level: "warn",
      message: "leftovers remain",
      fields: expect.objectContaining({ disconnected: [], incomplete: true }),
    },
  ]);
});
