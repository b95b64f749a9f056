import { describe, expect, test } from "bun:test";
import { EARLIER_FOLDER, earlierNqn } from "../../../test/support/earlier-commands.ts";
import { GIB, MIB } from "../../../test/support/rds-stack.ts";
import { wholeState } from "../../../test/support/simulator-state.ts";
import { ExitCode } from "../exit-codes.ts";
import { earlierId, RWO_MOUNT, type Swap, useSwap } from "./adopt.fixture.ts";

const start = useSwap();
const [A, B, C] = [earlierId(1), earlierId(2), earlierId(3)];
const HOST = "nqn.2014-08.org.nvmexpress:uuid:of-the-earlier-driver";
const diskOf = ({ on }: Swap, id: string) => structuredClone(on.simulator.device.disk(id));
/** Everything on the RDS. */
const all = ({ on }: Swap) => structuredClone(on.simulator.device.disks);

describe("a volume of the earlier driver that is not adopted", () => {
  test("is refused to each call, which names the command, and stays as it is", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.earlier.connect(A, HOST);
    const before = all(swap);
    const { volumes, attachments, expansions } = swap.on;
    const { signal } = swap.on;
    const range = { requiredBytes: 2n * GIB, limitBytes: 0n };
    for (const call of [
      () => swap.publish(A, "node-b", RWO_MOUNT),
      () => attachments.unpublish(A, "node-a", signal),
      () => expansions.expand({ volumeId: A, range, capability: undefined, signal }),
      () => volumes.delete(A, signal),
      () => volumes.getVolume(A, signal),
    ]) {
      const error = await call().then(
        () => undefined,
        (thrown) => thrown,
      );
      expect(error?.id).toBe("volumeNotAdopted");
      expect(error?.message).toContain("rds-csi volumes adopt NAME");
    }
    expect(all(swap)).toEqual(before);
    expect(swap.earlier.connected(A)).toEqual([HOST]);
  });
});

describe("volumes adopt", () => {
  test("shows a plan and changes nothing without --yes", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    swap.va(A, "node-a");
    const before = await wholeState(swap.on.simulator.device);
    const { code, out } = await swap.adopt("vms/disk-01");
    expect(code).toBe(ExitCode.ok);
    for (const line of [
      `Volume ${A}\n`,
      "claim             vms/disk-01\n",
      `file              ${EARLIER_FOLDER}/${A}.img\n`,
      `export            is on as ${earlierNqn(A)}, port 4420; stays\n`,
      "mount-filesystem  is yes, becomes no\n",
      "old comment       (empty)\n",
      `new comment       rds1;n=${A};`,
      "- Attached to node-a, which keeps its connection",
      "1 volume to adopt; 0 left alone; 0 adopted before.\n",
      "Nothing was changed.",
    ])
      expect(out).toContain(line);
    expect(out).not.toMatch(/Its export is off|live migration/);
    expect(await wholeState(swap.on.simulator.device)).toEqual(before);
  });

  test("of a volume that a node has writes the record and mount-filesystem alone, and the node keeps its connection", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.earlier.connect(A, HOST);
    swap.pv(A);
    swap.va(A, "node-a");
    swap.pod(A, "node-a");
    const before = diskOf(swap, A);
    const { code, out } = await swap.adopt(A, true);
    expect([code, out]).toEqual([ExitCode.ok, expect.stringContaining(`Volume ${A} is adopted.\n`)]);
    const now = diskOf(swap, A);
    expect(now).toEqual({ ...before, comment: now?.comment, mountFilesystem: false } as never);
    expect(swap.record(A)).toMatchObject({
      name: A,
      claim: { namespace: "vms", name: "disk-01" },
      filesystem: "ext4",
      exportName: { nqn: earlierNqn(A), port: 4420, hosts: false },
      attachments: [{ node: "node-a", accessMode: "SINGLE_NODE_MULTI_WRITER", accessType: "mount" }],
      settings: { migrationTimeoutSeconds: 600, ctrlLossTmo: -1, reconnectDelay: 5, keepAliveTmo: 5 },
    });
    expect(swap.earlier.connected(A)).toEqual([HOST]);
    expect(swap.on.simulator.device.hosts.dropped).toBe(0);
    expect((await swap.adopt(A, true)).out).toContain("has its record already");
  });

  test("of a volume that no node has switches its export off, as nobody is to have it", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    const { out } = await swap.adopt(A, true);
    expect(out).toContain("port 4420; goes off\n");
    expect(out).toContain("- No node has it: no VolumeAttachment and no running pod says so.");
    expect(diskOf(swap, A)).toMatchObject({ exported: false, mountFilesystem: false });
    expect(swap.record(A).attachments).toEqual([]);
    expect(swap.earlier.connect(A, HOST)).toBe(false);
  });

  test("of a volume without filesystem type takes ext4, as the earlier driver did; an export that is off is told", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A, { fsType: "" });
    swap.va(A, "node-a");
    await swap.on.simulator.device.setDisk(A, { "nvme-tcp-export": false });
    const { out } = await swap.adopt(A, true);
    expect(out).toContain("- Its export is off; the controller switches it on within a minute");
    expect(swap.record(A)).toMatchObject({ filesystem: "ext4", attachments: [{ node: "node-a" }] });
  });

  test("--all takes those that a PersistentVolume names, and touches nothing else", async () => {
    const swap = await start();
    for (const id of [A, B, C]) await swap.earlier.create(id, GIB);
    const { device } = swap.on.simulator;
    const snapshot = `snap-${A.slice(4)}-at-0123456789`;
    await swap.earlier.snapshot(snapshot, A);
    await device.setDisk(snapshot, { "nvme-tcp-export": false });
    swap.pv(A);
    swap.pv(B);
    await device.setDisk(B, { comment: "rds1;n=b;c=another;t=1" });
    const others = () => all(swap).filter(({ slot }) => slot !== A);
    const before = others();
    const { code, out } = await swap.adopt("--all", true);
    expect(code).toBe(ExitCode.ok);
    expect(out).toContain(`Volume ${C} is left alone\n- No PersistentVolume of this cluster names it`);
    expect(out).toContain(
      "1 volume to adopt; 1 left alone; 0 adopted before; 1 snapshot of the earlier driver",
    );
    expect(swap.record(A).name).toBe(A);
    expect(others()).toEqual(before);
    expect((await swap.adopt("--all", true)).out).toContain(
      "0 volumes to adopt; 1 left alone; 1 adopted before",
    );
  });

  test("tells of a volume that is smaller than its PersistentVolume, and an expansion of more mends it", async () => {
    const swap = await start();
    // It rounds down to 1 GiB.
    await swap.earlier.create(A, 1536n * MIB);
    expect(diskOf(swap, A)?.size).toBe(GIB);
    swap.pv(A, { capacity: "1536Mi" });
    const { out } = await swap.adopt(A, true);
    expect(out).toContain("is smaller than PersistentVolume");
    expect(out).toContain('"storage":"3Gi"');
    const { expansions, signal } = swap.on;
    const range = { requiredBytes: 3n * GIB, limitBytes: 0n };
    await expansions.expand({ volumeId: A, range, capability: RWO_MOUNT, signal });
    expect(diskOf(swap, A)?.size).toBe(3n * GIB);
  });

  test("takes two nodes of a live migration in the order in which they came", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A, { mode: "Block", accessMode: "ReadWriteMany" });
    swap.va(A, "node-a", { at: "2026-02-01T00:10:00Z" });
    swap.va(A, "node-b", { at: "2026-02-01T00:00:00Z" });
    const { code, out } = await swap.adopt(A, true);
    expect(code).toBe(ExitCode.ok);
    expect(out).toContain("- A live migration is under way; its time of 600 s begins now.\n");
    const { attachments, migration } = swap.record(A);
    expect(attachments.map(({ node }) => node)).toEqual(["node-b", "node-a"]);
    expect(migration).toMatchObject({ timeoutSeconds: 600 });
  });

  test("writes nothing once a VolumeAttachment has changed since the plan was shown", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    const before = diskOf(swap, A);
    const { code, out } = await swap.adopt(A, true, (text) => {
      if (!text.startsWith("Volume")) return;
      swap.va(A, "node-a");
      // The list of VolumeAttachments is older than a second then.
      Bun.sleepSync(1_100);
    });
    expect(code).toBe(ExitCode.problems);
    expect(out).toContain("was attached, detached or changed since the plan was shown");
    expect(diskOf(swap, A)).toEqual(before);
  });

  test("writes nothing once another PersistentVolume names the volume, through which a node may have it", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    const before = diskOf(swap, A);
    const { code, out } = await swap.adopt(A, true, (text) => {
      if (!text.startsWith("Volume")) return;
      swap.pv(A, { name: "another" });
      Bun.sleepSync(1_100);
    });
    expect([code, out]).toEqual([
      ExitCode.problems,
      expect.stringContaining("PersistentVolumes another and"),
    ]);
    expect(diskOf(swap, A)).toEqual(before);
  });

  test("writes nothing over a record that came meanwhile", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    const comment = "a note of somebody";
    const { code, out } = await swap.adopt(A, true, () => {
      void swap.on.simulator.device.setDisk(A, { comment });
    });
    expect([code, out]).toEqual([
      ExitCode.problems,
      expect.stringContaining("changed since the plan was shown"),
    ]);
    expect(diskOf(swap, A)?.comment).toBe(comment);
  });
});

test("the cluster id of another cluster is refused: its volumes would be orphans there", async () => {
  const swap = await start();
  await swap.earlier.create(A, GIB);
  swap.pv(A);
  const before = all(swap);
  const other = "0f4c3d1e-5b7a-4c7e-9d55-2f1f6a1f9a11";
  const { code, error } = await swap.adopt(A, true, undefined, other);
  expect([code, error]).toEqual([
    ExitCode.failure,
    expect.stringContaining(`the cluster id is ${other}, and the cluster that was asked has the UID`),
  ]);
  expect(all(swap)).toEqual(before);
});

describe("volumes adopt refuses, and changes nothing, where", () => {
  const cases: [string, (swap: Swap) => Promise<void> | void, string][] = [
    ["no PersistentVolume names the volume", () => {}, "no PersistentVolume of this cluster names it"],
    [
      "a pod uses it on a node without VolumeAttachment",
      (swap) => {
        swap.pv(A);
        swap.pod(A, "node-b");
      },
      "pod vms/pod-01 uses it on node node-b, which has no VolumeAttachment",
    ],
    [
      "two nodes have a volume that one may have",
      (swap) => {
        swap.pv(A);
        for (const node of ["node-a", "node-b"]) swap.va(A, node);
      },
      "nodes node-a, node-b have VolumeAttachments for it at the same time, and one node may have it",
    ],
    [
      "three nodes have a shared one",
      (swap) => {
        swap.pv(A, { mode: "Block", accessMode: "ReadWriteMany" });
        for (const node of ["node-a", "node-b", "node-c"]) swap.va(A, node);
      },
      "and two nodes may have it",
    ],
    [
      "its node was told another NQN",
      (swap) => {
        swap.pv(A);
        swap.va(A, "node-a", {
          status: { attached: true, attachmentMetadata: { nqn: `${earlierNqn(A)}.4` } },
        });
      },
      `node node-a was told NQN ${earlierNqn(A)}.4, and the item has ${earlierNqn(A)}`,
    ],
    ["its filesystem is ext3", (swap) => swap.pv(A, { fsType: "ext3" }), "has the filesystem ext3"],
    [
      "its export has another name",
      async (swap) => {
        swap.pv(A);
        await swap.on.simulator.device.setDisk(A, { "nvme-tcp-server-nqn": "nqn.2020-01.org.example:x" });
      },
      "it is exported as nqn.2020-01.org.example:x",
    ],
    [
      "its NQN is of an attachment by this driver",
      async (swap) => {
        swap.pv(A);
        await swap.on.simulator.device.setDisk(A, { "nvme-tcp-server-nqn": `${earlierNqn(A)}.7-0011aabb` });
      },
      "is of an attachment by this driver",
    ],
    [
      "a snapshot of the earlier driver is exported under its NQN",
      async (swap) => {
        swap.pv(A);
        await swap.earlier.snapshot("snap-1", A);
      },
      `disk snap-1 is exported under the same NQN ${earlierNqn(A)}`,
    ],
    [
      "a disk that a person made is exported under its NQN",
      async (swap) => {
        swap.pv(A);
        const { device } = swap.on.simulator;
        await device.addForeignDisk({ slot: "backup", path: "storage-pool/backup.img", size: MIB });
        const export_ = { "nvme-tcp-server-nqn": earlierNqn(A), "nvme-tcp-export": true };
        await device.setDisk("backup", export_);
      },
      `disk backup is exported under the same NQN ${earlierNqn(A)}`,
    ],
    [
      "two PersistentVolumes name it",
      (swap) => {
        swap.pv(A);
        swap.pv(A, { name: "another" });
      },
      "name it",
    ],
  ];
  test.each(cases)("%s", async (_, arrange, reason) => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    await arrange(swap);
    const before = all(swap);
    const { code, error } = await swap.adopt(A, true);
    expect([code, error]).toEqual([ExitCode.failure, expect.stringContaining(reason)]);
    expect(all(swap)).toEqual(before);
  });
});
