import { describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { DEFAULT_DRIVER_NAME } from "../../src/config/common-options.ts";
import { requireSupported } from "../../src/controller/capabilities.ts";
import { noOrchestrator } from "../../src/controller/evidence.ts";
import {
  changedSettings,
  MUTABLE_DOCS,
  PARAMETER_DOCS,
  readParameters,
} from "../../src/controller/parameters.ts";
import { chooseSize } from "../../src/controller/sizes.ts";
import { CONTROLLER_CAPABILITIES } from "../../src/csi/controller.ts";
import { ControllerServiceCapability_RPC_Type as Rpc } from "../../src/csi/gen/csi_pb.ts";
import { ACCESS_MODES, type AccessMode, type Capability } from "../../src/domain/access-mode.ts";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { grpcCodeName } from "../../src/domain/errors/grpc-code.ts";
import { DEFAULT_SETTINGS } from "../../src/domain/record/volume-record.ts";
import { BLOCK } from "../support/rds-stack.ts";
import { page, section, tableRows } from "./pages.fixture.ts";
import { answer, CLAIM, World } from "./scenarios.fixture.ts";

const storageClass = page("docs/storage-class.md");
const capability = (accessMode: AccessMode, accessType: "block" | "mount", fsType = ""): Capability => ({
  accessMode,
  accessType,
  fsType,
  mountFlags: [],
});

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof DriverError) return `${grpcCodeName(error.code)}: ${error.summary}`;
    throw error;
  }
  return "accepted";
}

describe("docs/storage-class.md", () => {
  test("lists exactly the parameters of the code, with what they expect", () => {
    const [, ...rows] = tableRows(section(storageClass, "Parameters"));
    const listed = rows.map(([name = "", expected]) => [name.replaceAll("`", ""), expected]);
    expect(Object.fromEntries(listed)).toEqual({ ...PARAMETER_DOCS });
  });

  test("a VolumeAttributesClass is promised only if the driver offers MODIFY_VOLUME, without which sidecars refuse it", () => {
    const offered: readonly number[] = CONTROLLER_CAPABILITIES;
    expect(offered.includes(Rpc.MODIFY_VOLUME)).toBe(storageClass.text.includes("## VolumeAttributesClass"));
  });

  test("VolumeAttributesClass: every parameter with the time at which a change takes effect; the example is accepted", () => {
    const [, ...rows] = tableRows(section(storageClass, "VolumeAttributesClass"));
    const listed = rows.map(([name = "", effect]) => [name.replaceAll("`", ""), effect]);
    expect(Object.fromEntries(listed)).toEqual({ ...MUTABLE_DOCS });
    const [, example] = storageClass.blocks
      .filter(({ language }) => language === "yaml")
      .map(({ text }) => parse(text));
    expect(example).toMatchObject({ kind: "VolumeAttributesClass", driverName: DEFAULT_DRIVER_NAME });
    expect(changedSettings(DEFAULT_SETTINGS, example.parameters)).toMatchObject({
      migrationTimeoutSeconds: 1_800,
      reconnectDelay: 10,
      keepAliveTmo: 15,
    });
  });

  test("its example is accepted", () => {
    const example = parse(storageClass.blocks.find(({ language }) => language === "yaml")?.text ?? "");
    expect(example.kind).toBe("StorageClass");
    expect(readParameters(example.parameters).pool).toBe("storage-pool");
  });

  test("every access mode is there, and its answers are those of the code", () => {
    const [, ...rows] = tableRows(section(storageClass, "Access modes"));
    const seen = rows.flatMap(([, modes = "", mount = "", block = ""]) =>
      modes.split(", ").map((mode) => {
        const accessMode = mode as AccessMode;
        const accepts = (type: "mount" | "block") =>
          refusal(() => requireSupported([capability(accessMode, type)])) === "accepted";
        expect([mode, accepts("mount")]).toEqual([mode, mount === "yes"]);
        expect([mode, accepts("block")]).toEqual([mode, /^(yes|created)/.test(block)]);
        return accessMode;
      }),
    );
    expect(seen.toSorted()).toEqual([...ACCESS_MODES].toSorted());
  });

  test("every refusal on the page is what the code says", () => {
    const [, ...rows] = tableRows(section(storageClass, "Refusals"));
    const mib = 1024n * 1024n;
    const odd = (3n * mib) / 2n;
    expect(rows.map(([, answer]) => answer)).toEqual([
      refusal(() => readParameters({ migrationTimeoutSeconds: "10" })),
      refusal(() => readParameters({ Pool: "storage-pool" })),
      refusal(() => requireSupported([capability("MULTI_NODE_MULTI_WRITER", "mount")])),
      refusal(() => requireSupported([capability("SINGLE_NODE_WRITER", "mount", "btrfs")])),
      refusal(() => requireSupported([capability("MULTI_NODE_READER_ONLY", "block")])),
      refusal(() =>
        chooseSize({ requiredBytes: odd, limitBytes: odd }, [capability("SINGLE_NODE_WRITER", "block")]),
      ),
    ]);
  });

  test("migrationGuard: every value is there, and does what the page says", async () => {
    const listed = [...storageClass.text.matchAll(/^- `(\w+)` /gm)].map(([, value = ""]) => value);
    expect(listed).toEqual(["enforce", "warn", "off"]);
    for (const migrationGuard of listed) {
      const world = await World.start({ parameters: { migrationGuard } });
      try {
        world.cluster.addPod("backup", "node-b", CLAIM);
        await world.publish("node-a");
        const second = (await answer(world.publish("node-b"))).split(" ")[0];
        expect([migrationGuard, second]).toEqual([
          migrationGuard,
          migrationGuard === "enforce" ? "secondNodeNotProven" : "OK",
        ]);
        const conflict = world.events().some((event) => event.includes("migrationGuard warn"));
        expect(conflict).toBe(migrationGuard === "warn");
        world.cluster.pods.pop();
        await world.publish("node-b");
        expect(await answer(world.publish("node-c"))).toStartWith("thirdNode ");
      } finally {
        await world.stack.close();
      }
    }
  });

  test("a single-node volume: taken over only from a node whose object is gone, under a new NQN", async () => {
    for (const evidence of [undefined, noOrchestrator]) {
      const world = await World.start({
        capability: BLOCK,
        ...(evidence === undefined ? {} : { evidence }),
      });
      try {
        const { nqn } = await world.publish("node-a", BLOCK);
        const refused = await answer(world.publish("node-b", BLOCK));
        expect(refused).toStartWith("attachedElsewhere ");
        expect(refused).toContain("node-a");
        world.cluster.nodeNames.delete("node-a");
        if (evidence === undefined) expect((await world.publish("node-b", BLOCK)).nqn).not.toBe(nqn);
        else expect(await answer(world.publish("node-b", BLOCK))).toBe(refused);
        expect(await world.nodes()).toEqual([evidence === undefined ? "node-b" : "node-a"]);
      } finally {
        await world.stack.close();
      }
    }
  });

  test("the sizes it names are right", () => {
    const least = (fsType: string, type: "block" | "mount" = "mount") =>
      chooseSize({ requiredBytes: 1n, limitBytes: 0n }, [capability("SINGLE_NODE_WRITER", type, fsType)]) >>
      20n;
    const text = section(storageClass, "Sizes").replace(/\s+/g, " ");
    expect(text).toContain(
      `The least is ${least("", "block")} MiB for block, ${least("ext4")} MiB for ext4 and ${least("xfs")} MiB for XFS`,
    );
  });
});
