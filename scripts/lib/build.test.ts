import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretKey } from "../../test/support/secret-key.ts";

const root = join(import.meta.dir, "../..");

/** Loads what tries native modules, and says what it sees of its surroundings. */
const PROGRAM = `
import process from "node:process";
import ssh2 from "ssh2";
import { buildInfo } from "../../src/observability/build-info.ts";
const client = new ssh2.Client();
const hostKeys = process.env.HOST_KEY;
if (hostKeys === undefined) {
  console.log(JSON.stringify({ ...buildInfo, ssh2: typeof ssh2.Client, env: process.env.HIJACKED ?? "" }));
} else {
  const server = new ssh2.Server({ hostKeys: [hostKeys] }, (connection) => {
    connection.on("error", () => {});
    connection.on("authentication", (context) => context.accept());
    connection.on("session", (accept) => accept().on("exec", () => client.destroy()));
    // Whatever ssh2 still does at the end of a connection comes before this.
    connection.on("close", () => setTimeout(() => server.close(() => console.log("closed")), 100));
  });
  server.listen(0, "127.0.0.1", () => client.connect({ host: "127.0.0.1", port: server.address().port, username: "x" }));
  client.on("ready", () => client.exec("x", () => {}));
  client.on("error", () => {});
}
`;

let inside = "";
let outside = "";
let executable = "";

async function run(command: string[], cwd: string, env: Record<string, string> = {}) {
  const child = Bun.spawn(command, { cwd, env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

beforeAll(async () => {
  await mkdir(join(root, ".cache"), { recursive: true });
  // Inside the repository, so that its packages are found.
  inside = await mkdtemp(join(root, ".cache/build-"));
  outside = await mkdtemp(join(tmpdir(), "rds-csi-build-"));
  await writeFile(join(inside, "entry.ts"), PROGRAM);
  const built = await run(["scripts/build", "--entry", join(inside, "entry.ts"), "--out", outside], root, {
    RDS_CSI_COMMIT: "0123abcd",
  });
  expect(`${built.code} ${built.stdout}${built.stderr}`).toStartWith("0 build: ");
  executable = join(outside, "rds-csi");
}, 120_000);

afterAll(async () => {
  for (const directory of [inside, outside]) if (directory !== "") await rm(directory, { recursive: true });
});

test("the executable knows its version and commit", async () => {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const { code, stdout, stderr } = await run([executable], outside);
  expect([code, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toEqual({ version, commit: "0123abcd", ssh2: "function", env: "" });
});

test("a connection that is cut while a session has no command yet ends without an error", async () => {
  const { private: HOST_KEY } = secretKey("host key of a compiled program");
  expect(await run([executable], outside, { HOST_KEY })).toEqual({ code: 0, stdout: "closed\n", stderr: "" });
});

test("it takes neither code nor settings from its working directory", async () => {
  const hostile = join(outside, "hostile");
  const code = 'console.error("HIJACKED"); module.exports = () => ({ flags: {} });';
  for (const name of ["cpu-features", "long", "ssh2", "sshcrypto.node"]) {
    await mkdir(join(hostile, "node_modules", name), { recursive: true });
    await writeFile(join(hostile, "node_modules", name, "index.js"), code);
  }
  await writeFile(join(hostile, ".env"), "HIJACKED=1\n");
  await writeFile(join(hostile, "preload.js"), code);
  await writeFile(join(hostile, "bunfig.toml"), 'preload = ["./preload.js"]\n');
  const { stdout, stderr } = await run([executable], hostile);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout).env).toBe("");
});

test("it names no path of the machine that built it", async () => {
  const bytes = await readFile(executable);
  expect(bytes.includes(join(root, "node_modules"))).toBe(false);
  expect(bytes.includes(join(root, "src"))).toBe(false);
});

test("wrong arguments are refused before anything is built", async () => {
  for (const args of [["--target", "vax"], ["--target"], ["--nonsense", "x"]]) {
    expect((await run(["scripts/build", ...args], root)).code).toBe(2);
  }
  const missing = await run(["scripts/build", "--entry", "src/none.ts", "--out", outside], root);
  expect([missing.code, missing.stderr]).toEqual([1, "build: src/none.ts does not exist\n"]);
});

test("the driver uses nothing of prom-client that the executable leaves out, and the rest is in it", async () => {
  const left = ["AggregatorRegistry", "Pushgateway", "collectDefaultMetrics"];
  const index = await readFile(join(root, "node_modules/prom-client/index.js"), "utf8");
  const required = [
    ...index.matchAll(/exports\.(\w+) = require\('\.\/lib\/(?:cluster|defaultMetrics|pushgateway)'\)/g),
  ];
  expect(required.map(([, name = ""]) => name).sort()).toEqual(left);
  const users: string[] = [];
  for (const file of new Bun.Glob("src/**/*.ts").scanSync(root)) {
    const text = await readFile(join(root, file), "utf8");
    if (text.includes('"prom-client"') && left.some((name) => text.includes(name))) users.push(file);
  }
  expect(users).toEqual([]);
  expect((await readFile(executable)).includes("Pushgateway")).toBe(false);
});
