import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import {
  Controller,
  Identity,
  VolumeCapability_AccessMode_Mode as Mode,
  Node,
} from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { registerSecret } from "../support/canary.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { BUILT_IN, FakeApiServer } from "../support/kubernetes/fake-api-server.ts";
import { TEST_TOKEN } from "../support/kubernetes/kubeconfig.ts";
import { capture } from "../support/processes.ts";
import { secretKey } from "../support/secret-key.ts";
import { exists, type Stand, startStand, until } from "../support/stand.ts";

// Secrets of every kind go in; none of them may come out: not in logs at their most talkative, nor in errors, events,
// metrics or help.

const CSI_SECRET = registerSecret("secret of a CSI request", "csi-secret-canary-8Hs3Kd92");
const CSI_SECRET_KEY = registerSecret("key of a CSI secret", "csi-key-canary-Pw4Nt71zQ");
const CHAP = registerSecret("DH-CHAP key", "DHHC-1-00-ia6zGodOr4SEG0Zzaw398rpY0wqipUWj");
const MOUNT_PASSWORD = registerSecret("password in a mount option", "mount-canary-7Yb2Vx5Lq");
const PASSPHRASE = registerSecret("wrong passphrase", "passphrase-canary-3Jf6Mz8R");
const ENVIRONMENT = registerSecret("password in the environment", "environment-canary-5Tg9Xc1");
const stranger = secretKey("key that the RDS refuses");
/** A key whose passphrase nobody gives. */
const ENCRYPTED = registerSecret(
  "encrypted key",
  generateKeyPairSync("ed25519")
    .privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: PASSPHRASE })
    .toString(),
);

const capability = {
  accessMode: { mode: Mode.SINGLE_NODE_WRITER },
  accessType: {
    case: "mount",
    value: { fsType: "ext4", mountFlags: [`password=${MOUNT_PASSWORD}`, `loop=${MOUNT_PASSWORD}`] },
  },
} as const;
const NAME = "secretive";
const ID = volumeIdFromName(NAME);
/** What any request may hold; each RPC takes the fields that it has. */
const full: Readonly<Record<string, unknown>> = {
  name: NAME,
  volumeId: ID,
  nodeId: "node-a",
  sourceVolumeId: ID,
  snapshotId: "snap-1",
  volumePath: "/nonexistent/path",
  stagingTargetPath: "/nonexistent/staging",
  targetPath: "/nonexistent/target",
  // Enough of it to reach the mount options.
  publishContext: { nqn: "nqn.2000-02.com.mikrotik:x.1", address: "192.0.2.1", port: "4420" },
  volumeCapability: capability,
  volumeCapabilities: [capability],
  capacityRange: { requiredBytes: 1n << 20n },
  secrets: { password: CSI_SECRET, [CSI_SECRET_KEY]: CHAP, "dhchap-key": CHAP },
};

let base = "";
let api: FakeApiServer;
let kubeconfig = "";
beforeAll(async () => {
  base = await shortDirectory();
  api = await FakeApiServer.start({ resources: BUILT_IN });
  kubeconfig = await api.writeKubeconfig(join(base, "kubeconfig"));
  api.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } });
  await writeFile(join(base, "stranger"), stranger.private, { mode: 0o600 });
});
afterAll(async () => {
  await api?.stop();
  await rm(base, { recursive: true });
});

/** Every RPC of a service, with everything that its request can hold; how it ended. */
async function callAll(desc: DescService, client: unknown): Promise<string[]> {
  const answers: string[] = [];
  // What the others look for is deleted last.
  const methods = desc.methods.toSorted(
    (a, b) => Number(a.name === "DeleteVolume") - Number(b.name === "DeleteVolume"),
  );
  for (const method of methods) {
    if (method.methodKind !== "unary") continue;
    const names = new Set(method.input.fields.map(({ localName }) => localName));
    const init = Object.fromEntries(Object.entries(full).filter(([name]) => names.has(name)));
    const rpc = (
      client as Record<string, (request: MessageInitShape<typeof method.input>) => Promise<unknown>>
    )[method.localName];
    if (rpc === undefined) throw new Error(`no ${method.name}`);
    const show = (value: unknown) =>
      JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each));
    // A success may repeat the request to its sender: ValidateVolumeCapabilities confirms the mount options.
    answers.push(
      await rpc(init).then(
        () => `${method.name}: OK`,
        (error) => `${method.name}: ${error} ${show(error)}`,
      ),
    );
  }
  return answers;
}

/** Everything that must be in nothing: the secrets, and each line of the private keys. */
async function canaries(stand: Stand): Promise<string[]> {
  const texts = [CSI_SECRET, CSI_SECRET_KEY, CHAP, MOUNT_PASSWORD, PASSPHRASE, TEST_TOKEN];
  const keys = [stranger.private, ENCRYPTED, api.authority.key];
  for (const name of ["user-key", "rds/ssh_host_ed25519_key"])
    keys.push(await readFile(join(stand.directory, name), "utf8"));
  // The first line of an OpenSSH key is a heading; the second is its own.
  const lines = keys.flatMap((key) =>
    key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-")),
  );
  expect(lines.length).toBeGreaterThan(8);
  return [...texts, ...texts.map((text) => Buffer.from(text).toString("base64").slice(0, 20)), ...lines];
}

const metricsOf = (socketPath: string) =>
  new Promise<string>((resolve, reject) => {
    request({ socketPath, path: "/metrics" }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });

for (const format of ["json", "text"] as const) {
  describe(`secrets, with debug logs as ${format}`, () => {
    const talkative = ["--log-format", format, "--log-level", "debug"];
    let stand: Stand;
    beforeAll(async () => {
      stand = await startStand({
        executable,
        directory: join(base, format),
        nodes: ["node-a"],
        controller: talkative,
        node: talkative,
        simulate: talkative,
        orchestrator: [
          "--orchestrator",
          "kubernetes",
          "--kubeconfig",
          kubeconfig,
          "--lease-namespace",
          "storage",
        ],
      });
    }, 240_000);
    afterAll(() => stand?.close());

    test("are in no log, error, event, metric or list", async () => {
      const said: string[] = [];
      // Twice: once they make what the others look for, then they find it.
      for (let round = 0; round < 2; round += 1) {
        said.push(...(await callAll(Identity, stand.identity)));
        said.push(...(await callAll(Controller, stand.controller)));
        said.push(...(await callAll(Node, stand.node("node-a"))));
      }
      // With an API server that refuses the token, and an RDS that goes away.
      api.tokens.clear();
      said.push(...(await callAll(Controller, stand.controller)));
      api.tokens.set(TEST_TOKEN, "system:serviceaccount:rds-csi:controller");
      said.push((await stand.cli("volumes", "list", ...stand.rdsFlags, ...talkative)).stdout);

      // Credentials that do not work: another key, an encrypted one, another host.
      const [userKey, hostKey] = [join(stand.directory, "user-key"), join(stand.directory, "host-key")];
      for (const [name, file, text] of [
        ["refused", userKey, stranger.private],
        ["encrypted", userKey, ENCRYPTED],
        ["damaged", userKey, stranger.private.replace(/.{9}\n/, "\n")],
        ["host", hostKey, `${stranger.public}\n`],
      ] as const) {
        const right = await readFile(file, "utf8");
        await writeFile(file, text);
        const [metrics, socket] = [join(stand.directory, `${name}.m`), join(stand.directory, `${name}.sock`)];
        // A key that cannot be read ends it at once, with a reason.
        const running = await stand
          .startController(socket, ["--metrics-address", metrics])
          .catch(() => undefined);
        expect([name, running !== undefined]).toEqual([name, name === "refused" || name === "host"]);
        if (running !== undefined) {
          const client = stand.connect(Controller, socket);
          said.push(String(await client.createVolume(full).catch((error: unknown) => error)));
          await until("metrics", () => exists(metrics), [running]);
          said.push(await metricsOf(metrics));
          await running.stop();
        }
        await writeFile(file, right);
      }
      said.push(await metricsOf(join(stand.directory, "metrics.sock")));
      said.push(JSON.stringify(api.list("Event")), JSON.stringify(api.list("Lease")));
      const files = (await readdir(stand.directory)).filter((name) => /\.(log|jsonl)$/.test(name));
      expect(files.sort()).toEqual(["commands.jsonl", "controller.log", "node-a.log", "simulate.log"]);
      const texts = [
        ...said,
        ...(await Promise.all(files.map((name) => readFile(join(stand.directory, name), "utf8")))),
      ];
      const all = texts.join("\n");

      // What was looked at is the real thing: redacted requests, and the errors of wrong credentials.
      expect(all).toContain(format === "json" ? '\\"secrets\\":\\"***\\"' : "secrets");
      for (const part of [
        "hostKeyMismatch",
        "authenticationFailed",
        "is encrypted, but no passphrase file is set",
        "loop=…",
      ])
        expect(all).toContain(part);
      for (const secret of await canaries(stand))
        expect(texts.flatMap((t) => t.split("\n")).filter((l) => l.includes(secret))).toEqual([]);
    }, 240_000);
  });
}

describe("secrets around the program", () => {
  test("a password in the environment or on the command line is refused without being repeated", async () => {
    for (const args of [
      ["controller"],
      ["controller", "--help"],
      ["node"],
      ["--help"],
      ["volumes", "list"],
    ]) {
      const env = { RDS_CSI_RDS_PASSWORD: ENVIRONMENT, RDS_CSI_TOKEN: ENVIRONMENT };
      const { stdout, stderr } = await capture(executable, args, { env });
      expect(`${stdout}${stderr}`.length).toBeGreaterThan(20);
      expect(`${stdout}${stderr}`).not.toContain(ENVIRONMENT);
    }
  });

  test("a key file in place of a configuration or of a host key is not quoted", async () => {
    const key = join(base, "stranger");
    const lines = stranger.private.split("\n").filter((line) => line.length > 20 && !line.startsWith("-"));
    for (const args of [
      ["controller", "--config", key],
      [
        "volumes",
        "list",
        "--rds-address",
        "192.0.2.1",
        "--rds-key-file",
        key,
        "--rds-host-key-file",
        kubeconfig,
      ],
      ["node", "--config", kubeconfig],
      ["controller", "--kubeconfig", key, "--rds-address", "192.0.2.1", "--rds-key-file", kubeconfig],
    ]) {
      const { stdout, stderr, status } = spawnSync(executable, args, {
        encoding: "utf8",
        env: {},
        timeout: 20_000,
      });
      expect([args, status === 0]).toEqual([args, false]);
      for (const secret of [...lines, TEST_TOKEN])
        expect([args, `${stdout}${stderr}`.includes(secret)]).toEqual([args, false]);
    }
  });
});
