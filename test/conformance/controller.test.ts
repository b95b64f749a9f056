import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Controller, Node, ControllerServiceCapability_RPC_Type as Rpc } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { commandsOfCalls } from "../support/commands-of-calls.ts";
import { block, codeOf, GIB, MIB, Mode, mount, nameOf, outcome } from "../support/rpc.ts";
import { created, missing, stand, UNKNOWN, useController } from "./controller.fixture.ts";

// What csi-sanity does not ask of a controller: the exact code and message of each RPC and condition, over a real socket.

useController();

describe("CreateVolume", () => {
  const ask = (over: object) =>
    outcome(
      stand.controller.createVolume({
        name: "refused",
        capacityRange: { requiredBytes: 8n * MIB },
        volumeCapabilities: [block()],
        ...over,
      }),
    );

  test("required fields in the order of the specification, before anything is asked of the RDS", async () => {
    const sent = await commandsOfCalls(stand, async () => {
      expect(await ask({ name: "", volumeCapabilities: [] })).toBe(missing("name"));
      expect(await ask({ volumeCapabilities: [] })).toBe(missing("volume_capabilities"));
      expect(await ask({ volumeCapabilities: [{ accessMode: { mode: Mode.SINGLE_NODE_WRITER } }] })).toBe(
        "INVALID_ARGUMENT: volume_capabilities[0].access_type is invalid: neither block nor mount is set. Correct the field and repeat the call.",
      );
      expect(await ask({ volumeCapabilities: [block(), { accessType: { case: "block", value: {} } }] })).toBe(
        missing("volume_capabilities[1].access_mode"),
      );
      expect(await ask({ volumeCapabilities: [block(Mode.UNKNOWN)] })).toBe(
        "INVALID_ARGUMENT: volume_capabilities[0].access_mode.mode is invalid: UNKNOWN is not an access mode. Correct the field and repeat the call.",
      );
    });
    expect(sent).toEqual([]);
  });

  const conditions: readonly [string, object, string][] = [
    [
      "every capability counts, not only the first",
      { volumeCapabilities: [block(), mount(Mode.MULTI_NODE_MULTI_WRITER)] },
      "INVALID_ARGUMENT: ReadWriteMany with volumeMode: Filesystem is refused: an ext4 or XFS filesystem mounted by two nodes is destroyed. Set volumeMode: Block (for KubeVirt live migration), or use ReadWriteOnce.",
    ],
    [
      "ReadOnlyMany",
      { volumeCapabilities: [block(Mode.MULTI_NODE_READER_ONLY)] },
      "INVALID_ARGUMENT: access mode MULTI_NODE_READER_ONLY is refused: a volume is on one node at a time, on two only while a virtual machine migrates. For readers on one node use ReadWriteOnce, and readOnly: true in the pods. For readers on several nodes give each a volume of its own with a copy of the data, or let one pod serve the data (NFS, HTTP).",
    ],
    [
      "an unknown filesystem",
      { volumeCapabilities: [mount(Mode.SINGLE_NODE_WRITER, "zfs")] },
      'INVALID_ARGUMENT: volume capability is not supported: filesystem "zfs" (supported: ext4, xfs). Use ReadWriteOnce or ReadWriteOncePod, or ReadWriteMany with volumeMode: Block.',
    ],
    [
      "a negative size",
      { capacityRange: { requiredBytes: -1n } },
      "INVALID_ARGUMENT: capacity_range.required_bytes is invalid: -1 is negative. Correct the field and repeat the call.",
    ],
    [
      "a limit below what is required",
      { capacityRange: { requiredBytes: 2n * GIB, limitBytes: GIB } },
      "OUT_OF_RANGE: capacity range required_bytes=2147483648 limit_bytes=1073741824 cannot be met: limit_bytes is below required_bytes. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
    [
      "no multiple of 1 MiB inside the range",
      { capacityRange: { requiredBytes: MIB + 1n, limitBytes: MIB + 2n } },
      "OUT_OF_RANGE: capacity range required_bytes=1048577 limit_bytes=1048578 cannot be met: the smallest size that satisfies required_bytes is 2097152 bytes. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
    [
      "more than the pool has in all",
      { capacityRange: { requiredBytes: 8n * GIB }, parameters: { pool: "small" } },
      "OUT_OF_RANGE: capacity range required_bytes=8589934592 limit_bytes=0 cannot be met: pool small has 2147483648 bytes in all. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
    [
      "a snapshot that does not exist",
      { volumeContentSource: { type: { case: "snapshot", value: { snapshotId: "snap-1" } } } },
      'NOT_FOUND: snapshot "snap-1" does not exist on the RDS. Check the snapshot handle; `rds-csi snapshots list` shows what exists.',
    ],
    [
      "a source without a kind",
      { volumeContentSource: {} },
      "INVALID_ARGUMENT: volume_content_source of kind unknown is not supported by this version. Create an empty volume and copy the data, or use a version that supports it.",
    ],
    [
      "a pool that does not exist",
      { parameters: { pool: "nope" } },
      'INVALID_ARGUMENT: pool "nope" does not exist on the RDS. Set the StorageClass parameter pool (or --pool) to the slot of a mounted disk, RAID or Btrfs pool.',
    ],
    [
      "a deadline for migrations outside 30 to 3600",
      { parameters: { migrationTimeoutSeconds: "29" } },
      `INVALID_ARGUMENT: StorageClass parameter migrationTimeoutSeconds="29" is invalid: expected a whole number of seconds, 30-3600 (default 300), or auto (KubeVirt's own deadline for the VirtualMachineInstance). Correct the parameter; a StorageClass is changed by creating it anew.`,
    ],
    [
      "mutable parameters win over parameters",
      { parameters: { migrationGuard: "off" }, mutableParameters: { migrationGuard: "maybe" } },
      'INVALID_ARGUMENT: VolumeAttributesClass parameter migrationGuard="maybe" is invalid: expected enforce, warn or off (default enforce); nothing was changed. Name a VolumeAttributesClass with another value in the claim; a class is changed by creating another one.',
    ],
    [
      "a mutable parameter that is fixed",
      { mutableParameters: { pool: "small" } },
      'INVALID_ARGUMENT: VolumeAttributesClass parameter "pool" is fixed when a volume is made (can be changed: migrationTimeoutSeconds, migrationGuard, ctrlLossTmo, reconnectDelay, keepAliveTmo, fastIoFailTmo, nrIoQueues, queueSize); nothing was changed. Name a VolumeAttributesClass without this parameter in the claim; fixed parameters belong into the StorageClass.',
    ],
    [
      "a map above 4 KiB",
      { parameters: { a: "x".repeat(4096) } },
      "INVALID_ARGUMENT: parameters is 4097 bytes long, the limit is 4096 bytes. Use a shorter value.",
    ],
  ];
  for (const [name, over, message] of conditions) {
    test(name, async () => {
      expect(await ask(over)).toBe(message);
    });
  }

  test("an unknown parameter: named, with those that exist", async () => {
    expect(await ask({ parameters: { Pool: "x" } })).toMatch(
      /^INVALID_ARGUMENT: StorageClass parameter "Pool" is unknown \(known: pool, [A-Za-z, ]+\)\. /,
    );
  });

  test("what was refused has left nothing", async () => {
    expect((await stand.control.state()).disks.map(({ slot }) => slot)).not.toContain(
      volumeIdFromName("refused"),
    );
  });

  test("full: RESOURCE_EXHAUSTED with what there is and what it needs", async () => {
    const answer = await ask({
      name: "full",
      capacityRange: { requiredBytes: GIB + GIB / 2n },
      parameters: { pool: "small" },
    });
    expect(answer).toMatch(
      /^RESOURCE_EXHAUSTED: pool small has \S+[MG]i left for volumes by the driver's own count, 1\.5Gi are needed; .*Delete unused volumes/,
    );
  });

  test("a repeat is the same volume; other size, limit, parameters are ALREADY_EXISTS naming the difference", async () => {
    const request = {
      name: "again",
      capacityRange: { requiredBytes: 8n * MIB + 1n },
      volumeCapabilities: [mount(), block()],
      parameters: { "csi.storage.k8s.io/pvc/name": "claim", "csi.storage.k8s.io/pvc/namespace": "ns" },
    };
    const first = await stand.controller.createVolume(request);
    expect(first.volume).toMatchObject({ volumeId: volumeIdFromName("again"), capacityBytes: 16n * MIB });
    expect(await stand.controller.createVolume(request)).toEqual(first);
    expect(await stand.controller.createVolume({ ...request, capacityRange: undefined as never })).toEqual(
      first,
    );
    const prefix = 'ALREADY_EXISTS: a volume with name "again" exists with other properties:';
    const remedy = "Delete that volume first, or use another name.";
    expect(
      await outcome(stand.controller.createVolume({ ...request, capacityRange: { requiredBytes: GIB } })),
    ).toBe(
      `${prefix} its size is 16777216 bytes, asked for required_bytes=1073741824 limit_bytes=0. ${remedy}`,
    );
    expect(
      await outcome(stand.controller.createVolume({ ...request, parameters: { ctrlLossTmo: "600" } })),
    ).toBe(`${prefix} its ctrlLossTmo is -1, asked for 600. ${remedy}`);
    expect(
      await outcome(stand.controller.createVolume({ ...request, parameters: { pool: "small" } })),
    ).toStartWith(`${prefix} its file is storage-pool/csi/`);
  });
});

describe("ControllerModifyVolume", () => {
  test("missing id, unknown volume, map too large, then the settings, however often it is repeated", async () => {
    const volumeId = await created("modify");
    const ask = (over: object) =>
      outcome(stand.controller.controllerModifyVolume({ volumeId, mutableParameters: {}, ...over }));
    expect(await ask({ volumeId: "" })).toBe(missing("volume_id"));
    for (const id of [UNKNOWN, "../../etc"])
      expect(await ask({ volumeId: id, mutableParameters: { XXX_FakeKey: "x" } })).toStartWith("NOT_FOUND: ");
    expect(await ask({ mutableParameters: { a: "x".repeat(4096) } })).toBe(
      "INVALID_ARGUMENT: mutable_parameters is 4097 bytes long, the limit is 4096 bytes. Use a shorter value.",
    );
    expect(await ask({ mutableParameters: { queueSize: "64", XXX_FakeKey: "x" } })).toStartWith(
      'INVALID_ARGUMENT: VolumeAttributesClass parameter "XXX_FakeKey" is unknown (can be changed: ',
    );
    const comment = async () =>
      (await stand.control.state()).disks.find(({ slot }) => slot === volumeId)?.comment;
    expect(await comment()).not.toContain(";qs=64");
    for (let repeat = 0; repeat < 10; repeat += 1)
      expect(await ask({ mutableParameters: { queueSize: "64" } })).toBe("OK");
    expect(await comment()).toContain(";qs=64");
  });
});

describe("DeleteVolume", () => {
  test("no id, unknown, malformed, foreign-looking", async () => {
    const del = (volumeId: string) => outcome(stand.controller.deleteVolume({ volumeId }));
    expect(await del("")).toBe(missing("volume_id"));
    for (const id of [UNKNOWN, "../../etc", "csi-", "pvc-1", "ö", "x".repeat(200)])
      expect(await del(id)).toBe("OK");
    expect(await del("x".repeat(257))).toBe(
      "INVALID_ARGUMENT: volume_id is 257 bytes long, the limit is 256 bytes. Use a shorter value.",
    );
  });

  test("attached: FAILED_PRECONDITION naming the node, volume untouched; then detached, deleted, deleted again", async () => {
    const volumeId = await created("del");
    await stand.controller.controllerPublishVolume({ volumeId, nodeId: "node-a", volumeCapability: block() });
    const before = (await stand.control.state()).disks.find(({ slot }) => slot === volumeId);
    expect(await outcome(stand.controller.deleteVolume({ volumeId }))).toBe(
      `FAILED_PRECONDITION: volume ${volumeId} is still attached to node-a. The call is repeated by itself, until every node has released it. If that lasts: delete the workload that uses it; if a node of these is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.`,
    );
    expect((await stand.control.state()).disks.find(({ slot }) => slot === volumeId)).toEqual(
      before as never,
    );
    await stand.controller.controllerUnpublishVolume({ volumeId });
    await stand.controller.deleteVolume({ volumeId });
    await stand.controller.deleteVolume({ volumeId });
    await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    const { disks, files } = await stand.control.state();
    expect(disks.filter(({ slot }) => slot === volumeId)).toEqual([]);
    expect(files.filter(({ path }) => path.includes(volumeId))).toEqual([]);
  });
});

test("DeleteSnapshot: no id, unknown, of another form; without its label nothing says where it is", async () => {
  const del = (snapshotId: string) => outcome(stand.controller.deleteSnapshot({ snapshotId }));
  expect(await del("")).toBe(missing("snapshot_id"));
  for (const id of [`snap-${"0".repeat(28)}.${"x".repeat(65)}`, "snap-1", "../x"])
    expect(await del(id)).toBe("OK");
  expect(await del(`snap-${"0".repeat(28)}`)).toMatch(/^INVALID_ARGUMENT: snapshot_id .* lacks the label/);
});

describe("ValidateVolumeCapabilities", () => {
  test("missing fields, unknown volume, confirmed echoes everything, unsupported is OK with a reason", async () => {
    const volumeId = await created("validate");
    const validate = stand.controller.validateVolumeCapabilities;
    expect(await outcome(validate({}))).toBe(missing("volume_id"));
    expect(await outcome(validate({ volumeId: UNKNOWN }))).toBe(missing("volume_capabilities"));
    expect(await outcome(validate({ volumeId: UNKNOWN, volumeCapabilities: [block()] }))).toStartWith(
      `NOT_FOUND: volume ${UNKNOWN} does not exist on the RDS.`,
    );
    const request = {
      volumeId,
      volumeCapabilities: [block(), mount()],
      volumeContext: { a: "b" },
      parameters: { migrationGuard: "off" },
      mutableParameters: { ctrlLossTmo: "5" },
    };
    const { confirmed, message } = await validate(request);
    expect(message).toBe("");
    expect(confirmed?.volumeCapabilities).toHaveLength(2);
    expect(confirmed).toMatchObject({
      volumeContext: { a: "b" },
      parameters: { migrationGuard: "off" },
      mutableParameters: { ctrlLossTmo: "5" },
    });
    const no = await validate({
      volumeId,
      volumeCapabilities: [block(), mount(Mode.MULTI_NODE_MULTI_WRITER)],
    });
    expect(no.confirmed).toBeUndefined();
    expect(no.message).toStartWith("ReadWriteMany with volumeMode: Filesystem is refused");
  });
});

describe("GetCapacity", () => {
  test("of the pool that is asked for, nothing for what cannot be had, errors for what makes no sense", async () => {
    const of = stand.controller.getCapacity;
    const whole = await of();
    expect(whole.availableCapacity).toBeGreaterThan(3n * 1024n * GIB);
    expect(whole.maximumVolumeSize).toBe(whole.availableCapacity);
    expect(whole.minimumVolumeSize).toBe(MIB);
    const small = await of({ parameters: { pool: "small" }, volumeCapabilities: [mount(1, "xfs")] });
    expect(small.availableCapacity).toBeLessThanOrEqual(GIB);
    expect(small.minimumVolumeSize).toBe(300n * MIB);
    expect(small.availableCapacity).toBeGreaterThanOrEqual(0n);
    const none = await of({ volumeCapabilities: [mount(Mode.MULTI_NODE_MULTI_WRITER)] });
    expect([none.availableCapacity, none.maximumVolumeSize]).toEqual([0n, 0n]);
    expect(await outcome(of({ volumeCapabilities: [{}] }))).toBe(
      "INVALID_ARGUMENT: volume_capabilities[0].access_type is invalid: neither block nor mount is set. Correct the field and repeat the call.",
    );
    expect(await codeOf(of({ parameters: { nonsense: "1" } }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(of({ parameters: { pool: "nope" } }))).toBe("INVALID_ARGUMENT");
  });

  test("never negative: a pool with less than the reserve has nothing", async () => {
    const socket = join(stand.directory, "reserved.sock");
    const other = await stand.startController(socket, ["--reserve-bytes", "3GiB"]);
    const { availableCapacity, maximumVolumeSize } = await stand
      .connect(Controller, socket)
      .getCapacity({ parameters: { pool: "small" } });
    expect([availableCapacity, maximumVolumeSize]).toEqual([0n, 0n]);
    expect(await other.stop()).toBe("0");
  });
});

describe("ListVolumes", () => {
  test("bad requests", async () => {
    const list = stand.controller.listVolumes;
    expect(await outcome(list({ maxEntries: -1 }))).toBe(
      "INVALID_ARGUMENT: max_entries is invalid: -1 is negative. Correct the field and repeat the call.",
    );
    for (const token of ["0", "17", "after:", "after:../x", `csi-${"0".repeat(28)}`]) {
      expect(await outcome(list({ startingToken: token }))).toBe(
        `ABORTED: starting_token ${JSON.stringify(token)} was not issued by this driver. Start the listing again with an empty token.`,
      );
    }
  });

  test("pages while volumes come and go: none skipped, none twice, nodes exact", async () => {
    const names = Array.from({ length: 9 }, (_, index) => `page-${index}`);
    const ids = (await Promise.all(names.map((name) => created(name)))).sort();
    const [first = "", second = ""] = ids;
    await stand.controller.controllerPublishVolume({
      volumeId: second,
      nodeId: "node-b",
      volumeCapability: block(),
    });
    const seen: string[] = [];
    const nodes = new Map<string, string[]>();
    let token = "";
    let pages = 0;
    let deleted = "";
    do {
      const page = await stand.controller.listVolumes({ maxEntries: 2, startingToken: token });
      for (const { volume, status: state } of page.entries) {
        seen.push(volume?.volumeId ?? "");
        nodes.set(volume?.volumeId ?? "", state?.publishedNodeIds ?? []);
      }
      token = page.nextToken;
      pages += 1;
      if (pages === 1) {
        // One that was seen, and the last one, which was not, go; the token names a volume that is gone, too.
        await stand.controller.deleteVolume({
          volumeId: seen.at(-1) === second ? first : (seen.at(-1) ?? ""),
        });
        deleted = ids.at(-1) ?? "";
        await stand.controller.deleteVolume({ volumeId: deleted });
      }
    } while (token !== "");
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual([...seen].sort());
    expect(seen.filter((id) => ids.includes(id))).toEqual(ids.filter((id) => id !== deleted));
    expect(nodes.get(second)).toEqual(["node-b"]);
    expect([...nodes].filter(([, on]) => on.length > 0)).toEqual([[second, ["node-b"]]]);
    await stand.controller.controllerUnpublishVolume({ volumeId: second });
    const { entries } = await stand.controller.listVolumes();
    expect(entries.every((entry) => entry.status?.publishedNodeIds.length === 0)).toBe(true);
    for (const volumeId of ids) await stand.controller.deleteVolume({ volumeId });
  });
});

describe("RPCs that are not offered", () => {
  for (const method of [
    // Of CSI 1.13, which is not the default dialect.
    "controllerGetVolumeHealth",
    "controllerListVolumeHealth",
  ] as const) {
    test(`${method} is UNIMPLEMENTED`, async () => {
      const name = `${method[0]?.toUpperCase()}${method.slice(1)}`;
      expect(await outcome((stand.controller[method] as (given: object) => Promise<unknown>)({}))).toBe(
        `UNIMPLEMENTED: ${name} is not offered by this component of the driver. Call the component that advertises it in its capabilities.`,
      );
    });
  }

  test("none of them is among the capabilities", async () => {
    const { capabilities } = await stand.controller.controllerGetCapabilities();
    const names = capabilities.map(({ type }) =>
      type.case === "rpc" ? nameOf(Rpc, type.value.type) : `${type.case}`,
    );
    expect(names.sort()).toEqual([
      "CLONE_VOLUME",
      "CREATE_DELETE_SNAPSHOT",
      "CREATE_DELETE_VOLUME",
      "EXPAND_VOLUME",
      "GET_CAPACITY",
      "GET_SNAPSHOT",
      "GET_VOLUME",
      "LIST_SNAPSHOTS",
      "LIST_VOLUMES",
      "LIST_VOLUMES_PUBLISHED_NODES",
      "MODIFY_VOLUME",
      "PUBLISH_READONLY",
      "PUBLISH_UNPUBLISH_VOLUME",
      "SINGLE_NODE_MULTI_WRITER",
      "VOLUME_CONDITION",
    ]);
  });

  test("Node services are not on the controller's socket", async () => {
    expect(await codeOf(stand.connect(Node, stand.controllerSocket).nodeGetInfo())).toBe("UNIMPLEMENTED");
  });
});
