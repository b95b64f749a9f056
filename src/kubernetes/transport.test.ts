import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { inspect } from "node:util";
import { ManualClock } from "../../test/support/clock.ts";
import { createAuthority } from "../../test/support/kubernetes/fake-api-server.ts";
import { TEST_TOKEN } from "../../test/support/kubernetes/kubeconfig.ts";
import { forever, node, startWorld, until, type World } from "../../test/support/kubernetes/world.ts";
import { isFailure } from "../domain/errors/driver-error.ts";

let world: World;
beforeEach(async () => {
  world = await startWorld();
  world.api.apply(node("node-a"));
});
afterEach(() => world.stop());

/** The catalogue id of the error that a call fails with. */
async function errorOf(call: Promise<unknown>): Promise<{ id: string; message: string }> {
  try {
    await call;
  } catch (error) {
    return error as { id: string; message: string };
  }
  throw new Error("the call succeeded");
}

describe("TLS and credentials", () => {
  test("the cluster's own CA is trusted, and the token is sent", async () => {
    const { reader } = await world.client();
    expect(await reader.nodeExists("node-a", forever)).toBe(true);
    expect(world.api.accesses.map(({ user }) => user)).toEqual(["system:serviceaccount:rds-csi:controller"]);
  });

  test("another CA is not trusted", async () => {
    const path = await world.api.writeKubeconfig(join(world.dir, "other"), { ca: createAuthority().cert });
    const { reader } = await world.client({ source: { kind: "kubeconfig", path } });
    const error = await errorOf(reader.nodeExists("node-a", forever));
    expect(error.id).toBe("kubernetesUntrusted");
    expect(error.message).toContain(world.api.url);
    expect(world.api.accesses).toEqual([]);
  });

  test("a certificate for another name is not trusted", async () => {
    const other = await startWorld({ names: ["kubernetes.default.svc"] });
    const { reader } = await other.client();
    const error = await errorOf(reader.nodes(forever));
    await other.stop();
    expect(error.id).toBe("kubernetesUntrusted");
    expect(error.message).toContain("altnames");
  });

  test("a client certificate is presented", async () => {
    const client = world.api.authority.client("system:admin", "system:masters");
    const path = await world.api.writeKubeconfig(join(world.dir, "cert"), { client });
    const { reader } = await world.client({ source: { kind: "kubeconfig", path } });
    expect(await reader.nodes(forever)).toEqual(["node-a"]);
    expect(world.api.accesses.map(({ user }) => user)).toEqual(["system:admin"]);
  });

  test("a client certificate of another CA is refused", async () => {
    const client = createAuthority().client("system:admin");
    const path = await world.api.writeKubeconfig(join(world.dir, "cert"), { client });
    const { reader } = await world.client({ source: { kind: "kubeconfig", path } });
    expect((await errorOf(reader.nodes(forever))).id).toBe("kubernetesUnauthenticated");
  });

  test("nothing but HTTP is needed for a kubeconfig that says so", async () => {
    const plain = await startWorld({ tls: false });
    const { reader } = await plain.client();
    expect(await reader.nodes(forever)).toEqual([]);
    await plain.stop();
  });
});

describe("the service account", () => {
  const environment = { ...process.env };
  const restore = (name: string) => {
    if (environment[name] === undefined) delete process.env[name];
    else process.env[name] = environment[name];
  };
  afterEach(() => ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"].forEach(restore));

  async function serviceAccount(token: string): Promise<string> {
    const files = join(world.dir, "var/run/secrets/kubernetes.io/serviceaccount");
    await mkdir(files, { recursive: true });
    await writeFile(join(files, "ca.crt"), world.api.authority.cert);
    await writeFile(join(files, "namespace"), "storage");
    await writeFile(join(files, "token"), token);
    process.env.KUBERNETES_SERVICE_HOST = "127.0.0.1";
    process.env.KUBERNETES_SERVICE_PORT = new URL(world.api.url).port;
    return files;
  }

  test("is read from its files, a final newline does no harm", async () => {
    await serviceAccount(`${TEST_TOKEN}\n`);
    const client = await world.client({ source: { kind: "in-cluster", root: world.dir } });
    expect(await client.reader.nodes(forever)).toEqual(["node-a"]);
    expect(client.namespace).toBe("storage");
  });

  test("a rotated token is used once the old one is refused", async () => {
    const files = await serviceAccount(TEST_TOKEN);
    const { reader } = await world.client({ source: { kind: "in-cluster", root: world.dir } });
    await reader.nodes(forever);
    world.api.tokens.delete(TEST_TOKEN);
    world.api.tokens.set("second", "system:serviceaccount:rds-csi:rotated");
    expect((await errorOf(reader.nodes(forever))).id).toBe("kubernetesUnauthenticated");
    await writeFile(join(files, "token"), "second");
    expect(await reader.nodes(forever)).toEqual(["node-a"]);
    expect(world.api.accesses.at(-1)?.user).toEndWith(":rotated");
  });

  test("a rotated token is used after a minute also if the old one still works", async () => {
    const clock = new ManualClock();
    const files = await serviceAccount(TEST_TOKEN);
    const { reader } = await world.client({ clock, source: { kind: "in-cluster", root: world.dir } });
    world.api.tokens.set("second", "rotated");
    await writeFile(join(files, "token"), "second");
    await reader.nodes(forever);
    expect(world.api.accesses.at(-1)?.user).toEndWith(":controller");
    await clock.advance(60_000);
    await reader.nodes(forever);
    expect(world.api.accesses.at(-1)?.user).toBe("rotated");
  });

  test("outside of a pod the error says what is missing", async () => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    const error = await errorOf(world.client({ source: { kind: "in-cluster", root: world.dir } }));
    expect(error.id).toBe("kubernetesConfigUnusable");
    expect(error.message).toContain("KUBERNETES_SERVICE_HOST is not set");
  });

  test.each([
    ["missing", undefined, "ENOENT"],
    ["not YAML", "{", "kubeconfig"],
    ["without a context", '{"clusters":[],"users":[],"contexts":[]}', "names no cluster"],
    [
      "for a proxy",
      '{"clusters":[{"name":"a","cluster":{"server":"https://x","proxy-url":"http://y"}}],"users":[{"name":"u","user":{}}],"contexts":[{"name":"c","context":{"cluster":"a","user":"u"}}],"current-context":"c"}',
      "proxy-url is not supported",
    ],
  ])("a kubeconfig that is %s is refused at once", async (_, content, text) => {
    const path = join(world.dir, "bad-kubeconfig");
    if (content !== undefined) await writeFile(path, content);
    const error = await errorOf(world.client({ source: { kind: "kubeconfig", path } }));
    expect(error.id).toBe("kubernetesConfigUnusable");
    expect(error.message).toContain(text);
  });
});

describe("a kubeconfig that cannot be used shows nothing of its content", () => {
  const secret = "CANARY-0123456789abcdef";
  const user = (field: string) =>
    `clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]\ncontexts: [{name: c, context: {cluster: a, user: u}}]\ncurrent-context: c\nusers:\n- name: u\n  user:\n    ${field}\n`;
  const broken: Record<string, readonly [string, string]> = {
    "bad indentation": [
      `users:\n- name: u\n  user:\n    token: ${secret}\n   x: y\n`,
      "line 5: bad indentation",
    ],
    "an alias in place of a token": [user(`token: *${secret}`), "line 7: unidentified alias"],
    "a tag in place of a token": [user(`token: !${secret} x`), "line 7: unknown"],
    "a key in place of a key file": [
      user(`client-key: ${secret}`),
      "of a file that it names failed (ENOENT)",
    ],
    "a server that is no URL": [
      user(`token: x`).replace("https://127.0.0.1:1", `u:${secret}@x y`),
      'the server of cluster "a" is not',
    ],
    "an exec plugin that does not answer JSON": [
      user(`exec: {apiVersion: client.authentication.k8s.io/v1, command: echo, args: [${secret}]}`),
      "is not JSON",
    ],
    "a list in place of fields": [`clusters: ${secret}\nusers: ${secret}\ncontexts: 1\n`, "names no cluster"],
    "nothing but a token": [secret, ""],
  };
  const everything = (error: unknown): string =>
    error instanceof Error ? `${inspect(error)}${error.stack}${everything(error.cause)}` : inspect(error);
  for (const [what, [content, reason]] of Object.entries(broken))
    test(what, async () => {
      const path = join(world.dir, "broken-kubeconfig");
      await writeFile(path, content);
      const error = await errorOf(
        world.client({ source: { kind: "kubeconfig", path } }).then(({ reader }) => reader.nodes(forever)),
      );
      expect(everything(error)).not.toContain(secret.slice(7, 17));
      expect(error.id).toBe("kubernetesConfigUnusable");
      expect(error.message).toContain(reason);
      expect(error.message).toContain("`kubectl --kubeconfig FILE get ns` tests it");
    });
});

describe("connections", () => {
  test("200 parallel calls share 16 connections, later ones reuse them", async () => {
    const { reader } = await world.client();
    await Promise.all(Array.from({ length: 200 }, () => reader.pod("vms", "x", forever)));
    await Promise.all(Array.from({ length: 16 }, () => reader.pod("vms", "x", forever)));
    expect(world.api.connections.most).toBeLessThanOrEqual(16);
    expect(world.api.connections.total).toBeLessThanOrEqual(16);
  });

  test("close ends them", async () => {
    const client = await world.client();
    await client.reader.nodes(forever);
    expect(world.api.connections.open).toBe(1);
    await client.close();
    await until("no connection is open", () => world.api.connections.open === 0);
  });

  test("a read whose connection was cut before an answer is repeated once, on a new one", async () => {
    const { reader } = await world.client();
    world.api.faults.push({ drop: "before", times: 1 });
    expect(await reader.nodeExists("node-a", forever)).toBe(true);
    world.api.faults.push({ drop: "before" });
    world.api.accesses.length = 0;
    expect((await errorOf(reader.nodes(forever))).id).toBe("kubernetesUnavailable");
    expect(world.api.accesses.length).toBeLessThanOrEqual(4);
  });
});

describe("failures", () => {
  test("a call that is not answered ends at its deadline", async () => {
    const clock = new ManualClock();
    const { reader } = await world.client({ clock });
    world.api.faults.push({ hang: true });
    const failed = errorOf(reader.pod("vms", "x", forever));
    await until("the call arrived", () => world.api.accesses.length === 1);
    await clock.advance(9_999);
    const early = await Promise.race([failed, Promise.resolve("waiting")]);
    expect(early as unknown).toBe("waiting");
    await clock.advance(1);
    const error = await failed;
    expect([error.id, error.message]).toEqual([
      "kubernetesUnavailable",
      expect.stringContaining("get pod vms/x: no answer within 10 s"),
    ]);
    expect(clock.sleeping).toBe(0);
  });

  test("the caller's signal ends a call, and its reason is kept if it is the driver's", async () => {
    const { reader } = await world.client();
    world.api.faults.push({ hang: true });
    const stop = new AbortController();
    const failed = errorOf(reader.nodes(stop.signal));
    await until("the call arrived", () => world.api.accesses.length === 1);
    stop.abort(new Error("gone"));
    expect((await failed).id).toBe("cancelled");
    expect((await errorOf(reader.nodes(stop.signal))).id).toBe("cancelled");
  });

  test.each([
    [{ status: 500 }, "kubernetesUnavailable"],
    [{ status: 503, retryAfter: 1 }, "kubernetesUnavailable"],
    [{ status: 429, retryAfter: 1 }, "kubernetesUnavailable"],
    [{ status: 403, reason: "Forbidden" }, "kubernetesForbidden"],
    [{ status: 401, reason: "Unauthorized" }, "kubernetesUnauthenticated"],
    [{ status: 400, reason: "BadRequest" }, "kubernetesRejected"],
    [{ status: 302, body: "moved" }, "kubernetesUnavailable"],
    [{ body: "<html>hello</html>" }, "kubernetesUnavailable"],
    [{ body: "" }, "kubernetesUnavailable"],
    [{ body: "{}" }, "kubernetesUnavailable"],
    [{ body: '{"items":5}' }, "kubernetesUnavailable"],
    [{ drop: "after" as const }, "kubernetesUnavailable"],
  ])("%j is %s, never an empty list", async (fault, id) => {
    const { reader } = await world.client();
    world.api.faults.push(fault);
    expect(await errorOf(reader.nodes(forever))).toMatchObject({ id });
    expect(await errorOf(reader.volumeAttachments(forever))).toMatchObject({ id });
    expect(await errorOf(reader.podsUsingClaim({ namespace: "a", name: "b" }, forever))).toMatchObject({
      id,
    });
  });

  test("a 404 that is not the API server's own does not make a node absent", async () => {
    const { reader } = await world.client();
    world.api.faults.push({ status: 404, body: "default backend - 404" });
    expect(await errorOf(reader.nodeExists("node-a", forever))).toMatchObject({
      id: "kubernetesUnavailable",
    });
    expect(await errorOf(reader.pod("vms", "x", forever))).toMatchObject({ id: "kubernetesUnavailable" });
  });

  test("an API server that is down is unavailable, and works again when it is back", async () => {
    const { reader } = await world.client();
    await world.api.down();
    const error = await errorOf(reader.nodes(forever));
    expect(isFailure(error, "kubernetesUnavailable")).toBe(true);
    await world.api.up();
    expect(await reader.nodes(forever)).toEqual(["node-a"]);
  });
});

test("the client library is loaded by whoever creates a client, and all of it only for a kubeconfig", async () => {
  const loads: Record<string, string[]> = {};
  for (const name of await readdir(import.meta.dir)) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts")) continue;
    const text = await readFile(join(import.meta.dir, name), "utf8");
    const withoutTypes = text.replace(/^import type [^;]*;/gm, "");
    const found = [...withoutTypes.matchAll(/["(](@kubernetes\/client-node[^"]*|\.\/client-library\.ts)"/g)];
    if (found.length > 0) loads[name] = found.map(([, module = ""]) => module);
  }
  expect(loads).toEqual({
    "client-library.ts": [
      "@kubernetes/client-node/dist/gen/index.js",
      "@kubernetes/client-node/dist/types.js",
    ],
    "create.ts": ["./client-library.ts"],
    "credentials.ts": ["@kubernetes/client-node/dist/config.js"],
  });
});
