import { describe, expect, test } from "bun:test";
import { lstat, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { connectClient, rejection, withDirectory, withServer } from "../../test/support/csi-server.ts";
import { systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { silentLogger } from "../observability/log.ts";
import { service } from "./bridge.ts";
import { deferred, recordingLogger } from "./call.fixture.ts";
import { Identity, ProbeResponseSchema } from "./gen/csi_pb.ts";
import type { RpcContext } from "./rpc.ts";
import { hanging, identity, waitFor } from "./server.fixture.ts";
import { startServer } from "./server.ts";

describe("shutdown", () => {
  test("running calls are drained, new ones refused, the socket goes away", async () => {
    const seen: RpcContext[] = [];
    const done = deferred<void>();
    const bound = service(Identity, {
      probe: async (_request, context) => {
        seen.push(context);
        await done.promise;
        return { ready: true };
      },
    });
    await withServer(
      [bound],
      async (client, server) => {
        const running = client.start(Identity, "probe", ProbeResponseSchema, {});
        await waitFor(() => seen.length === 1);
        const closed = server.close();
        const late = await rejection(client.start(Identity, "probe", ProbeResponseSchema, {}));
        expect(late.code).toBe(status.UNAVAILABLE);
        expect(seen).toHaveLength(1);
        done.resolve();
        expect((await running.result).ready).toBe(true);
        await closed;
        expect(seen[0]?.signal.aborted).toBe(false);
        expect(await lstat(server.path).catch(() => "gone")).toBe("gone");
      },
      { drainMs: 10_000 },
    );
  });

  test("after the drain time calls are aborted with UNAVAILABLE", async () => {
    const seen: RpcContext[] = [];
    await withServer([service(Identity, { probe: hanging(seen, true) })], async (client, server) => {
      const running = rejection(client.start(Identity, "probe", ProbeResponseSchema, {}));
      await waitFor(() => seen.length === 1);
      await server.close();
      expect((await running).code).toBe(status.UNAVAILABLE);
      expect(seen[0]?.signal.reason.id).toBe("shuttingDown");
    });
  });

  test("a call that ignores even that does not keep the server", async () => {
    const seen: RpcContext[] = [];
    const logger = recordingLogger();
    await withServer(
      [service(Identity, { probe: hanging(seen, false) })],
      async (client, server) => {
        const running = rejection(client.start(Identity, "probe", ProbeResponseSchema, {}));
        await waitFor(() => seen.length === 1);
        await server.close();
        await running;
        expect(logger.lines.some((line) => line.level === "error")).toBe(true);
      },
      { logger },
    );
  });
});

describe("the socket", () => {
  const options = { services: [identity], interceptors: [], clock: systemClock, logger: silentLogger };

  test("has mode 0660", async () => {
    await withServer([identity], async (_client, server) => {
      expect((await stat(server.path)).mode & 0o777).toBe(0o660);
    });
  });

  test("is refused while another process serves it", async () => {
    await withServer([identity], async (client, server) => {
      const error = await rejection(startServer({ ...options, endpoint: `unix://${server.path}` }));
      expect(error.message).toContain("another process serves it");
      expect((await client.start(Identity, "probe", ProbeResponseSchema, {}).result).ready).toBe(true);
    });
  });

  test("is replaced when it is stale, and served", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "csi.sock");
      // A listener that dies without tidying up leaves its socket behind.
      const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
      await Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "ignore" }).exited;
      expect((await lstat(path)).isSocket()).toBe(true);
      const server = await startServer({ ...options, endpoint: path });
      const client = connectClient(path);
      expect((await client.start(Identity, "probe", ProbeResponseSchema, {}).result).ready).toBe(true);
      client.close();
      await server.close();
    });
  });

  test("is never made over a file, in a missing directory, or with a path that is too long", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "file");
      await writeFile(path, "data");
      const fails = (endpoint: string) => rejection(startServer({ ...options, endpoint }));
      expect((await fails(path)).message).toContain("not a socket");
      expect(await Bun.file(path).text()).toBe("data");
      expect((await fails(join(directory, "none", "csi.sock"))).message).toContain("ENOENT");
      expect((await fails(join(path, "csi.sock"))).message).toMatch(/ENOTDIR|not a directory/);
      expect((await fails(join(directory, "x".repeat(120)))).message).toContain("the limit is 107 bytes");
    });
  });

  test("that cannot be made has the remedy of its cause", async () => {
    await withDirectory(async (directory) => {
      const remedyOf = async (endpoint: string) => {
        const error: unknown = await rejection(startServer({ ...options, endpoint }));
        return error instanceof DriverError ? error.remedy : `no remedy: ${error}`;
      };
      const path = join(directory, "file");
      await writeFile(path, "data");
      expect(await remedyOf(path)).toStartWith("Move the file away");
      expect(await remedyOf(join(directory, "none", "csi.sock"))).toStartWith("Create the directory");
      expect(await remedyOf(join(path, "csi.sock"))).toStartWith("Create the directory");
      const socket = join(directory, "csi.sock");
      const server = await startServer({ ...options, endpoint: socket });
      expect(await remedyOf(socket)).toContain("`ss -ltnpx` shows it");
      await server.close();
    });
  });

  test("of somebody else is left alone at the end", async () => {
    await withDirectory(async (directory) => {
      const path = join(directory, "csi.sock");
      const server = await startServer({ ...options, endpoint: path, drainMs: 10 });
      await Bun.file(path).unlink();
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(path, () => resolve()));
      await server.close();
      const left = await lstat(path).then(
        (found) => found.isSocket(),
        () => false,
      );
      await new Promise((resolve) => other.close(resolve));
      expect(left).toBe(true);
    });
  });
});
