import { afterEach, describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectWith, TEST_KEYS, type TestClient } from "../../test/support/simulator-client.ts";
import { upload } from "../../test/support/simulator-upload.ts";
import { testKey } from "../../test/support/ssh-server.ts";
import { newEd25519Key } from "../domain/openssh-key.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "./simulator.ts";

const OTHER = newEd25519Key();
const ADMIN = { name: "admin", publicKeys: [TEST_KEYS.public] };

let open: { close(): void }[] = [];
let simulators: Simulator[] = [];
let directories: string[] = [];
afterEach(async () => {
  for (const client of open) client.close();
  await Promise.all(simulators.map((one) => one.stop()));
  await Promise.all(directories.map((one) => rm(one, { recursive: true })));
  open = [];
  simulators = [];
  directories = [];
});

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator({ users: [ADMIN], ...options });
  simulators.push(simulator);
  return simulator;
}

async function login(simulator: Simulator, username = "admin", key = TEST_KEYS): Promise<TestClient> {
  const client = await connectWith(simulator, { username, privateKey: key.private });
  open.push(client);
  return client;
}

const refused = (attempt: Promise<TestClient>) =>
  attempt.then(
    () => "accepted",
    (error: Error) => error.message,
  );
const FAILED = "All configured authentication methods failed";

/** Makes the user csi with the other key, as an administrator would. */
async function addUser(admin: TestClient, more = ""): Promise<void> {
  const line = [
    "/user/group/add name=csi policy=ssh,read,write,test",
    `/user/add name=csi group=csi password="x" ${more}`,
    `/user/ssh-keys/add user=csi key="${OTHER.public}"`,
  ].join("; ");
  expect((await admin.exec(line)).stdout).toBe("");
}

describe("a user made on the console", () => {
  test("logs in with its key, with the policies of its group", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    expect(await refused(login(simulator, "csi", OTHER))).toBe(FAILED);
    await addUser(admin);
    const csi = await login(simulator, "csi", OTHER);
    expect((await csi.exec(":put [/system/resource/get version]")).stdout).toBe("7.24.5 (stable)\r\n");
    expect((await csi.exec("/user/group/add name=x")).stdout).toBe("not enough permissions (9)\r\n");
    expect(await refused(login(simulator, "csi", TEST_KEYS))).toBe(FAILED);
    await admin.exec("/user/set csi disabled=yes");
    expect(await refused(login(simulator, "csi", OTHER))).toBe(FAILED);
  });

  test("only from its addresses", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    await addUser(admin, "address=192.0.2.0/24");
    expect(await refused(login(simulator, "csi", OTHER))).toBe(FAILED);
    await admin.exec("/user/set csi address=192.0.2.0/24,127.0.0.0/8");
    await login(simulator, "csi", OTHER);
  });

  test("is seen in the log and among the sessions, and can be thrown out", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    await addUser(admin);
    const csi = await login(simulator, "csi", OTHER);
    const closed = new Promise((resolve) => csi.client.on("close", () => resolve(undefined)));
    expect((await admin.exec("/user/active/print")).stdout).toMatch(/csi +127\.0\.0\.1 +ssh/);
    await admin.exec("/user/active/remove [find where name=csi]");
    await closed;
    const log = simulator.device.management.journal.messages.join("\n");
    expect(log).toContain("user csi logged in from 127.0.0.1 via ssh");
    expect(log).toContain("user csi logged out from 127.0.0.1 via ssh");
    expect(log).toMatch(/user added by ssh:admin@127\.0\.0\.1 \(\*\w+ = \/user add name=csi group=csi\)/);
    expect((await admin.exec("/user/active/print")).stdout).not.toContain("csi");
  });

  test("survives a restart, with group, key and address; users of the start go with the start", async () => {
    const stateDir = await mkdtemp(join(tmpdir(), "rds-csi-login-"));
    directories.push(stateDir);
    const given = { name: "given", publicKeys: [TEST_KEYS.public] };
    const first = await start({ stateDir, users: [ADMIN, given] });
    const admin = await login(first);
    await addUser(admin, "address=127.0.0.1/32");
    await upload(admin.client, "script.rsc", ":put 5");
    await admin.exec("/ip/service/set ssh address=127.0.0.0/8");
    await login(first, "given");
    await first.stop();
    const second = await start({ stateDir });
    const csi = await login(second, "csi", OTHER);
    expect((await csi.exec("/import script.rsc")).stdout).toStartWith("5\r\n");
    expect((await csi.exec(":put [/user/get csi address]")).stdout).toBe("127.0.0.1/32\r\n");
    expect((await csi.exec(":put [/ip/service/get ssh address]")).stdout).toBe("127.0.0.0/8\r\n");
    expect(await refused(login(second, "given"))).toBe(FAILED);
    expect(second.device.management.accounts.users.map(({ name }) => name)).toEqual(["csi", "admin"]);
    expect(second.device.management.accounts.keysOf("admin")).toHaveLength(1);
  });

  test("a state of an earlier version has no users in it", async () => {
    const stateDir = await mkdtemp(join(tmpdir(), "rds-csi-login-"));
    directories.push(stateDir);
    await (await start({ stateDir })).stop();
    const file = join(stateDir, "state.json");
    const { management, ...old } = JSON.parse(await readFile(file, "utf8"));
    const { accounts, flash, sshAddresses } = management;
    expect([accounts.users.length, flash, sshAddresses]).toEqual([1, [], []]);
    await writeFile(file, JSON.stringify(old));
    await login(await start({ stateDir }));
  });
});

describe("the SSH service", () => {
  test("/ip/service keeps strangers out; connections that exist stay", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    expect((await admin.exec("/ip/service/set ssh address=nowhere")).stdout).toContain("invalid value");
    expect((await admin.exec("/ip/service/set ssh address=192.0.2.0/24")).stdout).toBe("");
    expect(await refused(login(simulator))).not.toBe("accepted");
    await admin.exec('/ip/service/set ssh address=""');
    await login(simulator);
  });

  test("/ip/ssh has no fingerprint of the host key, as RouterOS has none", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    const { stdout } = await admin.exec("/ip/ssh/print");
    expect(stdout).toContain("host-key-type: ed25519\r\n");
    expect(stdout).not.toContain("fingerprint");
    expect((await admin.exec(":put [/ip/ssh/get host-key-fingerprint]")).stdout).toContain(
      "input does not match any value of value-name",
    );
    expect((await admin.exec(':put [:len ([/ip/ssh/print as-value]->"host-key-fingerprint")]')).stdout).toBe(
      "0\r\n",
    );
  });

  test("export-host-key writes both halves, for who may read secrets", async () => {
    for (const key of [undefined, { type: "rsa" as const, pem: testKey("rsa").private }] as const) {
      const simulator = await start(key === undefined ? {} : { hostKeys: [key] });
      const admin = await login(simulator);
      const type = key?.type ?? "ed25519";
      await addUser(admin);
      const csi = await login(simulator, "csi", OTHER);
      const line = "/ip/ssh/export-host-key key-file-prefix=here";
      expect((await csi.exec(line)).stdout).toContain("not enough permissions");
      expect(simulator.device.management.flash.entries).toEqual([]);
      expect((await admin.exec(line)).stdout).toBe("");
      const { stdout } = await admin.exec(`:put [/file/get here_${type}_pub.pem contents]`);
      const shown = createPublicKey(stdout.replaceAll("\r", ""));
      const made = createPublicKey(simulator.device.management.hostKey.pkcs8().privatePem);
      expect(shown.equals(made)).toBe(true);
      expect((await admin.exec(`:put [/file/get here_${type}.pem contents]`)).stdout).toContain(
        "PRIVATE KEY",
      );
      await admin.exec('/file/remove [find where name~"^here_"]');
      expect(simulator.device.management.flash.entries).toEqual([]);
    }
  });
});

describe("uploads", () => {
  test("need the policy ftp", async () => {
    const simulator = await start();
    const admin = await login(simulator);
    await addUser(admin);
    const csi = await login(simulator, "csi", OTHER);
    expect(await refused(upload(csi.client, "a.rsc", "x").then(() => csi))).not.toBe("accepted");
    expect(simulator.device.management.flash.entries).toEqual([]);
    const text = `:put "${"y".repeat(100_000)}"`;
    await upload(admin.client, "a.rsc", text);
    expect(simulator.device.management.flash.read("a.rsc")?.toString()).toBe(text);
    await upload(admin.client, "a.rsc", ":put 1");
    expect((await admin.exec("/import a.rsc")).stdout).toStartWith("1\r\n");
  });

  test("go into the root only, and nothing can be read back", async () => {
    const simulator = await start();
    const { client } = await login(simulator);
    for (const name of ["storage-pool/a", "../a", "", ".hidden"]) {
      expect(await refused(upload(client, name, "x").then(() => login(simulator)))).not.toBe("accepted");
    }
    await upload(client, "/a.rsc", "x");
    const read = new Promise((resolve) =>
      client.sftp((_error, sftp) => sftp.readFile("a.rsc", (error) => resolve(error?.message))),
    );
    expect(await read).toContain("nsupported");
  });
});
