import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { lstat, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HttpOptions, startHttp } from "./http.ts";
import { parseHttpAddress } from "./http-address.ts";
import { CONNECTION_LIMITS } from "./http-connections.ts";
import { listenError } from "./listen-error.ts";
import { silentLogger } from "./log.ts";
import { createMetrics } from "./metrics.ts";

function options(changes: Partial<HttpOptions> = {}): HttpOptions {
  return {
    address: "127.0.0.1:0",
    metrics: createMetrics({ version: "1", commit: "c" }),
    isHealthy: () => true,
    notReadyReasons: () => [],
    logger: silentLogger,
    ...changes,
  };
}

async function withHttp(changes: Partial<HttpOptions>, run: (url: string) => Promise<void>): Promise<void> {
  const server = await startHttp(options(changes));
  try {
    await run(`http://${server.address}`);
  } finally {
    await server.close();
  }
}

describe("startHttp", () => {
  test("metrics in the Prometheus form", async () => {
    await withHttp({}, async (url) => {
      const response = await fetch(`${url}/metrics`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toContain("version=0.0.4");
      expect(await response.text()).toContain("rds_csi_build_info");
    });
  });

  test("health and readiness, with reasons", async () => {
    let healthy = true;
    let reasons: string[] = [];
    await withHttp({ isHealthy: () => healthy, notReadyReasons: () => reasons }, async (url) => {
      const get = async (path: string) => {
        const response = await fetch(url + path);
        return [response.status, await response.text()];
      };
      expect(await get("/healthz")).toEqual([200, "ok\n"]);
      expect(await get("/readyz?verbose")).toEqual([200, "ok\n"]);
      reasons = ["the RDS is not reachable", "starting"];
      expect(await get("/readyz")).toEqual([503, "the RDS is not reachable\nstarting\n"]);
      expect((await get("/healthz"))[0]).toBe(200);
      healthy = false;
      expect((await get("/healthz"))[0]).toBe(503);
    });
  });

  test("nothing else: other paths, other methods, HEAD without a body", async () => {
    await withHttp({}, async (url) => {
      for (const path of ["/", "/metrics/", "/healthz/../metrics2", "/debug", "/%2e"]) {
        expect((await fetch(url + path)).status).toBe(404);
      }
      const post = await fetch(`${url}/metrics`, { method: "POST", body: "x" });
      expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
      const head = await fetch(`${url}/healthz`, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([200, ""]);
    });
  });

  test("a failing source is a 500 without details, and the server goes on", async () => {
    const notReadyReasons = () => {
      throw new Error("secret detail");
    };
    await withHttp({ notReadyReasons }, async (url) => {
      const response = await fetch(`${url}/readyz`);
      expect([response.status, await response.text()]).toEqual([500, "internal error\n"]);
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
    });
  });

  test("a unix socket: mode, service, removal; never over a file", async () => {
    const directory = await mkdtemp(join(tmpdir(), "rds-csi-http-"));
    try {
      const path = join(directory, "metrics.sock");
      const server = await startHttp(options({ address: path }));
      expect((await stat(path)).mode & 0o777).toBe(0o660);
      const response = await fetch("http://localhost/healthz", { unix: path });
      expect(response.status).toBe(200);
      await expect(startHttp(options({ address: path }))).rejects.toThrow("another process serves it");
      await server.close();
      expect(await lstat(path).catch(() => "gone")).toBe("gone");
      await writeFile(path, "data");
      await expect(startHttp(options({ address: path }))).rejects.toThrow("not a socket");
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("requests that are never finished, more than there is room for, keep nobody out and are ended", async () => {
    const server = await startHttp(options({ limits: { ...CONNECTION_LIMITS, headMs: 1_500 } }));
    const port = Number(server.address.split(":").at(-1));
    const parts = [
      "G",
      "GET /metrics HTTP/1.1\r\nHost: x\r\n",
      "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
      "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
    ];
    const sockets = Array.from({ length: 300 }, (_, index) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(parts[index % parts.length] ?? ""));
      socket.on("error", () => {});
      // Without a reader the end is never seen.
      socket.resume();
      const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
      const opened = Promise.race([
        new Promise<void>((resolve) => socket.on("connect", () => resolve())),
        closed,
      ]);
      return { socket, opened, closed };
    });
    const ended = (count: number) => Promise.all(sockets.slice(0, count).map(({ closed }) => closed));
    try {
      await Promise.all(sockets.map(({ opened }) => opened));
      for (let round = 0; round < 20; round += 1) {
        // Twenty that have to wait for the end of unfinished requests take longer than this test may.
        const response = await fetch(`http://127.0.0.1:${port}/healthz`, {
          headers: { connection: "close" },
        });
        expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
      }
      await ended(sockets.length);
    } finally {
      for (const { socket } of sockets) socket.destroy();
      await server.close();
    }
  }, 240_000);

  test("a kept connection serves one request after the other, and is ended when it is not used", async () => {
    const server = await startHttp(options({ limits: { ...CONNECTION_LIMITS, headMs: 500 } }));
    const socket = connect(Number(server.address.split(":").at(-1)), "127.0.0.1");
    try {
      let answers = 0;
      socket.on("data", (data) => {
        answers += String(data).split("HTTP/1.1 200").length - 1;
      });
      const closed = once(socket, "close");
      for (let round = 1; round <= 3; round += 1) {
        socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        while (answers < round) await once(socket, "data");
      }
      await closed;
      expect(answers).toBe(3);
    } finally {
      socket.destroy();
      await server.close();
    }
  }, 240_000);

  test("a port in use is an error that names it", async () => {
    await withHttp({}, async (url) => {
      const address = url.replace("http://", "");
      await expect(startHttp(options({ address }))).rejects.toThrow(
        `--metrics-address: the program cannot listen on ${address}: another process has it (EADDRINUSE)`,
      );
    });
  });
});

test("each reason why a program cannot listen has a remedy of its own", () => {
  const remedyOf = (code: string) =>
    listenError("metrics-address", "192.0.2.1:80", Object.assign(new Error(code), { code })).remedy;
  expect(remedyOf("EADDRINUSE")).toContain("ss -ltnpx");
  expect(remedyOf("EADDRNOTAVAIL")).toContain("an address of this machine");
  expect(remedyOf("EACCES")).toContain("permission");
  expect(remedyOf("ENOENT")).toContain("Create the directory");
  expect(remedyOf("EMFILE")).not.toMatch(/ss -ltnpx|Create|permission/);
});

describe("parseHttpAddress", () => {
  test("forms", () => {
    expect(parseHttpAddress("127.0.0.1:9808")).toEqual({ kind: "tcp", host: "127.0.0.1", port: 9808 });
    expect(parseHttpAddress(":9808")).toEqual({ kind: "tcp", host: "", port: 9808 });
    expect(parseHttpAddress("[::1]:0")).toEqual({ kind: "tcp", host: "::1", port: 0 });
    expect(parseHttpAddress("/run/m.sock")).toEqual({ kind: "unix", path: "/run/m.sock" });
    expect(parseHttpAddress("unix:///run/m.sock")).toEqual({ kind: "unix", path: "/run/m.sock" });
  });
  for (const bad of [
    "",
    "9808",
    "host",
    "host:",
    "host:65536",
    "::1:80",
    "a b:1",
    "http://x:1",
    "/run/",
    "x:-1",
  ]) {
    test(`refuses ${JSON.stringify(bad)}`, () => {
      expect(() => parseHttpAddress(bad)).toThrow("metrics address is invalid");
    });
  }
});
