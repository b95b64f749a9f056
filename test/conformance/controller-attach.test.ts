import { describe, expect, test } from "bun:test";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { commandsOfCalls } from "../support/commands-of-calls.ts";
import { block, codeOf, GIB, MIB, Mode, mount, outcome } from "../support/rpc.ts";
import { created, missing, stand, UNKNOWN, useController } from "./controller.fixture.ts";

useController();

describe("ControllerPublishVolume and ControllerUnpublishVolume", () => {
  test("missing fields in order, then existence", async () => {
    const publish = (request: object) => outcome(stand.controller.controllerPublishVolume(request));
    expect(await publish({})).toBe(missing("volume_id"));
    expect(await publish({ volumeId: UNKNOWN })).toBe(missing("node_id"));
    expect(await publish({ volumeId: UNKNOWN, nodeId: "nobody" })).toBe(missing("volume_capability"));
    const volumeCapability = block();
    expect(await publish({ volumeId: UNKNOWN, nodeId: "nobody", volumeCapability })).toBe(
      `NOT_FOUND: volume ${UNKNOWN} does not exist on the RDS. Check the volume handle; \`rds-csi volumes list\` shows what exists.`,
    );
    expect(await publish({ volumeId: "no-such-id", nodeId: "nobody", volumeCapability })).toStartWith(
      'NOT_FOUND: volume "no-such-id" does not exist',
    );
    const volumeId = await created("pub-fields");
    expect(await publish({ volumeId, nodeId: "nobody", volumeCapability })).toBe(
      'NOT_FOUND: node "nobody" is not known. Check that the node exists and that the driver\'s DaemonSet runs on it.',
    );
    expect(await publish({ volumeId, nodeId: "n".repeat(257), volumeCapability })).toBe(
      "INVALID_ARGUMENT: node_id is 257 bytes long, the limit is 256 bytes. Use a shorter value.",
    );
    expect(await outcome(stand.controller.controllerUnpublishVolume({}))).toBe(missing("volume_id"));
  });

  test("the same answer again; other flags ALREADY_EXISTS; other node FAILED_PRECONDITION; what is unknown is detached", async () => {
    const volumeId = await created("pub");
    const request = { volumeId, nodeId: "node-a", volumeCapability: block() };
    const publish = (over: object) =>
      outcome(stand.controller.controllerPublishVolume({ ...request, ...over }));
    const first = await stand.controller.controllerPublishVolume(request);
    expect(Object.keys(first.publishContext).sort()).toEqual([
      "address",
      "ctrlLossTmo",
      "filesystemState",
      "hostNqn",
      "keepAliveTmo",
      "nqn",
      "port",
      "reconnectDelay",
      "sizeBytes",
    ]);
    expect(await stand.controller.controllerPublishVolume(request)).toEqual(first);
    const already = `ALREADY_EXISTS: volume ${volumeId} is already attached to node node-a:`;
    expect(await publish({ readonly: true })).toBe(
      `${already} readonly is false, asked for true. Detach it from that node first.`,
    );
    expect(await publish({ volumeCapability: mount() })).toBe(
      `${already} access type is block, asked for mount. Detach it from that node first.`,
    );
    expect(await publish({ volumeCapability: block(Mode.SINGLE_NODE_MULTI_WRITER) })).toBe(
      `${already} access mode is SINGLE_NODE_WRITER, asked for SINGLE_NODE_MULTI_WRITER. Detach it from that node first.`,
    );
    expect(await publish({ nodeId: "node-b" })).toBe(
      `FAILED_PRECONDITION: volume ${volumeId} is attached to node node-a and its access mode allows a single node. Wait: the call is repeated by itself, and the holder is usually detached within seconds of the end of its pod. If the holder is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.`,
    );
    const unpublish = (over: object) =>
      outcome(stand.controller.controllerUnpublishVolume({ volumeId, ...over }));
    expect(await unpublish({ nodeId: "node-b" })).toBe("OK");
    expect(await unpublish({ nodeId: "nobody" })).toBe("OK");
    expect(await unpublish({ volumeId: UNKNOWN, nodeId: "node-a" })).toBe("OK");
    expect(await unpublish({ volumeId: "no-such-id", nodeId: "node-a" })).toBe("OK");
    expect((await stand.controller.controllerPublishVolume(request)).publishContext).toEqual(
      first.publishContext,
    );
    expect(await unpublish({ nodeId: "node-a" })).toBe("OK");
    expect(await unpublish({ nodeId: "node-a" })).toBe("OK");
    expect((await stand.control.state()).disks.find(({ slot }) => slot === volumeId)?.exported).toBe(false);
  });

  test("ReadWriteMany: a second node under the same NQN, never a third; either side may leave first", async () => {
    const volumeCapability = block(Mode.MULTI_NODE_MULTI_WRITER);
    const volumeId = await created("rwx", 8n * MIB, volumeCapability);
    const publish = (nodeId: string) =>
      stand.controller.controllerPublishVolume({ volumeId, nodeId, volumeCapability });
    const nodes = async () =>
      (await stand.controller.listVolumes()).entries.find(({ volume }) => volume?.volumeId === volumeId)
        ?.status?.publishedNodeIds;
    const source = await publish("node-a");
    const target = await publish("node-b");
    expect(target.publishContext.nqn).toBe(source.publishContext.nqn ?? "");
    expect(await nodes()).toEqual(["node-a", "node-b"]);
    expect(await publish("node-a")).toEqual(source);
    expect(await outcome(publish("node-c"))).toBe(
      `FAILED_PRECONDITION: volume ${volumeId} is attached to two nodes already: node-a and node-b. Wait: the call is repeated by itself, until one of them is detached. If one of them is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.`,
    );
    expect(await codeOf(stand.controller.deleteVolume({ volumeId }))).toBe("FAILED_PRECONDITION");
    await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    expect(await nodes()).toEqual(["node-b"]);
    expect((await publish("node-b")).publishContext).toEqual(target.publishContext);
    await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-b" });
    expect(await nodes()).toEqual([]);
    expect((await publish("node-c")).publishContext.nqn).not.toBe(source.publishContext.nqn ?? "");
    await stand.controller.controllerUnpublishVolume({ volumeId });
  });
});

describe("ControllerExpandVolume", () => {
  const expand = (request: object) => stand.controller.controllerExpandVolume(request);
  const range = (requiredBytes: bigint, limitBytes = 0n) => ({
    capacityRange: { requiredBytes, limitBytes },
  });

  test("fields, in the order of the specification, before anything is asked of the RDS", async () => {
    const sent = await commandsOfCalls(stand, async () => {
      expect(await outcome(expand({}))).toBe(missing("volume_id"));
      expect(await outcome(expand({ volumeId: UNKNOWN }))).toBe(missing("capacity_range"));
      expect(await outcome(expand({ volumeId: UNKNOWN, ...range(0n) }))).toBe(missing("capacity_range"));
      expect(await codeOf(expand({ volumeId: UNKNOWN, ...range(-1n) }))).toBe("INVALID_ARGUMENT");
      expect(await codeOf(expand({ volumeId: UNKNOWN, ...range(5n, -1n) }))).toBe("INVALID_ARGUMENT");
      expect(await codeOf(expand({ volumeId: UNKNOWN, ...range(5n, 4n) }))).toBe("OUT_OF_RANGE");
      const volumeCapability = mount(Mode.MULTI_NODE_MULTI_WRITER);
      expect(await codeOf(expand({ volumeId: UNKNOWN, ...range(5n), volumeCapability }))).toBe(
        "INVALID_ARGUMENT",
      );
      expect(await codeOf(expand({ volumeId: "no-such-id", ...range(5n) }))).toBe("NOT_FOUND");
    });
    expect(sent).toEqual([]);
    expect(await codeOf(expand({ volumeId: UNKNOWN, ...range(5n) }))).toBe("NOT_FOUND");
  });

  test("grown and measured; what is there already is the answer; too much is refused", async () => {
    const volumeId = await created("expanded");
    const capacityOf = async () => {
      const { entries } = await stand.controller.listVolumes();
      return entries.find(({ volume }) => volume?.volumeId === volumeId)?.volume?.capacityBytes;
    };
    const volumeCapability = block();
    const grown = await expand({ volumeId, ...range(20n * MIB - 1n), volumeCapability });
    expect([grown.capacityBytes, grown.nodeExpansionRequired]).toEqual([20n * MIB, false]);
    expect(await capacityOf()).toBe(20n * MIB);
    expect((await expand({ volumeId, ...range(MIB) })).capacityBytes).toBe(20n * MIB);
    expect(await codeOf(expand({ volumeId, ...range(MIB, 19n * MIB) }))).toBe("OUT_OF_RANGE");
    expect(await codeOf(expand({ volumeId, ...range(20n * MIB + 1n, 20n * MIB + 2n) }))).toBe("OUT_OF_RANGE");
    expect(await codeOf(expand({ volumeId, ...range(2n ** 63n - 1n) }))).toBe("OUT_OF_RANGE");
    expect(await codeOf(expand({ volumeId, ...range(5_000n * GIB) }))).toBe("OUT_OF_RANGE");
    expect(await capacityOf()).toBe(20n * MIB);
    await stand.controller.controllerPublishVolume({ volumeId, nodeId: "node-a", volumeCapability });
    expect((await expand({ volumeId, ...range(MIB), volumeCapability })).nodeExpansionRequired).toBe(true);
    await stand.controller.controllerUnpublishVolume({ volumeId });
    await stand.controller.deleteVolume({ volumeId });
  });
});

describe("parallel calls", () => {
  test("200 at the same time: all are answered, each volume once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        outcome(
          stand.controller.createVolume({
            name: `many-${index % 40}`,
            capacityRange: { requiredBytes: 8n * MIB },
            volumeCapabilities: [block()],
          }),
        ),
      ),
    );
    // Equal calls share one answer; none is refused.
    expect(answers.filter((answer) => answer !== "OK")).toEqual([]);
    const wanted = Array.from({ length: 40 }, (_, index) => volumeIdFromName(`many-${index}`));
    const slots = (await stand.control.state()).disks.map(({ slot }) => slot);
    for (const id of wanted) expect(slots.filter((slot) => slot === id)).toEqual([id]);
    await Promise.all(wanted.map((volumeId) => stand.controller.deleteVolume({ volumeId })));
  }, 240_000);

  test("another operation on the same volume is ABORTED and names the one that runs", async () => {
    const volumeId = await created("busy");
    await stand.control.fault({ kind: "hang", line: volumeId });
    const mark = (await stand.control.commands()).at(-1)?.sequence ?? 0;
    const first = stand.controller.controllerPublishVolume({
      volumeId,
      nodeId: "node-a",
      volumeCapability: block(),
    });
    await stand.control.untilSent(new RegExp(volumeId), mark);
    expect(await outcome(stand.controller.deleteVolume({ volumeId }))).toBe(
      `ABORTED: another operation on volume ${volumeId} is in progress (ControllerPublishVolume). The caller repeats the call; it is answered once the running operation has ended.`,
    );
    await stand.control.clearFaults();
    await first;
    await stand.controller.controllerUnpublishVolume({ volumeId });
    await stand.controller.deleteVolume({ volumeId });
  });
});
