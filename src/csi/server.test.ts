import { describe, expect, test } from "bun:test";
import { createConnection, createServer, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { Client, credentials, status } from "@grpc/grpc-js";
import { connectClient, rejection, withServer } from "../../test/support/csi-server.ts";
import { systemClock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { buildInfo } from "../observability/build-info.ts";
import { createMetrics } from "../observability/metrics.ts";
import { service } from "./bridge.ts";
import { deferred, recordingLogger } from "./call.fixture.ts";
import {
  Controller,
  CreateVolumeResponseSchema,
  DeleteVolumeResponseSchema,
  Identity,
  ProbeResponseSchema,
} from "./gen/csi_pb.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import type { RpcContext } from "./rpc.ts";
import { hanging, identity, waitFor } from "./server.fixture.ts";

const standard = (options = {}) =>
  standardInterceptors({ clock: systemClock, metrics: createMetrics(buildInfo), ...options });

describe("requests that are no messages", () => {
  test("leave a line with the RPC and the reason, one per RPC and minute, and the server goes on", async () => {
    const logger = recordingLogger();
    const { lines } = logger;
    const clock = { ...systemClock, monotonic: () => now };
    let now = 0;
    const run = async (_: unknown, server: { readonly path: string }) => {
      const client = new Client(`unix:${server.path}`, credentials.createInsecure());
      const send = (path: string, bytes: Buffer) =>
        new Promise<{ code: number; details: string } | undefined>((resolve) => {
          const same = (given: Buffer) => given;
          client.makeUnaryRequest(path, same, same, bytes, (error) => resolve(error ?? undefined));
        });
      const probe = "/csi.v1.Identity/Probe";
      // Fields of a length that the message does not have, wire types that do not exist, broken UTF-8 in a string.
      for (const bytes of ["0aff", "0f", "ffffffffffffffffffffff", "08"]) {
        expect(await send(probe, Buffer.from(bytes, "hex"))).toMatchObject({ code: status.INTERNAL });
      }
      expect(await send("/csi.v1.Identity/GetPluginInfo", Buffer.from("0aff", "hex"))).toMatchObject({
        code: status.INTERNAL,
      });
      const warnings = () => lines.filter(({ level }) => level === "warn");
      expect(warnings().map(({ message, fields }) => [message, fields?.method, fields?.bytes])).toEqual([
        ["a request could not be decoded", "Probe", 2],
        ["a request could not be decoded", "GetPluginInfo", 2],
      ]);
      expect(String(warnings()[0]?.fields?.error)).not.toBe("");
      now += 60_001;
      await send(probe, Buffer.from("0f", "hex"));
      expect(
        warnings()
          .slice(2)
          .map(({ message, fields }) => [message, fields?.method, fields?.times]),
      ).toEqual([
        ["requests could not be decoded again", "Probe", 3],
        ["a request could not be decoded", "Probe", undefined],
      ]);
      expect(await send(probe, Buffer.alloc(0))).toBeUndefined();
      client.close();
    };
    await withServer([identity], run, { logger, clock });
  });
});

describe("calls over a real socket", () => {
  test("a large answer that calls share is encoded once", async () => {
    const volumeContext = { text: "x".repeat(70_000) };
    const shared = create(CreateVolumeResponseSchema, { volume: { volumeId: "as encoded", volumeContext } });
    const controller = service(Controller, { createVolume: async () => shared });
    await withServer([controller], async (client) => {
      const call = () => client.start(Controller, "createVolume", CreateVolumeResponseSchema, {}).result;
      await call();
      if (shared.volume !== undefined) shared.volume.volumeId = "encoded again";
      expect((await call()).volume?.volumeId).toBe("as encoded");
    });
  });

  test("an answer, a catalogue error, a defect, an RPC and a service that are not there", async () => {
    const controller = service(Controller, {
      createVolume: async ({ name }) => ({ volume: { volumeId: `v-${name}`, capacityBytes: 1n << 40n } }),
      deleteVolume: async ({ volumeId }) => {
        if (volumeId === "é") throw failure("volumeNotFound", { volume: "été 🚲" });
        throw new TypeError("x is not a function");
      },
    });
    await withServer([controller], async (client) => {
      const made = await client.start(Controller, "createVolume", CreateVolumeResponseSchema, { name: "a" })
        .result;
      expect(made.volume?.volumeId).toBe("v-a");
      expect(made.volume?.capacityBytes).toBe(1n << 40n);

      const remove = (volumeId: string) =>
        rejection(client.start(Controller, "deleteVolume", DeleteVolumeResponseSchema, { volumeId }));
      const missing = await remove("é");
      expect(missing.code).toBe(status.NOT_FOUND);
      expect(missing.details).toContain("été 🚲");
      expect(missing.metadata.get("grpc-status-details-bin")).toEqual([]);
      const defect = await remove("x");
      expect(defect.code).toBe(status.INTERNAL);
      expect(defect.details).toContain("internal error");
      expect(defect.details).not.toContain("server.test.ts");

      const unknown = await rejection(client.start(Controller, "getCapacity", ProbeResponseSchema, {}));
      expect(unknown.code).toBe(status.UNIMPLEMENTED);
      expect(unknown.details).toContain("GetCapacity");
      const other = await rejection(client.start(Identity, "probe", ProbeResponseSchema, {}));
      expect(other.code).toBe(status.UNIMPLEMENTED);
      expect(other.details).not.toBe("");
    });
  });

  test("request ids: taken from the caller when harmless, made otherwise; they reach the log", async () => {
    const ids: string[] = [];
    const logger = recordingLogger();
    const bound = service(Identity, {
      probe: async (_request, { requestId }) => {
        ids.push(requestId);
        return { ready: true };
      },
    });
    await withServer(
      [bound],
      async (client) => {
        for (const id of ["abc-1", "bad id"]) {
          const metadata = { "x-request-id": id };
          await client.start(Identity, "probe", ProbeResponseSchema, {}, { metadata }).result;
        }
        await client.start(Identity, "probe", ProbeResponseSchema, {}).result;
      },
      { logger, interceptors: standard() },
    );
    const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(ids).toEqual(["abc-1", uuid, uuid]);
    expect(ids[1]).not.toBe(ids[2] ?? "");
    expect(
      logger.lines.filter((line) => line.message === "rpc").map((line) => line.fields.requestId),
    ).toEqual(ids);
  });

  test("the signal is aborted when the client cancels and when its deadline passes", async () => {
    const seen: RpcContext[] = [];
    const bound = service(Identity, { probe: hanging(seen, true) });
    await withServer([bound], async (client) => {
      const cancelled = client.start(Identity, "probe", ProbeResponseSchema, {});
      const gone = rejection(cancelled);
      await waitFor(() => seen.length === 1);
      expect(seen[0]?.deadlineMs).toBeUndefined();
      cancelled.cancel();
      expect((await gone).code).toBe(status.CANCELLED);
      await waitFor(() => seen[0]?.signal.aborted === true);
      expect(seen[0]?.signal.reason.id).toBe("cancelled");

      const late = await rejection(
        client.start(Identity, "probe", ProbeResponseSchema, {}, { deadlineMs: 60 }),
      );
      expect(late.code).toBe(status.DEADLINE_EXCEEDED);
      await waitFor(() => seen[1]?.signal.aborted === true);
      expect(seen[1]?.signal.reason.id).toBe("deadlineExceeded");
      expect(seen[1]?.deadlineMs).toBeNumber();
    });
  });

  test("a lost client aborts its call", async () => {
    const seen: RpcContext[] = [];
    await withServer([service(Identity, { probe: hanging(seen, true) })], async (_client, server) => {
      // A proxy in between stands for the client's machine: cutting it is a client that is killed.
      const proxyPath = `${server.path}.proxy`;
      const sockets: Socket[] = [];
      const proxy = createServer((socket) => {
        const onward = createConnection(server.path);
        sockets.push(socket, onward);
        socket.pipe(onward).pipe(socket);
      });
      await new Promise<void>((resolve) => proxy.listen(proxyPath, () => resolve()));
      const other = connectClient(proxyPath);
      const gone = rejection(other.start(Identity, "probe", ProbeResponseSchema, {}));
      await waitFor(() => seen.length === 1);
      expect(seen[0]?.signal.aborted).toBe(false);
      proxy.close();
      for (const socket of sockets) socket.destroy();
      await waitFor(() => seen[0]?.signal.aborted === true);
      expect(seen[0]?.signal.reason.id).toBe("cancelled");
      expect((await gone).code).toBe(status.UNAVAILABLE);
      other.close();
    });
  });

  test("a hanging handler: DEADLINE_EXCEEDED by the server's own deadline", async () => {
    const seen: RpcContext[] = [];
    await withServer(
      [service(Identity, { probe: hanging(seen, false) })],
      async (client) => {
        const late = await rejection(client.start(Identity, "probe", ProbeResponseSchema, {}));
        expect(late.code).toBe(status.DEADLINE_EXCEEDED);
        expect(late.details).toContain("Probe did not finish within 0.1 s");
        expect(seen[0]?.signal.aborted).toBe(true);
      },
      { interceptors: standard({ defaultDeadlineSeconds: 0.1 }) },
    );
  });

  test("equal calls run once, the first caller may leave, a different one is ABORTED", async () => {
    const seen: RpcContext[] = [];
    const done = deferred<void>();
    const logger = recordingLogger();
    const bound = service(Controller, {
      deleteVolume: async (_request, context) => {
        seen.push(context);
        await done.promise;
        return {};
      },
      controllerExpandVolume: async () => ({}),
    });
    await withServer(
      [bound],
      async (client, server) => {
        const second = connectClient(server.path);
        const remove = (from: typeof client) =>
          from.start(Controller, "deleteVolume", DeleteVolumeResponseSchema, {
            volumeId: "csi-1",
            secrets: { a: "1", b: "2" },
          });
        const first = remove(client);
        const firstEnd = rejection(first);
        await waitFor(() => seen.length === 1);
        const joined = remove(second);
        const refused = await rejection(
          second.start(Controller, "controllerExpandVolume", DeleteVolumeResponseSchema, {
            volumeId: "csi-1",
          }),
        );
        expect(refused.code).toBe(status.ABORTED);
        expect(refused.details).toContain("volume csi-1 is in progress (DeleteVolume)");
        // The refusal came back over the connection of the joined call, after it: that one is in by now.
        first.cancel();
        expect((await firstEnd).code).toBe(status.CANCELLED);
        await waitFor(() => logger.lines.some((line) => line.fields.code === "CANCELLED"));
        expect(seen[0]?.signal.aborted).toBe(false);
        done.resolve();
        await joined.result;
        expect(seen).toHaveLength(1);
        second.close();
      },
      { interceptors: standard(), logger },
    );
  });

  test("a name of 128 bytes passes, 129 and control characters do not", async () => {
    const bound = service(Controller, { createVolume: async () => ({}) });
    await withServer(
      [bound],
      async (client) => {
        const make = (name: string) =>
          client.start(Controller, "createVolume", CreateVolumeResponseSchema, { name }).result;
        await make("n".repeat(128));
        await make("é".repeat(64));
        for (const [name, text] of [
          ["n".repeat(129), "name is 129 bytes long"],
          ["é".repeat(65), "name is 130 bytes long"],
          ["a\u0007", "control character U+0007"],
          ["a\n\t", "control character U+000A"],
          ["", "name is required"],
        ] as const) {
          const error = await rejection(make(name));
          expect(error.code).toBe(status.INVALID_ARGUMENT);
          expect(error.details).toContain(text);
        }
      },
      { interceptors: standard() },
    );
  });

  test("a thousand calls at once on one connection", async () => {
    await withServer([identity], async (client) => {
      const calls = Array.from({ length: 1_000 }, () =>
        client.start(Identity, "probe", ProbeResponseSchema, {}),
      );
      const answers = await Promise.all(calls.map((call) => call.result));
      expect(answers.every((answer) => answer.ready === true)).toBe(true);
    });
  });
});
