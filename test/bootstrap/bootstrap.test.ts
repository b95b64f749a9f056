import { afterEach, describe, expect, test } from "bun:test";
import { newEd25519Key } from "../../src/domain/openssh-key.ts";
import { BLOCK, GIB, LAYOUT, MIB, type Stack, startStack } from "../support/rds-stack.ts";
import { connectWith, type TestClient } from "../support/simulator-client.ts";
import { upload } from "../support/simulator-upload.ts";
import { type Administrator, administrator, FRESH, freshDevice, script } from "./scripts.fixture.ts";

const KEY = newEd25519Key();
const SETTINGS = { csiKey: `${KEY.public} rds-csi`, csiAddress: "127.0.0.0/8" };
const UNCHANGED = "rds-csi, nothing was changed: ";

let cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of cleanUp.toReversed()) await each();
  cleanUp = [];
});

async function device(options: Parameters<typeof freshDevice>[0] = {}): Promise<Administrator> {
  const admin = await freshDevice(options);
  cleanUp.push(() => admin.simulator.stop());
  return admin;
}

async function csi(admin: Administrator, key = KEY): Promise<TestClient> {
  const client = await connectWith(admin.simulator, { username: "csi", privateKey: key.private });
  cleanUp.push(() => client.close());
  return client;
}

const refused = (attempt: Promise<unknown>) =>
  attempt.then(
    () => "accepted",
    (error: Error) => error.message,
  );
const LOGIN_FAILED = "All configured authentication methods failed";

describe("bootstrap.rsc", () => {
  test("makes group, user, key and folder, and tells how to go on", async () => {
    const admin = await device();
    const output = await admin.import("bootstrap.rsc", SETTINGS);
    expect(output).toContain("group csi: added");
    expect(output).toContain("user csi: added, may log in from 127.0.0.0/8");
    expect(output).toContain("folder storage-pool/csi: added");
    expect(output).not.toContain("corrected");
    expect(output).toContain("host key: ed25519, to be read at the console");
    // Reading the key is left to a person: no script of ours puts its private half into a file.
    expect(admin.simulator.device.management.flash.entries).toEqual([]);
    expect(await script("bootstrap.rsc")).not.toContain("export-host-key");
    expect(output).toContain("--rds-user csi --pool storage-pool --directory csi");
    expect(output).toEndWith("Script file loaded and executed successfully");
    const { accounts } = admin.simulator.device.management;
    expect(accounts.group("csi")?.policies).toEqual(["ssh", "read", "write", "test"]);
    expect(accounts.user("csi")).toMatchObject({ group: "csi", addresses: ["127.0.0.0/8"], disabled: false });
    expect(accounts.user("csi")?.password).toMatch(/^[A-Za-z2-9]{40}$/);
    expect(output).not.toContain(accounts.user("csi")?.password ?? "-");
    expect(accounts.keysOf("csi").map(({ line }) => line.split(" ")[1])).toEqual([KEY.public.split(" ")[1]]);
    expect(admin.simulator.device.file("storage-pool/csi")?.directory).toBe(true);
  });

  test.each(["current", "hostile", "strict", "old"] as const)(
    "a second run changes nothing (%s)",
    async (profile) => {
      const admin = await device({ profile });
      expect(await admin.import("bootstrap.rsc", SETTINGS)).toContain("user csi: added");
      const before = admin.configuration();
      const again = await admin.import("bootstrap.rsc", SETTINGS);
      expect(again).toContain("executed successfully");
      expect(again).not.toContain("added");
      expect(again).not.toContain("may now");
      expect(again).not.toContain("corrected");
      expect(admin.configuration()).toEqual(before);
    },
  );

  test("an interrupted run is completed by the next one", async () => {
    for (let statement = 1; statement <= 4; statement += 1) {
      const admin = await device();
      admin.simulator.faults.cutMidway(statement, { line: /import/ });
      await refused(admin.import("bootstrap.rsc", SETTINGS));
      const next = await administrator(admin.simulator);
      expect(await next.import("bootstrap.rsc", SETTINGS)).toContain("executed successfully");
      expect((await (await csi(next)).exec(":put 1")).stdout).toBe("1\r\n");
      expect(next.simulator.device.file("storage-pool/csi")?.directory).toBe(true);
    }
  });

  test("another address, another key, rights that somebody changed: a run puts them right", async () => {
    const admin = await device();
    await admin.import("bootstrap.rsc", SETTINGS);
    await admin.run("/user/group/set csi policy=reboot,sensitive,!test");
    const next = newEd25519Key();
    const output = await admin.import("bootstrap.rsc", {
      csiKey: next.public,
      csiAddress: "127.0.0.1/32,2001:db8::/64",
    });
    expect(output).toContain("group csi: rights corrected, they were wrong: +reboot +sensitive -test");
    expect(output).toContain("user csi: may now log in from 127.0.0.1/32,2001:db8::/64");
    expect(output).toContain("user csi has 1 other key(s)");
    const { accounts } = admin.simulator.device.management;
    expect(accounts.group("csi")?.policies).toEqual(["ssh", "read", "write", "test"]);
    expect(accounts.user("csi")?.addresses).toEqual(["127.0.0.1/32", "2001:db8::/64"]);
    await csi(admin, KEY);
    await csi(admin, next);
    await admin.run("/user/set csi disabled=yes");
    expect(await admin.import("bootstrap.rsc", SETTINGS)).toContain("/user/set csi disabled=no");
  });

  test("other names, other folder, other pool", async () => {
    const admin = await device({ pools: [{ slot: "raid10", fs: "xfs", size: 64n * GIB }] });
    const names = { csiUser: "csi-driver", csiGroup: "k8s.csi", csiPool: "raid10", csiDirectory: "volumes" };
    expect(await admin.import("bootstrap.rsc", { ...SETTINGS, ...names })).toContain("executed successfully");
    expect(admin.simulator.device.management.accounts.user("csi-driver")?.group).toBe("k8s.csi");
    expect(admin.simulator.device.file("raid10/volumes")?.directory).toBe(true);
  });

  const RSA = `ssh-rsa ${"A".repeat(372)} rsa`;
  const PRIVATE = KEY.private.replaceAll("\n", "\\n");
  const mistakes: readonly [string, Record<string, string>, string][] = [
    ["no key", { csiKey: "" }, "csiKey is empty"],
    ["a private key", { csiKey: PRIVATE }, "csiKey is a private key"],
    ["an RSA key", { csiKey: RSA }, "csiKey is not a complete Ed25519 public key"],
    ["half a key", { csiKey: KEY.public.slice(0, -8) }, "csiKey is not a complete Ed25519 public key"],
    ["no address", { csiAddress: "" }, "csiAddress is empty"],
    ["a name as address", { csiAddress: "controller" }, "controller is neither an address nor a prefix"],
    ["everything", { csiAddress: "0.0.0.0/0" }, "must have 1 to 32 bits"],
    ["one of two addresses is everything", { csiAddress: "192.0.2.1,::/0" }, "must have 1 to 128 bits"],
    ["a prefix too long", { csiAddress: "192.0.2.0/33" }, "must have 1 to 32 bits"],
    ["a pool that is not there", { csiPool: "nowhere" }, "there is no pool nowhere"],
    ["a folder elsewhere", { csiDirectory: "../x" }, "csiDirectory"],
    ["the administrator", { csiUser: "admin" }, "user admin exists in group full"],
    ["a user that is none", { csiUser: "a b" }, "csiUser"],
    ["a group of RouterOS", { csiGroup: "full" }, "csiGroup full is a group of RouterOS"],
    ["a group that others use", { csiGroup: "staff" }, "user bob is in group staff"],
    ["the user of somebody else", { csiUser: "bob" }, "user bob exists in group staff"],
  ];
  test.each(mistakes)("%s: refused before anything has changed", async (_name, settings, text) => {
    const admin = await device();
    await admin.run('/user/group/add name=staff policy=ssh; /user/add name=bob group=staff password="x"');
    const before = admin.configuration();
    const output = await admin.import("bootstrap.rsc", { ...SETTINGS, ...settings });
    expect(output).toStartWith(`Script Error: ${UNCHANGED}`);
    expect(output).toContain(text);
    expect(admin.configuration()).toEqual(before);
  });

  test("an old version: refused before anything has changed", async () => {
    for (const version of ["7.20 (stable)", "7.9.2 (long-term)", "7.20.8 (long-term)"]) {
      const admin = await device({ switches: { version } });
      const before = admin.configuration();
      expect(await admin.import("bootstrap.rsc", SETTINGS)).toStartWith("Script Error: ");
      expect(admin.configuration()).toEqual(before);
    }
    const admin = await device({ profile: "too-old" });
    expect(await admin.import("bootstrap.rsc", SETTINGS)).toContain(
      `${UNCHANGED}RouterOS 7.20 (stable) is too old, 7.21 or newer is needed`,
    );
    const newer = await device({ switches: { version: "7.26beta4 (development)" } });
    expect(await newer.import("bootstrap.rsc", SETTINGS)).toContain("executed successfully");
  });

  test("a pool that is not mounted, and a file where the folder should be", async () => {
    const admin = await device();
    await admin.simulator.device.setPool("storage-pool", { mounted: false });
    const before = admin.configuration();
    expect(await admin.import("bootstrap.rsc", SETTINGS)).toContain("pool storage-pool is not mounted");
    expect(admin.configuration()).toEqual(before);
    await admin.simulator.device.setPool("storage-pool", { mounted: true });
    await admin.simulator.device.addFile("storage-pool/csi", 4096n);
    expect(await admin.import("bootstrap.rsc", SETTINGS)).toContain("exists and is not a folder");
    expect(admin.simulator.device.management.accounts.user("csi")).toBeUndefined();
  });

  test("somebody without the policy `policy` cannot run it", async () => {
    const admin = await device();
    await admin.run("/user/group/add name=operators policy=ssh,ftp,read,write,test");
    await admin.run('/user/add name=operator group=operators password="x"');
    await admin.run(`/user/ssh-keys/add user=operator key="${KEY.public}"`);
    const client = await connectWith(admin.simulator, { username: "operator", privateKey: KEY.private });
    cleanUp.push(() => client.close());
    await upload(client.client, "b.rsc", await script("bootstrap.rsc", SETTINGS));
    expect((await client.exec("/import b.rsc")).stdout).toContain("not enough permissions (9)");
    expect(admin.simulator.device.management.accounts.group("csi")).toBeUndefined();
  });
});

describe("the user that it makes", () => {
  test("may log in from its addresses only", async () => {
    const admin = await device();
    await admin.import("bootstrap.rsc", { ...SETTINGS, csiAddress: "192.0.2.0/24" });
    expect(await refused(csi(admin))).toBe(LOGIN_FAILED);
    await admin.import("bootstrap.rsc", SETTINGS);
    expect(await refused(csi(admin))).toBe("accepted");
    expect(await refused(csi(admin, newEd25519Key()))).toBe(LOGIN_FAILED);
  });

  test("must not manage users, read secrets, reboot, or transfer files", async () => {
    const admin = await device();
    await admin.import("bootstrap.rsc", SETTINGS);
    await admin.run(
      '/disk/add type=file slot="s" file-path="storage-pool/s.img" file-size=1048576 mount-filesystem=no nvme-tcp-export=yes nvme-tcp-server-password="hidden"',
    );
    expect(await admin.run(":put [/disk/get s nvme-tcp-server-password]")).toBe("hidden");
    const before = admin.configuration();
    const client = await csi(admin);
    for (const line of [
      '/user/add name=x group=full password="x"',
      "/user/set csi group=full",
      "/user/group/set csi policy=policy",
      `/user/ssh-keys/add user=admin key="${KEY.public}"`,
      "/user/remove admin",
      "/system/reboot",
    ]) {
      expect([line, (await client.exec(line)).stdout]).toEqual([line, "not enough permissions (9)\r\n"]);
    }
    expect((await client.exec(":put [/disk/get s nvme-tcp-server-password]")).stdout).toBe("\r\n");
    expect((await client.exec("/disk/print detail")).stdout).not.toContain("hidden");
    expect(await refused(upload(client.client, "x.rsc", ":put 1"))).not.toBe("accepted");
    expect(admin.configuration()).toEqual(before);
  });

  test.each(["current", "hostile", "strict", "old"] as const)(
    "is all that the driver needs (%s)",
    async (profile) => {
      let admin: Administrator | undefined;
      const stack: Stack = await startStack({
        ...FRESH,
        profile,
        prepare: async (simulator, publicKey) => {
          admin = await administrator(simulator);
          await admin.import("bootstrap.rsc", { csiKey: publicKey, csiAddress: "127.0.0.1/32" });
        },
      });
      cleanUp.push(() => stack.close());
      const signal = AbortSignal.timeout(30_000);
      const created = await stack.volumes.create({
        name: "pvc-1",
        range: { requiredBytes: 8n * MIB, limitBytes: 0n },
        capabilities: [BLOCK],
        parameters: {},
        mutableParameters: {},
        source: undefined,
        signal,
      });
      const volumeId = created.id;
      const node = { volumeId, nodeId: "node-a", capability: BLOCK };
      const context = await stack.attachments.publish({ ...node, readonly: false, signal });
      expect(context.nqn).toContain(volumeId);
      const expanded = await stack.expansions.expand({
        volumeId,
        range: { requiredBytes: 16n * MIB, limitBytes: 0n },
        capability: BLOCK,
        signal,
      });
      expect(expanded.sizeBytes).toBe(16n * MIB);
      expect(stack.simulator.device.liveExports.map(({ slot }) => slot)).toEqual([volumeId]);
      expect((await stack.volumes.list(signal)).entries.map(({ id }) => id)).toEqual([volumeId]);
      expect((await stack.volumes.capacity([BLOCK], {}, signal)).availableBytes).toBeGreaterThan(GIB);
      await stack.attachments.unpublish(volumeId, "node-a", signal);
      await stack.attachments.settled();
      expect(stack.simulator.device.liveExports).toEqual([]);
      await stack.volumes.delete(volumeId, signal);
      expect(stack.simulator.device.disks).toEqual([]);
      expect(stack.simulator.device.files.map(({ path }) => path)).toEqual([
        LAYOUT.pool,
        `${LAYOUT.pool}/${LAYOUT.directory}`,
      ]);
      const asDriver = stack.simulator.commands.filter(({ user }) => user === "csi");
      expect(asDriver.length).toBeGreaterThan(8);
      expect(asDriver.filter(({ output }) => output.includes("not enough permissions"))).toEqual([]);
      admin?.client.close();
    },
  );
});

describe("remove.rsc", () => {
  test("takes keys, user, group and sessions; volumes and folder stay; a second run changes nothing", async () => {
    const admin = await device();
    const before = admin.configuration() as { groups: unknown; users: unknown; keys: unknown };
    await admin.import("bootstrap.rsc", SETTINGS);
    const client = await csi(admin);
    const add = '/disk/add type=file slot="csi-1" file-path="storage-pool/csi/1.img" file-size=1048576';
    await client.exec(`${add} mount-filesystem=no nvme-tcp-export=yes`);
    const ended = new Promise<void>((resolve) => client.client.on("close", () => resolve()));
    const output = await admin.import("remove.rsc");
    expect(output).toContain("key of user csi: removed");
    expect(output).toContain("session of user csi: ended");
    expect(output).toContain("Volumes and their folder are untouched");
    await ended;
    const after = admin.configuration() as typeof before;
    expect({ groups: after.groups, users: after.users, keys: after.keys }).toEqual({
      groups: before.groups,
      users: before.users,
      keys: before.keys,
    });
    expect(admin.simulator.device.disk("csi-1")?.exported).toBe(true);
    expect(admin.simulator.device.file("storage-pool/csi/1.img")).toBeDefined();
    expect(await refused(csi(admin))).toBe(LOGIN_FAILED);
    const again = await admin.import("remove.rsc");
    expect(again).not.toContain("removed");
    expect(again).toContain("executed successfully");
    expect(admin.configuration()).toEqual(after);
  });

  test.each([
    ["of another group", { csiUser: "admin" }, "user admin is in group full, not in csi"],
    ["a group of RouterOS", { csiUser: "admin", csiGroup: "full" }, "is a group of RouterOS"],
    ["a group that others use", { csiUser: "nobody" }, "user csi is in group csi too"],
  ])("%s: refused, nothing changed", async (_name, settings, text) => {
    const admin = await device();
    await admin.import("bootstrap.rsc", SETTINGS);
    const before = admin.configuration();
    expect(await admin.import("remove.rsc", settings)).toStartWith(`Script Error: ${UNCHANGED}`);
    expect(await admin.import("remove.rsc", settings)).toContain(text);
    expect(admin.configuration()).toEqual(before);
  });
});
