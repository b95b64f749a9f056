import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { emitted, registerSecret } from "../../../test/support/canary.ts";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { node, persistentVolume, startWorld, type World } from "../../../test/support/kubernetes/world.ts";
import { BLOCK, MIB, type Stack, startStack } from "../../../test/support/rds-stack.ts";
import { secretKey } from "../../../test/support/secret-key.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { testIo } from "../cli.fixture.ts";
import { runVolumesList } from "./list.ts";
import { runVolumesShow } from "./show.ts";

/** A promise that nobody keeps for a command of a person. */
const REPETITION = /repeated by itself|repeated call/;
const PV = "pvc-0a1b2c3d-0000-4000-8000-000000000001";
const POPULATOR = "prime-0a1b2c3d-0000-4000-8000-000000000009";
let stack: Stack;
let world: World;
let ids: VolumeId[];
let flags: Record<string, string[]>;

/** Two volumes: of an imported disk, whose claim is another one now, and one without a PersistentVolume. */
beforeEach(async () => {
  stack = await startStack({ clusterId: CLUSTER_UID });
  world = await startWorld();
  ids = [];
  for (const [name, claim] of [
    [PV, POPULATOR],
    ["plain", "plain"],
  ] as const) {
    const { id } = await stack.volumes.create({
      name,
      range: { requiredBytes: MIB, limitBytes: 0n },
      capabilities: [BLOCK],
      parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": claim },
      mutableParameters: {},
      source: undefined,
      signal: stack.signal,
    });
    ids.push(id);
  }
  const claim = { namespace: "vms", name: "disk", uid: "uid-disk" };
  world.api.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "vms", name: "disk", uid: "uid-disk" },
    spec: { volumeName: PV },
    status: { phase: "Bound" },
  });
  world.api.apply(node("node-a"));
  world.api.apply(persistentVolume(PV, ids[0] ?? "", { claim }));
  const { host, port, hostKeyFingerprints } = stack.simulator;
  flags = {
    "rds-address": [`${host}:${port}`],
    "rds-key-file": [stack.keyFile],
    "rds-host-key": [...hostKeyFingerprints],
    "cluster-id": [CLUSTER_UID],
  };
});
afterEach(async () => {
  await world.stop();
  await stack.close();
});

const kubernetes = async () => ({
  orchestrator: ["kubernetes"],
  kubeconfig: [await world.api.writeKubeconfig(join(world.dir, "admin"))],
});

async function show(output: "table" | "json", more: Record<string, string[]> = {}, name = "disk") {
  const io = testIo();
  const wanted = { namespace: "vms", name };
  const options = { name: wanted, output, failOnProblems: false, timeoutSeconds: 2 };
  const code = await runVolumesShow({ flags: { ...flags, ...more }, env: {} }, options, io);
  return { code, out: io.written.out };
}

async function list(output: "table" | "json", failOnProblems = false, more: Record<string, string[]> = {}) {
  const io = testIo();
  const options = { output, failOnProblems, timeoutSeconds: 5 };
  const code = await runVolumesList({ flags: { ...flags, ...more }, env: {} }, options, io);
  return { code, out: io.written.out };
}

describe("volumes show of a name that only the RDS could know", () => {
  const faults = {
    "an RDS that is down": [
      async () => ({ "rds-address": ["127.0.0.1:1"] }),
      /is not reachable over SSH/,
      /Check power, network/,
    ],
    "a key that the RDS does not know": [
      async () => {
        const path = join(world.dir, "other-key");
        await writeFile(path, secretKey("key of a stranger").private, { mode: 0o600 });
        return { "rds-key-file": [path] };
      },
      /refused the SSH key of user/,
      /\/user\/ssh-keys/,
    ],
    "another host key": [
      async () => ({ "rds-host-key": [`SHA256:${"A".repeat(43)}`] }),
      /which is not pinned/,
      /fingerprint/,
    ],
  } as const;
  for (const [what, [fault, reason, remedy]] of Object.entries(faults))
    test(`with ${what}: unknown, with the error and its remedy, as text and as JSON`, async () => {
      const more = await fault();
      const text = await show("table", more);
      expect(text.code).toBe(1);
      expect(text.out).toMatch(/^Volume vms\/disk: unknown\n/);
      expect(text.out).toMatch(reason);
      expect(text.out).toMatch(remedy);
      expect(text.out).not.toContain("no volume is called");
      expect(text.out).not.toMatch(REPETITION);
      const json = await show("json", more);
      expect(json.code).toBe(1);
      expect(json.out).not.toMatch(REPETITION);
      const document = JSON.parse(json.out);
      expect(document).toMatchObject({ kind: "Volume", handle: null, name: "vms/disk", state: "unknown" });
      expect(document.rds.disk).toMatchObject({
        state: "unknown",
        reason: expect.stringMatching(reason),
        remedy: expect.stringMatching(remedy),
      });
    });

  test("with the cluster down: unknown too, as the claim may be another one than the record's", async () => {
    const cluster = await kubernetes();
    await world.api.down();
    const { code, out } = await show("json", cluster, "other");
    await world.api.up();
    expect(code).toBe(1);
    const document = JSON.parse(out);
    expect(document).toMatchObject({ handle: null, state: "unknown", drift: [] });
    expect(document.rds.disk.reason).toContain("has 2 volumes, none of that name");
    expect(document.kubernetes.persistentVolume.reason).toContain("could not be asked to list");
  });

  test("with both sides there: no volume is called so", async () => {
    await expect(show("json", await kubernetes(), "other")).rejects.toThrow(
      /no volume is called "vms\/other"/,
    );
  });
});

describe("volumes show of a whole handle", () => {
  const gone = "csi-0123456789abcdef0123456789ab";
  const shown = async (more: Record<string, string[]>, name = gone) => {
    const io = testIo();
    const options = {
      name: { namespace: undefined, name },
      output: "json",
      failOnProblems: false,
      timeoutSeconds: 5,
    } as const;
    await runVolumesShow({ flags: { ...flags, ...more }, env: {} }, options, io);
    return JSON.parse(io.written.out);
  };

  test("that neither side has looks for its file, and no volume is called so without one", async () => {
    await expect(shown(await kubernetes())).rejects.toThrow(`no volume is called "${gone}": the RDS`);
    await expect(shown({})).rejects.toThrow(`no volume is called "${gone}": the RDS`);
  });

  test("that neither side has is unknown, not without a file, while no pool is mounted", async () => {
    await stack.simulator.device.setPool("storage-pool", { mounted: false });
    expect(await shown(await kubernetes())).toMatchObject({
      handle: gone,
      rds: { disk: { state: "absent" }, file: { state: "unknown", reason: "no pool is mounted" } },
    });
  });

  test("whose file alone is left shows the file", async () => {
    const [, id = ""] = ids;
    await stack.simulator.device.removeDisk(id);
    const { rds, drift } = await shown(await kubernetes(), id);
    expect(rds).toMatchObject({ disk: { state: "absent" }, file: { state: "known" } });
    expect(drift).toMatchObject([
      { id: "file-left", remedy: expect.stringMatching(/\/disk add .*volumes orphans --delete /) },
    ]);
  });
});

test("a kubeconfig that does not parse shows nothing of its content, in text and in JSON", async () => {
  const path = join(world.dir, "broken");
  const secret = registerSecret("token of a broken kubeconfig", "CANARY-0123456789abcdef");
  await writeFile(path, `users:\n- user:\n    token: ${secret}\n   x: y\n`);
  for (const output of ["table", "json"] as const) {
    const more = { orchestrator: ["kubernetes"], kubeconfig: [path] };
    for (const { out } of [await show(output, more), await list(output, false, more)]) {
      emitted("broken-kubeconfig", out);
      expect(out).toContain("line 4: bad indentation of a mapping entry");
      expect(out).not.toContain(secret.slice(7, 17));
    }
  }
});

describe("volumes list", () => {
  test("with the API server down: the volumes of the RDS, and what is unknown", async () => {
    const cluster = await kubernetes();
    await world.api.down();
    const [text, json, strict] = [
      await list("table", false, cluster),
      await list("json", false, cluster),
      await list("table", true, cluster),
    ];
    await world.api.up();
    for (const id of ids) expect(text.out).toContain(id);
    expect(text.out).toMatch(
      /\nNot known:\nKubernetes: Kubernetes could not be asked to list persistentvolumes/,
    );
    expect(text.out).not.toContain("Problems:");
    expect(text.out).toContain("Check the API server and the network to it. Repeat the command.");
    expect(text.out + json.out).not.toMatch(REPETITION);
    const document = JSON.parse(json.out);
    expect(document.items.map(({ handle }: { handle: string }) => handle)).toEqual(ids.toSorted());
    expect(document.unknown).toEqual([
      {
        what: "Kubernetes",
        reason: expect.stringContaining("persistentvolumes"),
        remedy: expect.any(String),
      },
    ]);
    // A check that could not look has not passed.
    expect([text.code, json.code, strict.code]).toEqual([0, 0, 1]);
  });

  test("with the API server down and no cluster id configured, too", async () => {
    const { "cluster-id": _, ...others } = flags;
    const cluster = await kubernetes();
    flags = others;
    await world.api.down();
    const { code, out } = await list("table", false, cluster);
    await world.api.up();
    expect(code).toBe(0);
    for (const id of ids) expect(out).toContain(id);
  });

  test("a pool that is not mounted is one line that names it, however many volumes are on it", async () => {
    await stack.simulator.device.setPool("storage-pool", { mounted: false });
    const { out } = await list("table");
    const [problems] = (out.split("Problems:\n")[1] ?? "").split("\n\n");
    expect(problems).toBe(
      `!! pool-not-mounted: 2 volumes: Pool storage-pool is not mounted on the RDS: vms/plain, vms/${POPULATOR}`,
    );
    const { items } = JSON.parse((await list("json")).out);
    for (const item of items)
      expect(item).toMatchObject({ state: "broken", findings: [{ id: "pool-not-mounted" }] });
  });

  test("the claim of an imported disk is the cluster's present one, and no problem", async () => {
    const { code, out } = await list("json", true, await kubernetes());
    const items: { handle: string; pvc: object; problems: string[] }[] = JSON.parse(out).items;
    const imported = items.find(({ handle }) => handle === ids[0]);
    expect(imported).toMatchObject({ pvc: { namespace: "vms", name: "disk" }, problems: [], findings: [] });
    expect(code).toBe(0);
    const shown = JSON.parse((await show("json", await kubernetes())).out);
    expect(shown.drift).toEqual([]);
    expect(shown.kubernetes.persistentVolume.value.claim).toMatchObject({ name: "disk" });
    // Without the cluster the record's claim is all that is known.
    const alone: typeof items = JSON.parse((await list("json")).out).items;
    expect(alone.find(({ handle }) => handle === ids[0])?.pvc).toEqual({ namespace: "vms", name: POPULATOR });
  });

  test("a PersistentVolume whose volume the RDS does not have is listed as missing", async () => {
    world.api.apply(persistentVolume("pv-lost", "csi-0123456789abcdef0123456789ab"));
    const { code, out } = await list("table", true, await kubernetes());
    expect(code).toBe(3);
    expect(out).toMatch(/\nmissing +!! +- +vms\/claim-pv-lost +- +- +csi-0123456789abcdef0123456789ab\n/);
    expect(out).toContain(
      "PersistentVolume pv-lost names csi-0123456789abcdef0123456789ab, which is not on the RDS",
    );
  });
});
