import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ManualClock } from "../../../test/support/clock.ts";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import {
  DRIVER,
  persistentVolume,
  recordingLogger,
  startWorld,
  type World,
} from "../../../test/support/kubernetes/world.ts";
import { BLOCK, MIB, type Stack, startStack } from "../../../test/support/rds-stack.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { decodeRecord } from "../../domain/record/record-codec.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { parseVolumeNqn } from "../../nvme/nqn.ts";
import { RecordKeeper } from "../../records/keeper.ts";
import { testIo } from "../cli.fixture.ts";
import { ExitCode } from "../exit-codes.ts";
import { runVolumesRecord } from "./record.ts";

const NAMESPACE = "rds-csi";
const PV = "pvc-0a1b2c3d-0000-4000-8000-000000000001";
let stack: Stack;
let world: World;
let id: VolumeId;
let kubeconfig: string;
let onOut: (text: string) => void;
let meanwhile: Promise<void> | undefined;
beforeEach(async () => {
  onOut = () => {};
  meanwhile = undefined;
  stack = await startStack({ clusterId: CLUSTER_UID });
  world = await startWorld();
  kubeconfig = await world.api.writeKubeconfig(join(world.dir, "admin"));
  const created = await stack.volumes.create({
    name: PV,
    range: { requiredBytes: MIB, limitBytes: 0n },
    capabilities: [BLOCK],
    parameters: {
      migrationTimeoutSeconds: "900",
      "csi.storage.k8s.io/pvc/namespace": "vms",
      "csi.storage.k8s.io/pvc/name": "disk",
    },
    mutableParameters: {},
    source: undefined,
    signal: stack.signal,
  });
  id = created.id;
  const claim = { namespace: "vms", name: "disk", uid: "uid-disk" };
  world.api.apply(persistentVolume(PV, id, { claim }));
  world.api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "rds" },
    provisioner: DRIVER,
    parameters: { migrationTimeoutSeconds: "900" },
  });
});
afterEach(async () => {
  await world.stop();
  await stack.close();
});

const disk = () => {
  const found = stack.simulator.device.disks.find(({ slot }) => slot === id);
  if (found === undefined) throw new Error("the disk is gone");
  return found;
};
const record = () => {
  const decoded = decodeRecord(disk().comment);
  if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
  return decoded.record;
};
const setComment = (comment: string) => stack.simulator.device.setDisk(id, { comment });
const damage = () => setComment(disk().comment.replace(/;t=\d+/, ""));

/** Attaches as Kubernetes does: the call, then the VolumeAttachment with what it answered. */
async function attach(node: string): Promise<void> {
  const context = await stack.attachments.publish({
    volumeId: id,
    nodeId: node,
    capability: BLOCK,
    readonly: false,
    signal: stack.signal,
  });
  world.api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: `csi-${node}` },
    spec: { attacher: DRIVER, nodeName: node, source: { persistentVolumeName: PV } },
    status: {
      attached: true,
      attachmentMetadata: { nqn: context.nqn, hostNqn: context.hostNqn, port: "4420" },
    },
  });
}
async function detach(node: string): Promise<void> {
  await stack.attachments.unpublish(id, node, stack.signal);
  world.api.delete("VolumeAttachment", `csi-${node}`);
}

/** The controller keeps its copies. */
async function keep(): Promise<void> {
  const { shards } = await world.client();
  const store = shards(NAMESPACE, "rds-csi-records");
  const keeper = new RecordKeeper({ store, clock: new ManualClock(), logger: recordingLogger([]) });
  await keeper.keep(await stack.rds.list(stack.signal), stack.signal);
}

async function run(
  ...args: ("--restore" | "--rebuild" | "--yes" | "--replace-readable" | "alone" | "json")[]
) {
  const written = { out: "" };
  const io = testIo({
    out: (text) => {
      written.out += text;
      onOut(text);
    },
  });
  const { host, port, hostKeyFingerprints } = stack.simulator;
  const flags: Record<string, string[]> = {
    "rds-address": [`${host}:${port}`],
    "rds-key-file": [stack.keyFile],
    "rds-host-key": [...hostKeyFingerprints],
    "lease-namespace": [NAMESPACE],
    ...(args.includes("alone")
      ? { "cluster-id": [CLUSTER_UID] }
      : { orchestrator: ["kubernetes"], kubeconfig: [kubeconfig] }),
  };
  const options = {
    name: { namespace: undefined, name: id },
    output: args.includes("json") ? "json" : "text",
    action: args.includes("--restore") ? "restore" : args.includes("--rebuild") ? "rebuild" : undefined,
    yes: args.includes("--yes"),
    replaceReadable: args.includes("--replace-readable"),
    timeoutSeconds: 20,
  } as const;
  try {
    const code = await runVolumesRecord({ flags, env: {} }, options, io);
    return { code, out: written.out };
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return { code: ExitCode.failure, out: written.out, error: error.summary };
  }
}
const kept = (reason: string) => `the record of volume ${id} is left as it is: ${reason}`;

describe("volumes record", () => {
  test("shows comment, record and copy; of a damaged one also the way back, with exit code 3", async () => {
    await attach("node-a");
    await keep();
    const { comment } = disk();
    const well = await run();
    expect(well.code).toBe(ExitCode.ok);
    expect(well.out).toContain(comment);
    expect(well.out).toMatch(/epoch +1\n/);
    expect(well.out).toMatch(/attached +node-a since /);
    expect(well.out).toMatch(/copy +the same, since /);
    await damage();
    const damaged = await run();
    expect(damaged.code).toBe(ExitCode.problems);
    expect(damaged.out).toContain("its record cannot be read: field t is missing");
    expect(damaged.out).toContain(`: ${comment}\n`);
    expect(damaged.out).toContain(`rds-csi volumes record ${id} --restore`);
    expect(damaged.out).not.toContain("--orchestrator");
    const { out } = await run("json");
    expect(JSON.parse(out)).toMatchObject({ handle: id, record: null, copy: { comment, highestEpoch: 1 } });
  });

  test("without a cluster it shows the record, and says what it lacks", async () => {
    const shown = await run("alone");
    expect(shown.code).toBe(ExitCode.ok);
    expect(shown.out).toMatch(/copy +not known: --orchestrator is none/);
    await damage();
    const { out } = await run("alone");
    expect(out).toContain(`rds-csi volumes record ${id} --restore`);
    expect(out).toContain("add --orchestrator kubernetes (and --kubeconfig)");
    expect((await run("alone", "--restore")).error).toStartWith(kept("copies, PersistentVolumes"));
  });

  test("control characters in a comment are written as escapes", async () => {
    await setComment("rds1;\u001b[2Jx");
    const { out } = await run();
    expect(out).not.toContain("\u001b");
    expect(out).toContain("\\u{1b}[2Jx");
  });
});

describe("volumes record --restore", () => {
  test("shows a plan and changes nothing; with --yes the running attachment has its record again", async () => {
    await attach("node-a");
    await keep();
    const before = structuredClone(disk());
    await damage();
    const damaged = structuredClone(disk());
    const plan = await run("--restore");
    expect(plan.code).toBe(ExitCode.ok);
    expect(plan.out).toContain(`old comment  ${damaged.comment}\n`);
    expect(plan.out).toContain(`new comment  ${before.comment}\n`);
    expect(plan.out).toContain("Nothing was changed.");
    expect(disk()).toEqual(damaged);
    expect((await run("--restore", "--yes")).code).toBe(ExitCode.ok);
    expect(disk()).toEqual(before);
    // The driver goes on where it was: the node keeps its NQN, and can be detached.
    await attach("node-a");
    expect({ ...disk(), comment: before.comment }).toEqual(before);
    await detach("node-a");
    expect(disk().exported).toBe(false);
  });

  test("replaces the record of another volume, which somebody has put into its place", async () => {
    await keep();
    const { name } = record();
    await setComment(`rds1;n=pvc-other;c=${record().cluster};t=1`);
    await expect(attach("node-a")).rejects.toMatchObject({ id: "recordUnusable" });
    expect((await run("--restore", "--yes")).code).toBe(ExitCode.ok);
    expect(record().name).toBe(name);
  });

  test("of an unattached volume never leads to an epoch that was used: attachments after the copy left their NQN", async () => {
    await attach("node-a");
    await detach("node-a");
    await keep();
    await attach("node-b");
    const used = disk().nqn;
    await detach("node-b");
    await damage();
    expect((await run("--restore", "--yes")).code).toBe(ExitCode.ok);
    expect(record()).toMatchObject({ epoch: 3, attachments: [] });
    await attach("node-a");
    expect(disk().nqn).toMatch(/\.4-[0-9a-f]{8}$/);
    expect(disk().nqn).not.toBe(used);
  });

  test("where the item has lost its NQN, the epoch is one that no number of attachments can have reached", async () => {
    await attach("node-a");
    await detach("node-a");
    await keep();
    await damage();
    await stack.simulator.device.setDisk(id, { "nvme-tcp-server-nqn": "" });
    expect((await run("--restore", "--yes")).code).toBe(ExitCode.ok);
    expect(record().epoch).toBeGreaterThan(170_000_000);
    await attach("node-a");
    expect(parseVolumeNqn("nqn.2000-02.com.mikrotik", disk().nqn)?.epoch).toBe(record().epoch);
  });

  test("is refused where the copy attaches another node than Kubernetes", async () => {
    await attach("node-a");
    await keep();
    await detach("node-a");
    await attach("node-b");
    await damage();
    const damaged = structuredClone(disk());
    const refused = await run("--restore", "--yes");
    expect(refused.code).toBe(ExitCode.failure);
    expect(refused.error).toContain(
      "attaches node-a, the VolumeAttachments node-b; --rebuild goes by the VolumeAttachments",
    );
    expect(disk()).toEqual(damaged);
  });

  test("is refused where there is no copy", async () => {
    await damage();
    expect((await run("--restore")).error).toBe(
      kept("there is no copy of it; --rebuild makes one from the PersistentVolume"),
    );
  });

  test("acts only on the comment that it has shown", async () => {
    await keep();
    await damage();
    const others = `${disk().comment};zz=1`;
    // Somebody else writes between the look and the write.
    onOut = (text) => {
      if (text.includes("new comment")) meanwhile = setComment(others);
    };
    const refused = await run("--restore", "--yes");
    await meanwhile;
    expect(refused.error).toBe(kept("its comment is not the one any more that is shown above"));
    expect(disk().comment).toBe(others);
  });
});

describe("volumes record --rebuild", () => {
  test("without a copy: name, claim, settings and the running attachment come from the cluster", async () => {
    await attach("node-a");
    const before = structuredClone(disk());
    const { createdAt: _, attachments, ...was } = record();
    await damage();
    expect((await run("--rebuild")).out).toContain("Settings from StorageClass rds, as it is today");
    expect((await run("--rebuild", "--yes")).code).toBe(ExitCode.ok);
    const { createdAt: __, attachments: now, ...is } = record();
    expect({ ...is, filesystem: was.filesystem }).toEqual(was);
    expect(now.map(({ node, hostNqn }) => [node, hostNqn])).toEqual(
      attachments.map(({ node, hostNqn }) => [node, hostNqn]),
    );
    const { exported, nqn } = disk();
    expect({ exported, nqn }).toEqual({ exported: before.exported, nqn: before.nqn });
    await detach("node-a");
    expect(disk().exported).toBe(false);
  });

  test("with a copy that is too old: who has it comes from the VolumeAttachments", async () => {
    await attach("node-a");
    await keep();
    await detach("node-a");
    await attach("node-b");
    const { nqn } = disk();
    await setComment("");
    expect((await run("--rebuild", "--yes")).code).toBe(ExitCode.ok);
    expect(record()).toMatchObject({ epoch: 2, attachments: [{ node: "node-b" }] });
    expect(disk()).toMatchObject({ nqn, exported: true });
  });

  test("a volume that nobody has gets an epoch that was never used, and is never taken for new", async () => {
    await attach("node-a");
    await detach("node-a");
    await setComment("");
    expect((await run("--rebuild", "--yes")).code).toBe(ExitCode.ok);
    expect(record()).toMatchObject({ epoch: 2, attachments: [] });
    await attach("node-a");
    expect(disk().nqn).toMatch(/\.3-[0-9a-f]{8}$/);
  });

  test("a node that was told another NQN than the item has keeps it from being rebuilt", async () => {
    await attach("node-a");
    await damage();
    await stack.simulator.device.setDisk(id, { "nvme-tcp-server-nqn": `nqn.2000-02.com.mikrotik:${id}.9` });
    const refused = await run("--rebuild", "--yes");
    expect(refused.error).toStartWith(kept(`node-a was told NQN nqn.2000-02.com.mikrotik:${id}.1-`));
  });

  test("is refused without a PersistentVolume, and with several", async () => {
    await damage();
    world.api.apply(persistentVolume("other", id));
    expect((await run("--rebuild", "--yes")).error).toBe(
      kept(`PersistentVolumes ${["other", PV].join(" and ")} name it`),
    );
    for (const name of ["other", PV]) world.api.delete("PersistentVolume", name);
    expect((await run("--rebuild", "--yes")).error).toBe(
      kept("no PersistentVolume of this cluster names it"),
    );
  });
});

describe("what must not be broken at three in the morning", () => {
  test("a record that can be read is replaced only if that is asked for by name", async () => {
    await attach("node-a");
    await keep();
    const before = structuredClone(disk());
    for (const action of ["--restore", "--rebuild"] as const)
      expect((await run(action, "--yes")).error).toBe(
        kept("it can be read; --replace-readable replaces it all the same"),
      );
    expect(disk()).toEqual(before);
    const same = await run("--restore", "--yes", "--replace-readable");
    expect(same.out).toContain("nothing to do");
    expect(disk()).toEqual(before);
  });

  for (const [what, change, reason] of [
    ["of another cluster", (c: string) => c.replace(CLUSTER_UID, "other"), "it belongs to cluster other"],
    [
      "of a newer driver",
      (c: string) => c.replace("rds1;", "rds3;"),
      "it is of version 3, which a newer driver wrote",
    ],
  ] as const) {
    test(`a record ${what} is never replaced`, async () => {
      await keep();
      await setComment(change(disk().comment));
      const before = structuredClone(disk());
      for (const action of ["--restore", "--rebuild"] as const)
        expect((await run(action, "--yes", "--replace-readable")).error).toStartWith(kept(reason));
      expect(disk()).toEqual(before);
    });
  }

  test("a cluster that cannot be read is not one without VolumeAttachments", async () => {
    await attach("node-a");
    await keep();
    await damage();
    const damaged = structuredClone(disk());
    world.api.rules = [
      {
        verbs: ["get", "list"],
        apiGroups: ["", "storage.k8s.io"],
        resources: ["namespaces", "persistentvolumes", "configmaps", "storageclasses"],
      },
    ];
    for (const action of ["--restore", "--rebuild"] as const)
      expect((await run(action, "--yes")).error).toContain("may not list volumeattachments");
    expect(disk()).toEqual(damaged);
  });
});
