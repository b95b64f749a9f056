import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { VolumeCapability_AccessMode_Mode as Mode } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { documentedFields } from "../docs/logging.fixture.ts";
import { commandsOfCalls, LOGS_COMMANDS } from "../support/commands-of-calls.ts";
import { executable, repository, shortDirectory } from "../support/executable.ts";
import { documentedMetrics } from "../support/metrics-page.ts";
import { exists, type Stand, startStand, until } from "../support/stand.ts";

// Operations basics of the executable: health, readiness, metrics, and request ids in its logs.

type Line = Readonly<Record<string, unknown>> & { readonly msg: string };

let directory = "";
let stand: Stand;
const path = (name: string) => join(stand.directory, name);

beforeAll(async () => {
  directory = await shortDirectory();
  stand = await startStand({
    executable,
    directory: join(directory, "s"),
    nodes: ["node-a"],
    controller: LOGS_COMMANDS,
    node: ["--metrics-address", `unix:${join(directory, "s", "node.sock")}`],
  });
}, 240_000);
afterAll(async () => {
  await stand?.close();
  await rm(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly allow: string;
  readonly body: string;
}

const ask = (url: string, socket = "metrics.sock", method = "GET"): Promise<Answer> =>
  new Promise((resolve, reject) => {
    // A kept connection may be one of those that a newcomer takes the place of.
    const sent = request({ socketPath: path(socket), path: url, method, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (data) => (body += data));
      response.on("end", () => {
        const { "content-type": type = "", allow = "" } = response.headers;
        resolve({ status: response.statusCode ?? 0, type, allow, body });
      });
    });
    sent.on("error", reject);
    sent.end();
  });
const create = (name: string) =>
  stand.controller.createVolume({
    name,
    volumeCapabilities: [
      { accessMode: { mode: Mode.SINGLE_NODE_WRITER }, accessType: { case: "block", value: {} } },
    ],
    capacityRange: { requiredBytes: 1n << 20n },
  });

for (const [mode, socket] of [
  ["controller", "metrics.sock"],
  ["node", "node.sock"],
] as const) {
  describe(`HTTP of the ${mode}`, () => {
    test("health and readiness", async () => {
      const text = "text/plain; charset=utf-8";
      expect(await ask("/healthz", socket)).toEqual({ status: 200, type: text, allow: "", body: "ok\n" });
      await until("readiness", async () => (await ask("/readyz", socket)).status === 200);
      expect(await ask("/readyz?x=1", socket)).toMatchObject({ type: text, body: "ok\n" });
      expect(await ask("/healthz", socket, "HEAD")).toMatchObject({ status: 200, body: "" });
      expect(await ask("/metrics", socket, "HEAD")).toMatchObject({ status: 200, body: "" });
    });

    test("other paths are 404, other methods 405", async () => {
      for (const url of ["/", "/metrics/", "/debug/pprof", "/healthz/x"])
        expect((await ask(url, socket)).status).toBe(404);
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
        expect(await ask("/metrics", socket, method)).toMatchObject({ status: 405, allow: "GET, HEAD" });
    });

    test("metrics are those of docs/metrics.md, with their types", async () => {
      const { type, body } = await ask("/metrics", socket);
      expect(type).toContain("text/plain; version=0.0.4");
      const page = readFileSync(join(repository, "docs/metrics.md"), "utf8");
      const documented = documentedMetrics(page)
        .filter(({ modes }) => modes.includes(mode))
        // The stand's nodes use loop devices.
        .filter(({ name }) => !name.startsWith("rds_csi_nvme_"))
        .map(({ name, type }) => `# TYPE ${name} ${type}`);
      const types = [...body.matchAll(/^# TYPE .*$/gm)].map(([line]) => line);
      expect(types.sort()).toEqual(documented.sort());
    });

    test("a client that does not finish is cut off, and holds up nobody", async () => {
      const slow = Array.from({ length: 100 }, () => {
        const socketOf = connect(path(socket));
        socketOf.on("error", () => {});
        socketOf.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
        return new Promise<void>((resolve) => socketOf.on("close", () => resolve()));
      });
      for (let each = 0; each < 5; each += 1) expect((await ask("/healthz", socket)).status).toBe(200);
      await Promise.all(slow);
      expect((await ask("/healthz", socket)).status).toBe(200);
    }, 240_000);
  });
}

describe("metrics of the controller", () => {
  test("scrapes send nothing to the RDS", async () => {
    const sent = await commandsOfCalls(stand, async () => {
      for (let each = 0; each < 50; each += 1) expect((await ask("/metrics")).status).toBe(200);
    });
    expect(sent.map(({ line }) => line)).toEqual([]);
    expect((await ask("/metrics")).body).toContain("\nrds_csi_migration_active_migrations 0\n");
  });

  test("ready from the first read of the RDS on; then an outage is shown by a metric only", async () => {
    await stand.simulator.kill();
    const metrics = ["--metrics-address", `unix:${path("second.sock")}`];
    const second = await stand.startController(path("second-csi.sock"), metrics);
    try {
      await until("the metrics address", () => exists(path("second.sock")), [second]);
      const reason = async () => (await ask("/readyz", "second.sock")).body;
      await until("a reason", async () => (await reason()).includes("ECONNREFUSED"), [second]);
      expect(await ask("/readyz", "second.sock")).toMatchObject({
        status: 503,
        body: expect.stringMatching(/^the RDS at 127\.0\.0\.1:\d+ is not reachable over SSH: .*\n$/),
      });
      expect((await ask("/healthz", "second.sock")).status).toBe(200);
      const before = (await ask("/metrics", "second.sock")).body;
      expect(before).toMatch(/^rds_csi_rds_connect_failures_total\{cause="unreachable"\} [1-9]/m);
      for (const name of [
        "rds_csi_rds_last_success_timestamp_seconds",
        "rds_csi_migration_active_migrations",
      ])
        expect(before).not.toMatch(new RegExp(`^${name} `, "m"));
      const startedAt = Date.now() / 1_000;
      const simulator = await stand.startSimulator();
      await until("readiness", async () => (await ask("/readyz", "second.sock")).status === 200, [second]);
      const after = (await ask("/metrics", "second.sock")).body;
      const at = Number(/^rds_csi_rds_last_success_timestamp_seconds (\S+)$/m.exec(after)?.[1]);
      expect([at >= Math.floor(startedAt), at <= Date.now() / 1_000]).toEqual([true, true]);
      expect(after).toMatch(/^rds_csi_migration_active_migrations 0$/m);
      await simulator.kill();
      await until("the loss", async () =>
        /^rds_csi_rds_connected\{purpose="read"\} 0$/m.test((await ask("/metrics", "second.sock")).body),
      );
      expect((await ask("/readyz", "second.sock")).status).toBe(200);
    } finally {
      await second.stop();
      await stand.startSimulator();
    }
  }, 240_000);
});

describe("request ids", () => {
  const lines = async (): Promise<Line[]> =>
    (await readFile(path("controller.log"), "utf8"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  const nonceOf = (line: string) => /~ok:([0-9a-f]+)~/.exec(line)?.[1];
  /** Waits for the line that ends a call. */
  const endOf = async (name: string): Promise<Line> => {
    let found: Line | undefined;
    await until(`the line of ${name}`, async () => {
      found = (await lines()).find(({ msg, volume }) => msg === "rpc" && volume === volumeIdFromName(name));
      return found !== undefined;
    });
    if (found === undefined) throw new Error("gone");
    return found;
  };

  test("every RouterOS command of one call has its id and the nonce of its line", async () => {
    await until("the RDS", async () =>
      create("warm-up").then(
        () => true,
        () => false,
      ),
    );
    await endOf("warm-up");
    const sent = await commandsOfCalls(stand, () => create("one"));
    const { requestId } = await endOf("one");
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    const own = (await lines()).filter((line) => line.requestId === requestId);
    const commands = own.filter(({ msg }) => msg === "command sent");
    expect(sent.length).toBeGreaterThan(1);
    expect(commands.map(({ nonce }) => nonce)).toEqual(sent.map(({ line }) => nonceOf(line)));
    expect(own.filter(({ msg }) => msg === "command ended")).toHaveLength(sent.length);
    for (const line of own) expect(line.method).toBe("CreateVolume");
    // No command is without an id: those that no call caused have that of their background job.
    const anonymous = (await lines()).filter(({ msg, requestId: id }) => msg.startsWith("command ") && !id);
    expect(anonymous).toEqual([]);
    const jobs = (await lines()).filter(({ msg }) => msg === "command sent").map(({ method }) => method);
    expect(jobs).toContain("reconcile");
    const known = new Set<unknown>(["reconcile", "refresh", "space", "survey", "preflight", "CreateVolume"]);
    expect(jobs.filter((method) => !known.has(method))).toEqual([]);
  });

  test("calls at the same time never mix; a shared command names whose it is", async () => {
    const names = Array.from({ length: 12 }, (_, each) => `many-${each}`);
    await Promise.all(names.map(create));
    const ends = await Promise.all(names.map(endOf));
    const all = await lines();
    expect(new Set(ends.map(({ requestId }) => requestId)).size).toBe(names.length);
    for (const { requestId, volume } of ends) {
      const commands = all.filter((line) => line.requestId === requestId && line.msg.startsWith("command "));
      expect(commands.filter(({ msg }) => msg === "command sent").length).toBeGreaterThan(0);
      // One sum of a pool serves several calls, and names the volumes of all.
      const own = commands.filter(({ what }) => what !== "read pool storage-pool");
      const foreign = own.flatMap(
        ({ what, line }) => `${what} ${line}`.match(/csi-[0-9a-f]{28}/g)?.filter((id) => id !== volume) ?? [],
      );
      expect(own.length).toBeGreaterThan(0);
      expect(foreign).toEqual([]);
    }
    const reads = all.filter(({ msg }) => msg === "read joined");
    expect(reads.length).toBeGreaterThan(0);
    const ids = new Set(ends.map(({ requestId }) => requestId));
    for (const { requestId, sharedWith } of reads) {
      expect(requestId).not.toBe(sharedWith);
      expect(ids).toContain(sharedWith);
    }
    const joined = all.filter(({ msg }) => msg === "command joined");
    for (const { nonce, requestId, sharedWith } of joined) {
      expect(requestId).not.toBe(sharedWith);
      const sender = all.find((line) => line.msg === "command sent" && line.nonce === nonce);
      expect(sender?.requestId).toBe(sharedWith);
    }
  });

  test("an error has it too, and an equal call says whom it joined", async () => {
    await stand.control.fault({ kind: "hang", line: "/disk/add", count: 1 });
    const calls = Promise.allSettled([create("twin"), create("twin")]);
    await until("one has joined", async () =>
      (await lines()).some(({ msg }) => msg === "joined an equal call"),
    );
    await stand.control.clearFaults();
    const two = await calls;
    expect(two.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
    let twins: Line[] = [];
    await until("both lines", async () => {
      const id = volumeIdFromName("twin");
      twins = (await lines()).filter(({ msg, volume }) => msg === "rpc" && volume === id);
      return twins.length === 2;
    });
    const join = (await lines()).find(({ msg }) => msg === "joined an equal call");
    const ids = twins.map(({ requestId }) => requestId);
    expect(ids).toContain(join?.requestId);
    expect(ids).toContain(join?.sharedWith);
    expect(join?.requestId).not.toBe(join?.sharedWith);
    await stand.controller.createVolume({ name: "" }).catch(() => {});
    await until("the failure", async () =>
      (await lines()).some(({ msg, errorId, requestId }) => msg === "rpc failed" && errorId && requestId),
    );
  });

  test("every field of the logs is in docs/logging.md", async () => {
    const page = readFileSync(join(repository, "docs/logging.md"), "utf8");
    const documented = new Set(documentedFields(page));
    const text = await readFile(path("node-a.log"), "utf8");
    const ofText = [...text.matchAll(/(?<=^| )([A-Za-z_]+)=/gm)].map(([, name]) => name ?? "");
    const names = new Set([...(await lines()).flatMap(Object.keys), ...ofText]);
    expect(names.size).toBeGreaterThan(20);
    expect([...names].filter((name) => !documented.has(name))).toEqual([]);
  });

  test("the text format has them as well, one line each", async () => {
    const text = await readFile(path("node-a.log"), "utf8");
    expect(text.split("\n").filter((line) => line !== "" && !/^time=\S+ level=\w+ msg=/.test(line))).toEqual(
      [],
    );
    await stand
      .node("node-a")
      .nodeUnstageVolume({ volumeId: "", stagingTargetPath: "" })
      .catch(() => {});
    await until("the line", async () =>
      /msg="rpc failed" method=NodeUnstageVolume requestId=[0-9a-f-]{36} /.test(
        await readFile(path("node-a.log"), "utf8"),
      ),
    );
  });
});
