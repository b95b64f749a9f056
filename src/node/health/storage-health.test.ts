import { describe, expect, test } from "bun:test";
import { systemClock } from "../../domain/clock.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Connection, DataPath } from "../../host/data-path.ts";
import type { Reach, StoragePort } from "../../host/reach.ts";
import type { NodeContext } from "../context.ts";
import { storageHealth } from "./storage-health.ts";

const NEAR: StoragePort = { address: "192.0.2.1", port: 4420 };
const FAR: StoragePort = { address: "192.0.2.2", port: 4420 };

const connection = (name: string, state: string, ports: readonly StoragePort[] = [NEAR]): Connection => {
  const slot = volumeIdFromName(name);
  return { nqn: `nqn.2000-02.com.mikrotik:${slot}.1`, slot, epoch: 1, state, device: undefined, ports };
};

const reached = (milliseconds = 1): Reach => ({ kind: "reached", milliseconds, from: undefined });
const failed = (code: string): Reach => ({ kind: "failed", milliseconds: 1, code });
const silent: Reach = { kind: "silent", milliseconds: 4_000 };

/** What a node says that has these connections, and how often it has tried which port. */
async function troublesOf(
  connections: readonly Connection[],
  answers: Readonly<Record<string, Reach>>,
  storageAddresses: readonly string[] = [],
) {
  const tried: string[] = [];
  const node = {
    system: { clock: systemClock },
    dataPath: { list: async () => connections } as unknown as DataPath,
    storageAddresses,
  } as unknown as NodeContext;
  const found = await storageHealth(node, undefined, async ({ address, port }) => {
    tried.push(`${address}:${port}`);
    return answers[address] ?? reached();
  });
  return {
    tried,
    said: found.map(({ unreachable, reason }) => `${unreachable ? "unreachable" : "degraded"} ${reason}`),
  };
}

describe("the way from a node to the RDS", () => {
  test("a port that answers, and one that refuses, is there; each is tried once", async () => {
    const two = [connection("a", "live"), connection("b", "live")];
    expect(await troublesOf(two, {})).toEqual({ tried: ["192.0.2.1:4420"], said: [] });
    expect((await troublesOf(two, { [NEAR.address]: failed("ECONNREFUSED") })).said).toEqual([]);
  });

  test("without a connection and an address nothing is known", async () => {
    expect(await troublesOf([], {})).toEqual({ tried: [], said: [] });
  });

  test("without a connection the configured address counts; silence of a port that nobody uses proves nothing", async () => {
    const address = NEAR.address;
    const away = { [address]: failed("EHOSTUNREACH") };
    const unreachable = { tried: ["192.0.2.1:4420"], said: ["unreachable StorageUnreachable"] };
    expect(await troublesOf([], away, [address])).toEqual(unreachable);
    expect((await troublesOf([], { [address]: silent }, [address])).said).toEqual([]);
  });

  test("a port that volumes use and that does not answer is unreachable; the lost connections follow from it", async () => {
    const lost = [connection("a", "connecting"), connection("b", "connecting")];
    for (const answer of [silent, failed("EHOSTUNREACH"), failed("ENETUNREACH")])
      expect((await troublesOf(lost, { [NEAR.address]: answer })).said).toEqual([
        "unreachable StorageUnreachable",
      ]);
  });

  test("one of two addresses away: degraded", async () => {
    const two = [connection("a", "live"), connection("b", "connecting", [FAR])];
    const { said } = await troublesOf(two, { [FAR.address]: silent });
    expect(said).toEqual(["degraded StorageAddressUnreachable"]);
  });

  test("one volume without a live connection is that volume's trouble, several are the storage's", async () => {
    const [a, b, c] = [connection("a", "connecting"), connection("b", "resetting"), connection("c", "live")];
    expect((await troublesOf([a, c], {})).said).toEqual([]);
    expect((await troublesOf([a, b, c], {})).said).toEqual(["degraded ConnectionsNotLive"]);
  });

  test("a slow answer: degraded", async () => {
    const { said } = await troublesOf([connection("a", "live")], { [NEAR.address]: reached(1_000) });
    expect(said).toEqual(["degraded StorageSlow"]);
  });
});
