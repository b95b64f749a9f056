import { expect, test } from "bun:test";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { NODE_RATINGS } from "../../src/inspect/health.ts";
import type { NodeContext } from "../../src/node/context.ts";
import { abnormalConditions } from "../../src/node/health/health.ts";
import { createHealthWatch } from "../../src/node/health/health-watch.ts";

import { silentLogger } from "../../src/observability/log.ts";
import { ManualClock } from "../support/clock.ts";
import { page, section, tableRows } from "./pages.fixture.ts";

const nodes = section(page("docs/events.md"), "Reasons of nodes");
const rows = tableRows(nodes).map((row) => row.map((cell) => cell.replaceAll("`", "")));

test("the reasons of nodes, with what a node really says", async () => {
  const slot = volumeIdFromName("volume-1");
  const nqn = "nqn.2000-02.com.mikrotik:csi-1b56868c9eaffb3f68d95b0c08b8.1-5f3a90c2";
  const connection = { nqn, slot, epoch: 1, state: "connecting", device: undefined };
  // Nothing of the node is looked at for a connection without mounts.
  const subject = { volume: slot, connections: [connection], mounts: [] };
  const conditions = await abnormalConditions({} as NodeContext, subject);
  const said: string[][] = [];
  const clock = new ManualClock();
  let found = conditions;
  const watch = createHealthWatch({
    survey: async () => new Map([[slot, found]]),
    events: {
      postForVolume: (_, { type, reason, message }) => said.push([reason, type, message]),
    },
    nodeId: "node-a",
    clock,
    logger: silentLogger,
  });
  for (let look = 0; look < 4; look += 1) {
    if (look === 3) found = [];
    await watch.look(new AbortController().signal);
    await clock.advance(30_000);
  }
  const documented = rows.filter(([reason = ""]) => /^Volume[A-Z]/.test(reason));
  expect(documented.map(([reason = "", type = "", , example = ""]) => [reason, type, example])).toEqual(said);
});

test("the causes are those of the code", () => {
  const listed = rows.map(([cause = ""]) => cause).filter((cause) => /^[a-z]+-[a-z-]+$/.test(cause));
  expect(listed.toSorted()).toEqual(Object.keys(NODE_RATINGS).toSorted());
  expect(listed.length).toBeGreaterThan(5);
});
