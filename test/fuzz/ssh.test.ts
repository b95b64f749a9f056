import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { listedVolumes } from "../../src/cli/volumes/listed.ts";
import { renderVolumes } from "../../src/cli/volumes/render.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { failure } from "../../src/domain/errors/driver-error.ts";
import { type VolumeId, volumeIdFromName } from "../../src/domain/volume-id.ts";
import { known as knownFact, notAsked } from "../../src/inspect/fact.ts";
import { noClusterLists } from "../../src/inspect/world.ts";
import { createSshTransport } from "../../src/routeros/transport/ssh-transport.ts";
import { testConsole } from "../support/simulator-console.ts";
import { pinOf, startTestServer, type TestServer, testKey } from "../support/ssh-server.ts";
import { controllerOf, Findings, loggerInto } from "./controller.ts";
import { watchFreezes } from "./freeze.ts";
import { answerSomehow, randomGreeting, startGreeter } from "./hostile-ssh.ts";
import { FUZZ_SECONDS, FUZZ_SEED, Random } from "./random.ts";

const OPERATION_MS = 1_200;
const WORKERS = 4;
const BLOCK: Capability = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};

let directory = "";
const userKey = testKey("ed25519");
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rds-csi-fuzz-"));
  await writeFile(join(directory, "key"), userKey.private, { mode: 0o600 });
});
afterAll(() => rm(directory, { recursive: true }));

/** One thing that a sidecar or an administrator asks for. */
async function operate(
  random: Random,
  on: ReturnType<typeof controllerOf>,
  findings: Findings,
  known: VolumeId[],
) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(failure("cancelled", { what: "fuzzing" })), OPERATION_MS);
  const { signal } = limit;
  const volumeId = known.length > 0 ? random.pick(known) : volumeIdFromName("none");
  const nodeId = random.pick(["node-a", "node-b"]);
  const range = { requiredBytes: BigInt(1 + random.int(64)) << 20n, limitBytes: 0n };
  const operations = {
    create: async () => {
      const parameters = {
        "csi.storage.k8s.io/pvc/namespace": "n",
        "csi.storage.k8s.io/pvc/name": random.pick(["c", "d"]),
      };
      const name = `pvc-${random.int(8)}`;
      const request = {
        name,
        range,
        capabilities: [BLOCK],
        parameters,
        mutableParameters: {},
        source: undefined,
      };
      const { id } = await on.volumes.create({ ...request, signal });
      if (!known.includes(id)) known.push(id);
    },
    delete: () => on.volumes.delete(volumeId, signal),
    publish: async () => {
      const context = await on.attachments.publish({
        volumeId,
        nodeId,
        capability: BLOCK,
        readonly: false,
        signal,
      });
      for (const [key, value] of Object.entries(context))
        findings.shown(`publish context ${key}`, String(value));
    },
    unpublish: () => on.attachments.unpublish(volumeId, nodeId, signal),
    expand: () => on.expansions.expand({ volumeId, range, capability: BLOCK, signal }),
    modify: () => on.modifications.modify({ volumeId, mutableParameters: { queueSize: "64" }, signal }),
    capacity: () => on.volumes.capacity([BLOCK], {}, signal),
    list: async () => {
      for (const { id, nodes } of (await on.volumes.list(signal)).entries)
        findings.shown("ListVolumes", [id, ...nodes].join(" "));
    },
    show: async () => {
      const volumes = listedVolumes({
        now: Date.now(),
        installation: on.rds.installation,
        survey: knownFact(await on.rds.survey(signal)),
        cluster: noClusterLists(notAsked("--orchestrator is none")),
      });
      for (const format of ["table", "wide", "json", "yaml"] as const) {
        const options = {
          format,
          now: Date.now(),
          width: format === "table" ? 80 : undefined,
          colour: false,
        };
        findings.shown(`volumes list as ${format}`, renderVolumes(volumes, options), true);
      }
    },
  };
  const [what, run] = random.pick(Object.entries(operations));
  try {
    await run();
    findings.count("OK");
  } catch (error) {
    findings.failed(what, error);
  } finally {
    clearTimeout(timer);
  }
}

const patience = { patienceMs: 150, channelGraceMs: 50, backoff: { firstMs: 2, maxMs: 10, maxFatalMs: 10 } };

async function hostileReplies(random: Random, server: TestServer, findings: Findings): Promise<void> {
  const transport = createSshTransport({
    ...{ host: "127.0.0.1", port: server.port, user: "csi", keyFile: join(directory, "key") },
    ...{ hostKeys: [pinOf(server.fingerprint)], logger: loggerInto(findings), ...patience },
  });
  const on = controllerOf(transport, findings);
  const known: VolumeId[] = [];
  for (let operation = 0; operation < 25; operation += 1) await operate(random, on, findings, known);
  await transport.close();
}

async function hostileGreeting(random: Random, findings: Findings): Promise<void> {
  const greeting = randomGreeting(random);
  const greeter = await startGreeter((socket) => {
    const half = random.int(greeting.length + 1);
    socket.write(greeting.subarray(0, half));
    socket.write(greeting.subarray(half));
    if (random.chance(0.7)) socket.end();
  });
  const transport = createSshTransport({
    ...{ host: "127.0.0.1", port: greeter.port, user: "csi", keyFile: join(directory, "key") },
    ...{
      hostKeys: [pinOf(userKey.public)],
      logger: loggerInto(findings),
      connectTimeoutMs: 200,
      ...patience,
    },
  });
  try {
    const signal = AbortSignal.timeout(5_000);
    await transport.exec(":put 1", { signal, timeoutMs: 400, purpose: "read", what: "fuzzing" });
    findings.add("a server without a key was believed", JSON.stringify(greeting.toString("latin1")));
  } catch (error) {
    findings.failed("connecting", error);
  } finally {
    await transport.close();
    await greeter.close();
  }
}

test(
  `${FUZZ_SECONDS} s of hostile SSH answers: no crash, no freeze, no defect, no active character`,
  async () => {
    const findings = new Findings();
    const stray = (error: unknown) =>
      findings.add(
        "an error that nobody handles",
        error instanceof Error ? (error.stack ?? "") : String(error),
      );
    process.on("uncaughtException", stray);
    process.on("unhandledRejection", stray);
    const watch = watchFreezes("the driver", process.pid, async () => {});
    let rounds = 0;
    const end = performance.now() + FUZZ_SECONDS * 1_000;
    const work = async (worker: number) => {
      const random = new Random(FUZZ_SEED + worker);
      for (; performance.now() < end; rounds += 1) {
        const device = await testConsole();
        const server = await startTestServer({
          userKeys: [userKey.public],
          onExec: (command) => void answerSomehow(random, device, command),
          onSession: () => random.pick([...Array(40).fill("accept"), "refuse", "cut"]),
          onExecRequest: () => random.pick([...Array(40).fill("accept"), "refuse", "cut"]),
        });
        await hostileReplies(random, server, findings);
        await server.close();
        for (let greetings = 0; greetings < 4; greetings += 1) await hostileGreeting(random, findings);
      }
    };
    try {
      await Promise.all([...Array(WORKERS).keys()].map(work));
    } finally {
      for (const freeze of await watch.end()) findings.add("freeze", freeze);
      process.off("uncaughtException", stray);
      process.off("unhandledRejection", stray);
    }
    console.log(`fuzz: ${rounds} rounds, ends ${JSON.stringify([...findings.ends].sort())}`);
    expect(findings.list()).toEqual([]);
    expect(findings.ends.get("OK")).toBeGreaterThan(0);
  },
  FUZZ_SECONDS * 1_000 + 60_000,
);
