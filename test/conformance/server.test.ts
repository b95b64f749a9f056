import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { rmdir } from "node:fs/promises";
import { connect } from "node:http2";
import { createConnection } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { Controller, GroupController, Identity, SnapshotMetadata } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import type { Running } from "../support/processes.ts";
import { block, codeOf, MIB, outcome } from "../support/rpc.ts";
import { exists, type Stand, startStand, until } from "../support/stand.ts";

// What only a process on a socket can show: HTTP/2 details, cancellation, deadlines, and the end of the process.

let base = "";
let stand: Stand;
beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({ executable, directory: join(base, "s"), nodes: ["node-a"], startNodes: false });
});
afterEach(() => stand.control.clearFaults());
afterAll(async () => {
  await stand?.close();
  await rmdir(base);
});

const request = (name: string) => ({
  name,
  capacityRange: { requiredBytes: 8n * MIB },
  volumeCapabilities: [block()],
});
const add = (name: string) => new RegExp(`/disk/add.*${volumeIdFromName(name)}`);
const lastSequence = async () => (await stand.control.commands()).at(-1)?.sequence ?? 0;
const slots = async () => (await stand.control.state()).disks.map(({ slot }) => slot);

/** Waits until nobody can connect any more; the file itself goes when the last call has ended. */
const untilRefused = (socket: string) =>
  until("connections to be refused", () => connects(socket).then((yes) => !yes));

function connects(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** One unary call as raw HTTP/2, to choose what a gRPC library would not let one choose. */
function raw(
  path: string,
  headers: Record<string, string> = {},
  body: Buffer = Buffer.alloc(5),
): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const session = connect("http://localhost", {
      createConnection: () => createConnection(stand.controllerSocket),
    });
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    let answer: Record<string, unknown> = {};
    stream.on("response", (got) => (answer = { ...answer, ...got }));
    stream.on("trailers", (got) => (answer = { ...answer, ...got }));
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      resolve(answer);
    });
    stream.resume();
    stream.end(body);
  });
}

describe("on the wire", () => {
  test("authority localhost, as kubelet and the sidecars send it, and the escaped socket path", async () => {
    for (const authority of ["localhost", "%2Fcsi%2Fcsi.sock"]) {
      expect(await raw("/csi.v1.Identity/Probe", { ":authority": authority })).toMatchObject({
        ":status": 200,
        "grpc-status": String(status.OK),
      });
      const client = stand.connect(Identity, stand.controllerSocket, { "grpc.default_authority": authority });
      expect((await client.getPluginInfo()).name).toBe("rds.csi.srvlab.io");
    }
  });

  test("unknown service and method: UNIMPLEMENTED", async () => {
    for (const path of [
      "/csi.v1.Controller/Nope",
      "/csi.v9.Controller/CreateVolume",
      "/csi.v1.Node/NodeGetInfo",
    ]) {
      expect(await raw(path)).toMatchObject({ "grpc-status": String(status.UNIMPLEMENTED) });
    }
    const groups = stand.connect(GroupController, stand.controllerSocket);
    expect(await codeOf(groups.createVolumeGroupSnapshot({ name: "g" }))).toBe("UNIMPLEMENTED");
    expect(SnapshotMetadata.methods.map(({ methodKind }) => methodKind)).toContain("server_streaming");
    expect(await raw("/csi.v1.SnapshotMetadata/GetMetadataAllocated")).toMatchObject({
      "grpc-status": String(status.UNIMPLEMENTED),
    });
  });

  test("a request that is no protobuf, or claims to be huge: refused, and the server goes on", async () => {
    const message = Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]);
    expect((await raw("/csi.v1.Controller/CreateVolume", {}, message))["grpc-status"]).not.toBe("0");
    const huge = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1]);
    expect((await raw("/csi.v1.Controller/CreateVolume", {}, huge))["grpc-status"]).toBe(
      String(status.RESOURCE_EXHAUSTED),
    );
    expect((await stand.identity.probe()).ready).toBe(true);
  });

  test("bytes that are no HTTP/2: the connection ends, the server goes on", async () => {
    const ended = new Promise<void>((resolve) => {
      const socket = createConnection(stand.controllerSocket, () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      socket.on("close", () => resolve());
      socket.on("error", () => resolve());
      socket.resume();
    });
    await ended;
    expect((await stand.identity.probe()).ready).toBe(true);
  });

  test("a failure is trailers with a message and no details", async () => {
    const answer = await raw("/csi.v1.Controller/DeleteVolume");
    expect(answer["grpc-status"]).toBe(String(status.INVALID_ARGUMENT));
    expect(decodeURIComponent(String(answer["grpc-message"]))).toStartWith("volume_id is required");
    expect(Object.keys(answer)).not.toContain("grpc-status-details-bin");
  });
});

describe("a caller that goes away", () => {
  test("cancelled in the middle of CreateVolume: CANCELLED at once, and the repeat converges on one volume", async () => {
    await stand.control.fault({ kind: "hang", line: add("cancelled").source });
    const controller = new AbortController();
    const mark = await lastSequence();
    const call = outcome(stand.controller.createVolume(request("cancelled"), { signal: controller.signal }));
    await stand.control.untilSent(add("cancelled"), mark);
    controller.abort();
    expect(await call).toStartWith("CANCELLED: ");
    await stand.control.clearFaults();
    // Until the cancelled work has ended its place is held; what it has done is found by the repeat.
    let answer = "";
    await until("the repeat", async () => {
      answer = await outcome(stand.controller.createVolume(request("cancelled")));
      if (
        !/^(OK|ABORTED: another operation on volume csi-\w+ is in progress \(CreateVolume, being cancelled\)|UNAVAILABLE)/.test(
          answer,
        )
      )
        throw new Error(answer);
      return answer === "OK";
    });
    expect((await slots()).filter((slot) => slot === volumeIdFromName("cancelled"))).toHaveLength(1);
    await stand.controller.deleteVolume({ volumeId: volumeIdFromName("cancelled") });
  });

  test("the deadline: DEADLINE_EXCEEDED while the command hangs, and the repeat converges", async () => {
    await stand.control.fault({ kind: "hang", line: add("late").source });
    expect(await codeOf(stand.controller.createVolume(request("late"), { deadlineMs: 150 }))).toBe(
      "DEADLINE_EXCEEDED",
    );
    await stand.control.clearFaults();
    await until(
      "the repeat",
      async () => (await outcome(stand.controller.createVolume(request("late")))) === "OK",
    );
    expect((await slots()).filter((slot) => slot === volumeIdFromName("late"))).toHaveLength(1);
    await stand.controller.deleteVolume({ volumeId: volumeIdFromName("late") });
  });

  test("a link so slow that no call of two commands ends in time: repeated with the same deadline, one volume, one epoch", async () => {
    // A second command of a call gets no answer before the deadline, however slow this machine is: all but the first hang.
    const deadlineMs = 1_000;
    const repeat = async (call: () => Promise<unknown>): Promise<string[]> => {
      const ends: string[] = [];
      await until("the repeat", async () => {
        await stand.control.clearFaults();
        // What an earlier call left running has ended, so that the first command is one of this call.
        await until("no command runs", async () => (await stand.control.stats()).running === 0);
        await stand.control.fault({ kind: "hang", line: ".", nth: 2, count: "forever" });
        ends.push(await codeOf(call()));
        return ends.at(-1) === "OK";
      });
      return ends;
    };
    const created = await repeat(() => stand.controller.createVolume(request("slow"), { deadlineMs }));
    expect(created).toContain("DEADLINE_EXCEEDED");
    const volumeId = volumeIdFromName("slow");
    const epochs = new Set<string>();
    const attach = { volumeId, nodeId: "node-a", volumeCapability: block() };
    await repeat(async () => {
      const answer = await stand.controller.controllerPublishVolume(attach, { deadlineMs });
      epochs.add(answer.publishContext.nqn ?? "");
    });
    const found = (await stand.control.state()).disks.filter(({ slot }) => slot === volumeId);
    expect(found).toMatchObject([{ exported: true, nqn: [...epochs][0] }]);
    expect(found[0]?.nqn).toMatch(new RegExp(`:${volumeId}\\.1-[0-9a-f]{8}$`));
    await repeat(() =>
      stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" }, { deadlineMs }),
    );
    await stand.control.clearFaults();
    await stand.controller.deleteVolume({ volumeId });
  });

  test("a client whose process dies holds nothing: the next call works", async () => {
    await stand.control.fault({ kind: "hang", line: add("orphan").source });
    const client = stand.connect(Controller, stand.controllerSocket);
    const mark = await lastSequence();
    const call = outcome(client.createVolume(request("orphan")));
    await stand.control.untilSent(add("orphan"), mark);
    client.close();
    await stand.control.clearFaults();
    await until(
      "the repeat",
      async () => (await outcome(stand.controller.createVolume(request("orphan")))) === "OK",
    );
    await call;
    await stand.controller.deleteVolume({ volumeId: volumeIdFromName("orphan") });
  });
});

describe("the end of the process", () => {
  let count = 0;
  const another = async (...flags: string[]): Promise<{ process: Running; socket: string }> => {
    count += 1;
    const socket = join(stand.directory, `end-${count}.sock`);
    return { process: await stand.startController(socket, flags), socket };
  };

  test("SIGTERM: the running CreateVolume is finished and answered, new calls are refused, exit 0", async () => {
    const { process, socket } = await another();
    const client = stand.connect(Controller, socket);
    await client.listVolumes();
    await stand.control.fault({ kind: "hang", line: add("drained").source });
    const mark = await lastSequence();
    let answered = false;
    const running = outcome(client.createVolume(request("drained"))).finally(() => (answered = true));
    await stand.control.untilSent(add("drained"), mark);
    process.signal("SIGTERM");
    await untilRefused(socket);
    // The connection that was open before takes no new call, and there is no other.
    expect(await codeOf(client.listVolumes())).toBe("UNAVAILABLE");
    expect(await codeOf(stand.connect(Identity, socket).probe())).toBe("UNAVAILABLE");
    expect([answered, process.ended()]).toEqual([false, undefined]);
    await stand.control.clearFaults();
    expect(await running).toBe("OK");
    expect(await process.wait()).toBe("0");
    expect(await slots()).toContain(volumeIdFromName("drained"));
    await stand.controller.deleteVolume({ volumeId: volumeIdFromName("drained") });
  });

  test("a call that does not end is aborted after --shutdown-timeout-seconds, exit 0 all the same", async () => {
    const patient = await another("--shutdown-timeout-seconds", "600");
    const { process, socket } = await another("--shutdown-timeout-seconds", "1");
    const client = stand.connect(Controller, socket);
    await client.listVolumes();
    await stand.control.fault({ kind: "hang", line: add("waits").source });
    await stand.control.fault({ kind: "hang", line: add("hung").source });
    const mark = await lastSequence();
    const waiting = outcome(stand.connect(Controller, patient.socket).createVolume(request("waits")));
    await stand.control.untilSent(add("waits"), mark);
    patient.process.signal("SIGTERM");
    await untilRefused(patient.socket);
    const running = outcome(client.createVolume(request("hung")));
    await stand.control.untilSent(add("hung"), mark);
    const started = performance.now();
    const exit = process.stop();
    expect(await running).toMatch(/^UNAVAILABLE: /);
    expect(await exit).toBe("0");
    const took = performance.now() - started;
    expect(took).toBeGreaterThan(900);
    // One with a longer limit goes on waiting.
    expect(patient.process.ended()).toBeUndefined();
    expect(await patient.process.stop()).toBe("1");
    await waiting;
    await stand.control.clearFaults();
    // What the hung command did or did not do, the next controller goes on from it.
    await until(
      "the repeat",
      async () => (await outcome(stand.controller.createVolume(request("hung")))) === "OK",
    );
    for (const name of ["hung", "waits"])
      await stand.controller.deleteVolume({ volumeId: volumeIdFromName(name) });
  });

  test("a second SIGTERM ends it at once with exit code 1", async () => {
    const { process, socket } = await another();
    const client = stand.connect(Controller, socket);
    await client.listVolumes();
    await stand.control.fault({ kind: "hang", line: add("twice").source });
    const mark = await lastSequence();
    const running = codeOf(client.createVolume(request("twice"), { deadlineMs: 3_000 }));
    await stand.control.untilSent(add("twice"), mark);
    process.signal("SIGTERM");
    await untilRefused(socket);
    expect(await process.stop()).toBe("1");
    expect(await running).toMatch(/^(UNAVAILABLE|CANCELLED|DEADLINE_EXCEEDED)$/);
    await stand.control.clearFaults();
    await until(
      "the repeat",
      async () => (await outcome(stand.controller.createVolume(request("twice")))) === "OK",
    );
    await stand.controller.deleteVolume({ volumeId: volumeIdFromName("twice") });
  });

  test("idle: ends without waiting for the shutdown timeout, socket gone", async () => {
    const { process, socket } = await another("--shutdown-timeout-seconds", "600");
    await stand.connect(Identity, socket).probe();
    expect(await process.stop()).toBe("0");
    expect(await exists(socket)).toBe(false);
  });
});
