import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAuthority } from "../../test/support/kubernetes/fake-api-server.ts";
import { node, startWorld, until, type World } from "../../test/support/kubernetes/world.ts";

const root = join(import.meta.dir, "../..");

/** The shipped client in an executable: lists the nodes and posts an event. */
const PROGRAM = `
import process from "node:process";
import { createKubernetes } from "../../src/kubernetes/create.ts";
try {
  const client = await createKubernetes({
    source: { kind: "kubeconfig", path: process.argv[2] ?? "" }, driverName: "d", instance: "i",
  });
  const { signal } = new AbortController();
  const called = await client.reader.nodes(signal);
  client.events.post({ type: "Normal", reason: "Test", message: "m", claim: { namespace: "a", name: "c", uid: "u" } });
  await client.close();
  console.log(JSON.stringify({ called }));
} catch (error) {
  console.log(JSON.stringify({ id: error.id, message: error.message }));
}
`;

let world: World;
let sources = "";
let executable = "";

beforeAll(async () => {
  world = await startWorld();
  world.api.apply(node("node-a"));
  await mkdir(join(root, ".cache"), { recursive: true });
  // Inside the repository, so that its packages are found.
  sources = await mkdtemp(join(root, ".cache/kubernetes-"));
  const entry = join(sources, "entry.ts");
  executable = join(world.dir, "program");
  await writeFile(entry, PROGRAM);
  const compile = ["scripts/lib/compile.ts", "--entry", entry, "--outfile", executable];
  const { code, output } = await run(process.execPath, ...compile, "--version", "0", "--commit", "0");
  expect([code, output]).toEqual([0, ""]);
}, 240_000);

afterAll(async () => {
  await world.stop();
  await rm(sources, { recursive: true });
});

async function run(...command: string[]): Promise<{ code: number; output: string }> {
  return await runWith({}, ...command);
}

async function runWith(env: Record<string, string>, ...command: string[]) {
  const child = Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const streams = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
  return { code: await child.exited, output: (await Promise.all(streams)).join("") };
}

async function connect(options?: Parameters<World["api"]["kubeconfig"]>[0]) {
  const path = await world.api.writeKubeconfig(join(world.dir, "compiled"), options);
  const { output } = await run(executable, path);
  return JSON.parse(output);
}

test("the compiled executable trusts the cluster's private CA, calls and reports", async () => {
  expect(await connect()).toEqual({ called: ["node-a"] });
  expect(world.api.list("Event")).toHaveLength(1);
  await until("its connections are closed", () => world.api.connections.open === 0);
});

test("it presents a client certificate", async () => {
  const client = world.api.authority.client("system:admin");
  expect(await connect({ client })).toEqual({ called: ["node-a"] });
  expect(world.api.accesses.at(-1)?.user).toBe("system:admin");
});

test("it does not trust another CA", async () => {
  const asked = world.api.accesses.length;
  expect(await connect({ ca: createAuthority().cert })).toMatchObject({ id: "kubernetesUntrusted" });
  expect(world.api.accesses).toHaveLength(asked);
});

test("it does not trust the system's CAs instead of the cluster's", async () => {
  expect(await connect({ ca: "" })).toMatchObject({
    id: expect.stringMatching(/^kubernetes(Untrusted|Unavailable)$/),
  });
});

test("it does not accept the certificate of another host", async () => {
  const other = await startWorld({ names: ["kubernetes.default.svc"] });
  const path = await other.api.writeKubeconfig(join(other.dir, "kubeconfig"));
  const { output } = await run(executable, path);
  await other.stop();
  expect(JSON.parse(output)).toMatchObject({
    id: "kubernetesUntrusted",
    message: expect.stringContaining("altnames"),
  });
});

test("nor does it when the environment asks for other trust", async () => {
  const ca = join(world.dir, "true-ca.pem");
  await writeFile(ca, world.api.authority.cert);
  const path = await world.api.writeKubeconfig(join(world.dir, "otherwise"), { ca: createAuthority().cert });
  const asked = world.api.accesses.length;
  for (const env of [
    { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
    { NODE_EXTRA_CA_CERTS: ca },
    { SSL_CERT_FILE: ca },
    { NODE_USE_SYSTEM_CA: "1", SSL_CERT_FILE: ca },
    { NODE_OPTIONS: "--use-openssl-ca", SSL_CERT_FILE: ca },
  ] as Record<string, string>[]) {
    const { output } = await runWith(env, executable, path);
    expect([env, output]).toEqual([env, expect.stringContaining('"id":"kubernetesUntrusted"')]);
  }
  expect(world.api.accesses).toHaveLength(asked);
});
