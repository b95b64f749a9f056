import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ACCESS_MODES, type Capability } from "../domain/access-mode.ts";
import { capabilityProblem } from "../domain/capability-problem.ts";
import { satisfies } from "../domain/capacity-range.ts";
import { readParameters } from "./parameters.ts";
import { chooseSize } from "./sizes.ts";

const MIB = 1024n * 1024n;
const block: Capability = {
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};
const mount = (fsType = ""): Capability => ({ ...block, accessType: "mount", fsType });
const size = (requiredBytes: bigint, limitBytes = 0n, capability = block) =>
  chooseSize({ requiredBytes, limitBytes }, [capability]);

describe("sizes", () => {
  test("are rounded up to 1 MiB; nothing asked gives 1 GiB", () => {
    expect(size(0n)).toBe(1024n * MIB);
    expect(size(0n, 5n * MIB + 1n)).toBe(5n * MIB);
    expect(size(1n)).toBe(MIB);
    expect(size(MIB + 1n)).toBe(2n * MIB);
    expect(size(2n ** 53n + 1n)).toBe(2n ** 53n + MIB);
  });

  test("filesystems get the room that mkfs needs", () => {
    expect(size(1n, 0n, mount())).toBe(16n * MIB);
    expect(size(1n, 0n, mount("xfs"))).toBe(300n * MIB);
  });

  for (const [required, limit, text] of [
    [
      -1n,
      0n,
      "capacity_range.required_bytes is invalid: -1 is negative. Correct the field and repeat the call.",
    ],
    [
      0n,
      -1n,
      "capacity_range.limit_bytes is invalid: -1 is negative. Correct the field and repeat the call.",
    ],
    [
      2n,
      1n,
      "capacity range required_bytes=2 limit_bytes=1 cannot be met: limit_bytes is below required_bytes. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
    [
      1n,
      1000n,
      "capacity range required_bytes=1 limit_bytes=1000 cannot be met: the smallest size that satisfies required_bytes is 1048576 bytes. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
    [
      2n ** 63n - 1n,
      0n,
      "capacity range required_bytes=9223372036854775807 limit_bytes=0 cannot be met: it cannot be rounded up to a multiple of 1 MiB. Ask for a size inside the supported range, or raise limit_bytes.",
    ],
  ] as const) {
    test(`required ${required}, limit ${limit} is refused`, () =>
      expect(() => size(required, limit)).toThrow(text));
  }

  test("what is chosen satisfies the range it was chosen for", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 62n), fc.bigInt(0n, 2n ** 40n), (requiredBytes, room) => {
        const range = { requiredBytes, limitBytes: room === 0n ? 0n : requiredBytes + room };
        let chosen: bigint;
        try {
          chosen = chooseSize(range, [block]);
        } catch {
          expect(room).toBeLessThan(MIB);
          return;
        }
        expect(satisfies(chosen, range)).toBe(true);
        expect(chosen % MIB).toBe(0n);
      }),
    );
  });
});

describe("capabilities", () => {
  test("RWX-01 ReadWriteMany block is accepted, RWX-02 ReadWriteMany filesystem is refused with advice", () => {
    const many = { accessMode: "MULTI_NODE_MULTI_WRITER" } as const;
    expect(capabilityProblem({ ...block, ...many })).toBeUndefined();
    expect(capabilityProblem({ ...mount(), ...many })?.message).toBe(
      "ReadWriteMany with volumeMode: Filesystem is refused: an ext4 or XFS filesystem mounted by two nodes is destroyed. Set volumeMode: Block (for KubeVirt live migration), or use ReadWriteOnce.",
    );
  });

  test("each access mode has its answer", () => {
    const answers = ACCESS_MODES.map((accessMode) => [
      accessMode,
      capabilityProblem({ ...block, accessMode })?.id ?? "yes",
      capabilityProblem({ ...mount("ext4"), accessMode })?.id ?? "yes",
    ]);
    expect(answers).toEqual([
      ["SINGLE_NODE_WRITER", "yes", "yes"],
      ["SINGLE_NODE_READER_ONLY", "yes", "yes"],
      ["SINGLE_NODE_SINGLE_WRITER", "yes", "yes"],
      ["SINGLE_NODE_MULTI_WRITER", "yes", "yes"],
      ["MULTI_NODE_READER_ONLY", "readersOnSeveralNodes", "readersOnSeveralNodes"],
      ["MULTI_NODE_SINGLE_WRITER", "readersOnSeveralNodes", "readersOnSeveralNodes"],
      ["MULTI_NODE_MULTI_WRITER", "yes", "rwxFilesystem"],
    ]);
  });

  test("unknown filesystems are refused by name", () => {
    expect(capabilityProblem(mount("ntfs; reboot"))?.summary).toBe(
      'volume capability is not supported: filesystem "ntfs; reboot" (supported: ext4, xfs)',
    );
  });
});

describe("StorageClass parameters", () => {
  test("defaults, values and the provisioner's metadata", () => {
    expect(readParameters({}).settings.migrationTimeoutSeconds).toBe(300);
    const read = readParameters(
      {
        pool: "raid10",
        migrationTimeoutSeconds: "30",
        migrationGuard: "warn",
        ctrlLossTmo: "-1",
        "csi.storage.k8s.io/pvc/name": "data",
        "csi.storage.k8s.io/pvc/namespace": "prod",
        "csi.storage.k8s.io/pv/name": "pvc-1",
      },
      { migrationTimeoutSeconds: "3600" },
    );
    expect(read.pool).toBe("raid10");
    expect(read.claim).toEqual({ namespace: "prod", name: "data" });
    expect([read.settings.migrationTimeoutSeconds, read.settings.migrationGuard]).toEqual([3_600, "warn"]);
  });

  for (const [key, value] of [
    ["migrationTimeoutSeconds", "29"],
    ["migrationTimeoutSeconds", "3601"],
    ["migrationTimeoutSeconds", "5m"],
    ["migrationTimeoutSeconds", ""],
    ["migrationTimeoutSeconds", "1e2"],
    ["migrationGuard", "on"],
    ["pool", "../x"],
    ["pool", '"; /system/reboot'],
    ["ctrlLossTmo", "-2"],
    ["reconnectDelay", "0"],
    ["keepAliveTmo", "5.0"],
    ["fastIoFailTmo", "off"],
    ["fastIoFailTmo", "-2"],
    ["fastIoFailTmo", "86400"],
    ["nrIoQueues", "0"],
    ["nrIoQueues", "1025"],
    ["queueSize", "15"],
    ["queueSize", "1025"],
    ["queueSize", "0x20"],
  ] as const) {
    test(`${key}=${JSON.stringify(value)} is refused, naming key, value and range`, () => {
      expect(() => readParameters({ [key]: value })).toThrow(
        `StorageClass parameter ${key}=${JSON.stringify(value)} is invalid: expected `,
      );
    });
  }

  test("the name of a claim that a record cannot hold is refused before anything is made", () => {
    for (const key of ["namespace", "name"] as const) {
      const claim = {
        "csi.storage.k8s.io/pvc/namespace": "shop",
        "csi.storage.k8s.io/pvc/name": "disk",
        [`csi.storage.k8s.io/pvc/${key}`]: "a\u001b[2J",
      };
      expect(() => readParameters(claim)).toThrow(`csi.storage.k8s.io/pvc/${key}="a\\u001b[2J" is invalid`);
    }
  });

  test("property: the times of a connection are accepted exactly if they make sense together", () => {
    const times = fc.record({
      ctrlLossTmo: fc.integer({ min: -1, max: 400 }),
      reconnectDelay: fc.integer({ min: 1, max: 300 }),
      fastIoFailTmo: fc.integer({ min: -1, max: 400 }),
    });
    fc.assert(
      fc.property(times, ({ ctrlLossTmo, reconnectDelay, fastIoFailTmo }) => {
        const forever = ctrlLossTmo === -1;
        const good =
          forever || (fastIoFailTmo < ctrlLossTmo && (ctrlLossTmo === 0 || reconnectDelay <= ctrlLossTmo));
        const read = () =>
          readParameters({
            ctrlLossTmo: String(ctrlLossTmo),
            reconnectDelay: String(reconnectDelay),
            fastIoFailTmo: String(fastIoFailTmo),
          }).settings;
        if (good) expect(read()).toMatchObject({ ctrlLossTmo, reconnectDelay, fastIoFailTmo });
        else expect(read).toThrow(`ctrlLossTmo is ${ctrlLossTmo}, so `);
      }),
      { numRuns: 500 },
    );
  });

  test("queue settings are read; a value of mutable_parameters counts in the comparison", () => {
    const { settings } = readParameters({ nrIoQueues: "1", queueSize: "1024", fastIoFailTmo: "20" });
    expect(settings).toMatchObject({ nrIoQueues: 1, queueSize: 1_024, fastIoFailTmo: 20 });
    expect(() => readParameters({ ctrlLossTmo: "600", fastIoFailTmo: "20" }, { ctrlLossTmo: "10" })).toThrow(
      'StorageClass parameter fastIoFailTmo="20" is invalid',
    );
  });

  test("unknown keys are refused, also prototype names", () => {
    for (const key of ["volumePath", "__proto__x", "constructor", "toString"]) {
      expect(() => readParameters({ [key]: "x" })).toThrow(
        `StorageClass parameter ${JSON.stringify(key)} is unknown`,
      );
    }
  });
});
