import { afterAll, beforeAll, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { Controller, Identity, Node } from "../../src/csi/gen/csi_pb.ts";
import { isPrintable } from "../../src/domain/printable.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import type { Running } from "../support/processes.ts";
import { type Stand, startStand, until } from "../support/stand.ts";
import { callWith, converse, randomConversation, say } from "./frames.ts";
import { watchFreezes } from "./freeze.ts";
import { type Known, randomMessage, textsOf } from "./messages.ts";
import { FUZZ_SECONDS, FUZZ_SEED, Random } from "./random.ts";

const NODE = "node-a";
const WORKERS = 6;
const DEADLINE_MS = 3_000;

let directory = "";
let stand: Stand;
beforeAll(async () => {
  directory = await shortDirectory();
  // Requests stand in the log at this level.
  const debug = ["--log-level", "debug"];
  stand = await startStand({
    ...{ executable, directory: join(directory, "s"), nodes: [NODE], controller: debug, node: debug },
  });
  // Paths stay below a directory of the test: a node removes empty mount points.
  await mkdir(join(directory, "kubelet"));
});
afterAll(async () => {
  await stand?.close();
  await rm(directory, { recursive: true, force: true });
});

const logOf = ({ name }: Running) => readFile(join(directory, "s", `${name}.log`), "utf8");

/** What earlier answers taught, so that requests get past the first checks. */
class Learned implements Known {
  readonly #volumes: string[] = [];
  readonly #contexts: Readonly<Record<string, string>>[] = [];

  learn(method: DescMethod, answer: unknown): void {
    if (method.name === "CreateVolume") {
      const id = (answer as { volume?: { volumeId: string } }).volume?.volumeId;
      if (id !== undefined && this.#volumes.push(id) > 20) this.#volumes.shift();
    }
    if (method.name === "ControllerPublishVolume") {
      const { publishContext } = answer as { publishContext: Record<string, string> };
      if (this.#contexts.push(publishContext) > 20) this.#contexts.shift();
    }
  }

  text(field: string, random: Random): string | undefined {
    const place = (name: string) => join(directory, "kubelet", name);
    switch (field) {
      case "volume_id":
      case "source_volume_id":
        return this.#volumes.length === 0 ? undefined : random.pick(this.#volumes);
      case "node_id":
        return NODE;
      case "name":
        return `pvc-${random.int(12)}`;
      case "staging_target_path":
      case "target_path":
      case "volume_path":
        return place(random.pick(["a", "b", "c", "a/b", "a/../b", "", `x${random.text()}`]));
      case "fs_type":
        return random.pick(["ext4", "xfs", ""]);
      case "starting_token":
        return random.pick(["", "1", random.text()]);
      default:
        return undefined;
    }
  }

  map(field: string, random: Random): Readonly<Record<string, string>> | undefined {
    if (field === "publish_context")
      return this.#contexts.length === 0 ? undefined : random.pick(this.#contexts);
    if (field !== "parameters" && field !== "mutable_parameters") return undefined;
    return {
      ...(random.chance(0.3) ? { pool: "storage-pool" } : {}),
      ...(random.chance(0.3) ? { migrationTimeoutSeconds: random.pick(["30", "auto", "0", "1e3"]) } : {}),
      ...(random.chance(0.3) ? { "csi.storage.k8s.io/pvc/name": random.text() } : {}),
      ...(random.chance(0.3) ? { "csi.storage.k8s.io/pvc/namespace": "default" } : {}),
    };
  }
}

interface Target {
  readonly socket: string;
  readonly process: Running;
  readonly methods: readonly DescMethod[];
}

/** Findings, each once, with what led to it. */
class Findings {
  readonly #kinds = new Map<string, string>();
  calls = 0;
  conversations = 0;
  readonly codes = new Map<number, number>();

  add(kind: string, detail: string): void {
    if (!this.#kinds.has(kind)) this.#kinds.set(kind, detail);
  }

  list(): readonly string[] {
    return [...this.#kinds].map(([kind, detail]) => `${kind}: ${detail}`);
  }

  answered(
    method: DescMethod,
    request: Buffer,
    error: ServiceError | null,
    bytes: Buffer | undefined,
  ): unknown {
    this.calls += 1;
    const said = JSON.stringify(request.toString("latin1")).slice(0, 600);
    const code = error?.code ?? 0;
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
    if (error !== null) {
      if (!isPrintable(error.details)) this.add(`${method.name} says active characters`, said);
      if (error.details.startsWith("internal error"))
        this.add(`${method.name} has a defect`, `${error.details} ${said}`);
      return undefined;
    }
    const answer = fromBinary(method.output, bytes ?? Buffer.alloc(0));
    for (const [path, text] of textsOf(answer)) {
      // By the specification this part repeats what the caller said.
      if (!path.startsWith(".confirmed") && !isPrintable(text))
        this.add(`${method.name}${path} has active characters`, said);
    }
    return answer;
  }
}

async function call(
  client: Client,
  method: DescMethod,
  request: Buffer,
  findings: Findings,
): Promise<unknown> {
  const same = (bytes: Buffer) => bytes;
  const path = `/${method.parent.typeName}/${method.name}`;
  return await new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      same,
      same,
      request,
      { deadline: Date.now() + DEADLINE_MS },
      (error, bytes) => resolve(findings.answered(method, request, error, bytes)),
    );
  });
}

test("metadata that acts on a terminal stands in the log as text, once a minute", async () => {
  for (let times = 3; times > 0; times -= 1) {
    // C0 is refused by HTTP/2 itself.
    const id = `\u009b2J\u202e forged ${times}`;
    await say(stand.controllerSocket, callWith("/csi.v1.Identity/Probe", [["x-request-id", id]]));
  }
  await until("the line", async () => (await logOf(stand.controllerProcess)).includes("grpc-js said"));
  const lines = (await logOf(stand.controllerProcess))
    .split("\n")
    .filter((line) => line.includes("x-request-id"));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("time=");
  expect(lines.every(isPrintable)).toBe(true);
});

const unary = (...services: (typeof Controller | typeof Node | typeof Identity)[]): DescMethod[] =>
  services
    .flatMap(({ methods }) => methods as readonly DescMethod[])
    .filter(({ methodKind }) => methodKind === "unary");

test(
  `${FUZZ_SECONDS} s of requests of every kind: no crash, no freeze, no defect, no active character`,
  async () => {
    const targets: readonly Target[] = [
      {
        ...{ socket: stand.controllerSocket, process: stand.controllerProcess },
        methods: unary(Identity, Controller),
      },
      {
        ...{ socket: stand.nodeSocket(NODE), process: stand.nodeProcesses.get(NODE) as Running },
        methods: unary(Identity, Node),
      },
    ];
    const findings = new Findings();
    const learned = new Learned();
    const watches = targets.map(({ socket, process }) => {
      const identity = stand.connect(Identity, socket);
      return watchFreezes(process.name, process.pid, () => identity.probe());
    });
    const end = performance.now() + FUZZ_SECONDS * 1_000;
    const work = async (worker: number) => {
      const random = new Random(FUZZ_SEED + worker);
      const clients = targets.map(({ socket }) => new Client(`unix:${socket}`, credentials.createInsecure()));
      while (performance.now() < end) {
        const which = random.int(targets.length);
        const { socket, methods, process } = targets[which] as Target;
        const client = clients[which] as Client;
        if (process.ended() !== undefined) {
          findings.add(`${process.name} ended`, `with ${process.ended()}`);
          return;
        }
        const method = random.pick(methods);
        const request = Buffer.from(toBinary(method.input, randomMessage(method.input, random, learned)));
        if (random.chance(0.15)) {
          const path = `/${method.parent.typeName}/${method.name}`;
          await converse(socket, random, randomConversation(random, path, request));
          findings.conversations += 1;
          continue;
        }
        const raw = random.chance(0.25);
        const bytes = raw
          ? random.chance(0.8)
            ? random.mutated(request)
            : random.bytes(random.int(300))
          : request;
        const answer = await call(client, method, bytes, findings);
        if (answer !== undefined) learned.learn(method, answer);
      }
      for (const client of clients) client.close();
    };
    await Promise.all([...Array(WORKERS).keys()].map(work));
    for (const watch of watches) for (const freeze of await watch.end()) findings.add("freeze", freeze);
    for (const { process } of targets) {
      if (process.ended() !== undefined) findings.add(`${process.name} ended`, `with ${process.ended()}`);
      const log = await logOf(process);
      const line = log.split("\n").find((each) => !isPrintable(each));
      if (line !== undefined)
        findings.add(`the log of ${process.name} has active characters`, JSON.stringify(line));
      const loose = log.split("\n").find((each) => each !== "" && !each.startsWith("time="));
      if (loose !== undefined) findings.add(`${process.name} printed something else than its log`, loose);
    }
    const { calls, conversations, codes } = findings;
    console.log(
      `fuzz: ${calls} calls, ${conversations} conversations, codes ${JSON.stringify([...codes].sort())}`,
    );
    expect(findings.list()).toEqual([]);
    expect(calls).toBeGreaterThan(FUZZ_SECONDS * 5);
    expect(codes.get(0)).toBeGreaterThan(0);
  },
  FUZZ_SECONDS * 1_000 + 60_000,
);
