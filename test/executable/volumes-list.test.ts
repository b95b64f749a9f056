import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { Controller } from "../../src/csi/gen/csi_pb.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { block, GIB, MIB, Mode, mount } from "../support/rpc.ts";
import { secretKey } from "../support/secret-key.ts";
import { type Stand, startStand } from "../support/stand.ts";

let base = "";
let stand: Stand;
const ids = { available: "", attached: "", foreign: "" };
beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({ executable, directory: join(base, "s"), startNodes: false });
  const claim = (name: string) => ({
    "csi.storage.k8s.io/pvc/namespace": "shop",
    "csi.storage.k8s.io/pvc/name": name,
  });
  const make = async (controller: Stand["controller"], name: string, size: bigint) =>
    (
      await controller.createVolume({
        name,
        capacityRange: { requiredBytes: size },
        volumeCapabilities: [block(Mode.MULTI_NODE_MULTI_WRITER)],
        parameters: claim(name),
      })
    ).volume?.volumeId ?? "";
  ids.available = await make(stand.controller, "spare", 8n * MIB);
  ids.attached = await make(stand.controller, "database", 3n * GIB);
  await stand.controller.controllerPublishVolume({
    volumeId: ids.attached,
    nodeId: "node-b",
    volumeCapability: mount(),
  });
  // A volume of another installation on the same RDS is foreign to this one.
  const socket = join(stand.directory, "other.sock");
  const other = await stand.startController(socket, ["--cluster-id", "other"]);
  ids.foreign = await make(stand.connect(Controller, socket), "theirs", 8n * MIB);
  await other.stop();
  // Its background jobs send commands at any time.
  expect(await stand.controllerProcess.stop()).toBe("0");
});
afterAll(async () => {
  await stand?.close();
  await rmdir(base);
});

const list = (...args: string[]) => stand.cli("volumes", "list", ...stand.rdsFlags, ...args);

interface Item {
  readonly handle: string;
  readonly state: string;
  readonly sizeBytes: number;
  readonly nodes: readonly { readonly node: string; readonly accessMode: string }[];
  readonly problems: readonly string[];
  readonly [key: string]: unknown;
}

test("json: every volume with its state, in handle order", async () => {
  const { code, stdout, stderr } = await list("-o", "json");
  expect([code, stderr]).toEqual([0, ""]);
  const { apiVersion, kind, items } = JSON.parse(stdout) as {
    apiVersion: string;
    kind: string;
    items: Item[];
  };
  expect([apiVersion, kind]).toEqual(["rds-csi/v1", "VolumeList"]);
  expect(items.map(({ handle }) => handle)).toEqual(Object.values(ids).sort());
  const of = (id: string) => items.find(({ handle }) => handle === id);
  expect(of(ids.available)).toMatchObject({
    csiName: "spare",
    state: "available",
    sizeBytes: Number(8n * MIB),
    pvc: { namespace: "shop", name: "spare" },
    nodes: [],
    migration: null,
    exported: false,
    problems: [],
  });
  expect(of(ids.attached)).toMatchObject({
    state: "attached",
    sizeBytes: Number(3n * GIB),
    nodes: [{ node: "node-b", accessMode: "SINGLE_NODE_WRITER", readonly: false }],
    exported: true,
    nqn: expect.stringMatching(new RegExp(`:${ids.attached}\\.1-[0-9a-f]{8}$`)),
    problems: [],
  });
  expect(of(ids.foreign)).toMatchObject({ state: "foreign", csiName: "", pvc: null });
  expect(of(ids.foreign)?.problems).toEqual(["The disk item is not ours: it belongs to cluster other"]);
});

test("yaml says the same as json", async () => {
  const [json, yaml] = await Promise.all([list("-o", "json"), list("-o", "yaml")]);
  expect(yaml.code).toBe(0);
  expect(parse(yaml.stdout)).toEqual(JSON.parse(json.stdout));
});

test("table and wide", async () => {
  const table = await list();
  expect([table.code, table.stderr]).toEqual([0, ""]);
  const lines = table.stdout.split("\n");
  expect(lines[0]?.split(/\s{2,}/)).toEqual(["STATE", "!", "SIZE", "PVC", "NODES", "AGE", "HANDLE"]);
  const row = (id: string) => lines.find((line) => line.includes(id))?.split(/\s{2,}/);
  expect(row(ids.attached)?.slice(0, 5)).toEqual(["attached", "-", "3Gi", "shop/database", "node-b"]);
  expect(row(ids.available)?.slice(0, 4)).toEqual(["available", "-", "8Mi", "shop/spare"]);
  expect(lines[1]?.split(/\s{2,}/).slice(0, 2)).toEqual(["foreign", "!"]);
  expect(table.stdout).toContain(
    `\nProblems:\n!  foreign-disk: ${ids.foreign}: The disk item is not ours: it belongs to cluster other\n\n3 volumes, 1 with problems;`,
  );
  const wide = await list("-o", "wide");
  expect(wide.stdout.split("\n")[0]).toMatch(
    /NAME +SNAPSHOTS +LAYOUT +SOURCE +EXPORTED +NQN +PATH +PROBLEMS$/,
  );
  expect(wide.stdout).toContain(`storage-pool/csi/${ids.attached}/disk.img`);
});

test("options choose volumes and their order", async () => {
  const handles = async (...args: string[]) => {
    const { code, stdout, stderr } = await list("-o", "json", ...args);
    expect([code, stderr]).toEqual([0, ""]);
    const { items, total } = JSON.parse(stdout) as { items: Item[]; total: number };
    expect(total).toBe(3);
    return items.map(({ handle }) => handle);
  };
  expect(await handles("-n", "shop", "--sort", "size")).toEqual([ids.attached, ids.available]);
  expect(await handles("--node", "node-a,node-b")).toEqual([ids.attached]);
  expect(await handles("--state", "available", "--state", "foreign", "--sort", "state")).toEqual([
    ids.available,
    ids.foreign,
  ]);
  expect(await handles("--problems")).toEqual([ids.foreign]);
  expect(await handles("-n", "shop", "--problems")).toEqual([]);
});

test("a choice that fits nothing: exit 0, and the answer says which volumes there are", async () => {
  const { code, stdout } = await list("-n", "shpo", "--fail-on-problems");
  expect([code, stdout]).toEqual([
    0,
    "No volume matches -n shpo. 3 volumes exist.\nThe namespaces: shop. Did you mean shop?\n",
  ]);
});

test("unknown values: exit 2 with the allowed ones, and nothing is asked", async () => {
  const sent = await stand.control.commandsDuring(async () => {
    const { code, stderr } = await list("--state", "brokn", "--sort", "colour", "-n", "");
    expect(code).toBe(2);
    expect(stderr).toContain('--state has the unknown name "brokn"');
    expect(stderr).toContain(
      "Did you mean broken? Expected: missing, broken, migrating, copying, attached, available, foreign",
    );
    expect(stderr).toContain(
      '--sort is "colour", not one of problems, claim, node, state, size, age, handle',
    );
    expect(stderr).toContain("--namespace has an empty name");
  });
  expect(sent).toEqual([]);
});

test("--fail-on-problems: exit 3, with the same list", async () => {
  const [plain, strict] = await Promise.all([list("-o", "json"), list("-o", "json", "--fail-on-problems")]);
  expect([plain.code, strict.code]).toEqual([0, 3]);
  expect(strict.stdout).toBe(plain.stdout);
  // Only listed volumes count.
  expect((await list("-n", "shop", "--fail-on-problems")).code).toBe(0);
});

test("volumes show takes the beginning of a handle, of a claim, and a cell as the list cuts it", async () => {
  const show = (name: string) => stand.cli("volumes", "show", ...stand.rdsFlags, "-o", "json", name);
  for (const name of [`${ids.attached.slice(0, 12)}…`, ids.attached.slice(0, 14), "datab", "shop/dat"]) {
    const { code, stdout } = await show(name);
    expect([code, (JSON.parse(stdout) as Item).handle]).toEqual([0, ids.attached]);
  }
  const ambiguous = await show("csi-");
  expect([ambiguous.code, ambiguous.stdout]).toEqual([1, ""]);
  expect(ambiguous.stderr).toContain('"csi-" is no whole name and fits 3 volumes: ');
  for (const id of Object.values(ids)) expect(ambiguous.stderr).toContain(id);
});

test("volumes record --restore takes whole names only", async () => {
  const { code, stderr } = await stand.cli("volumes", "record", ...stand.rdsFlags, "datab", "--restore");
  expect(code).toBe(1);
  expect(stderr).toContain('no volume is called "datab"');
});

test("only reads: no command changes the RDS", async () => {
  const sent = await stand.control.commandsDuring(() => list("-o", "json"));
  // The version, the volumes, their snapshots.
  expect(sent.map(({ mutated, outcome }) => `${outcome} ${mutated}`)).toEqual(Array(3).fill("ok false"));
});

test("another host key than the pinned one, a key that the RDS does not know: exit 1, nothing is sent", async () => {
  const sent = await stand.control.commandsDuring(async () => {
    const stranger = secretKey("key of a stranger");
    const flags = stand.rdsFlags.slice(0, stand.rdsFlags.indexOf("--rds-host-key-file"));
    const pinned = await stand.cli("volumes", "list", ...flags, "--rds-host-key", stranger.public);
    expect(pinned.code).toBe(1);
    expect(pinned.stderr).toMatch(
      /^rds-csi: the SSH host key of 127\.0\.0\.1:\d+ is SHA256:\S+, which is not pinned/,
    );
    await writeFile(join(stand.directory, "other-key"), stranger.private, { mode: 0o600 });
    const other = stand.rdsFlags.map((each) => each.replace(/user-key$/, "other-key"));
    const refused = await stand.cli("volumes", "list", ...other);
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toMatch(/^rds-csi: the RDS at \S+ refused the SSH key of user csi\./);
  });
  expect(sent).toEqual([]);
});
