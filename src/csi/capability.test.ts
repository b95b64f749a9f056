import { describe, expect, test } from "bun:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ACCESS_MODES, type Capability } from "../domain/access-mode.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { capabilitiesFromWire, capabilityFromWire, optionalCapabilityFromWire } from "./capability.ts";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapability,
  VolumeCapabilitySchema,
} from "./gen/csi_pb.ts";

function wire(init: MessageInitShape<typeof VolumeCapabilitySchema>) {
  return create(VolumeCapabilitySchema, init);
}

/** The wire form of a capability; capabilityFromWire reads it back equal. */
function capabilityToWire(capability: Capability): VolumeCapability {
  const accessType: MessageInitShape<typeof VolumeCapabilitySchema>["accessType"] =
    capability.accessType === "block"
      ? { case: "block", value: {} }
      : {
          case: "mount",
          value: { fsType: capability.fsType, mountFlags: [...capability.mountFlags] },
        };
  return create(VolumeCapabilitySchema, { accessType, accessMode: { mode: Mode[capability.accessMode] } });
}

function summaryOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof DriverError && error.code === 3) return error.summary;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("capabilityFromWire", () => {
  test("every mode of the domain has a wire value, and the other way round", () => {
    const wireNames = Object.keys(Mode).filter((name) => name !== "UNKNOWN");
    expect(wireNames.sort()).toEqual([...ACCESS_MODES].sort());
  });

  test("reads back what capabilityToWire wrote, through bytes", () => {
    const text = fc.string({ unit: "binary", maxLength: 20 }).map((each) => each.toWellFormed());
    const capability: fc.Arbitrary<Capability> = fc.oneof(
      fc.record({
        accessMode: fc.constantFrom(...ACCESS_MODES),
        accessType: fc.constant("block" as const),
        fsType: fc.constant(""),
        mountFlags: fc.constant([]),
      }),
      fc.record({
        accessMode: fc.constantFrom(...ACCESS_MODES),
        accessType: fc.constant("mount" as const),
        fsType: text,
        mountFlags: fc.array(text, { maxLength: 4 }),
      }),
    );
    fc.assert(
      fc.property(capability, (given) => {
        const bytes = toBinary(VolumeCapabilitySchema, capabilityToWire(given));
        expect(capabilityFromWire(fromBinary(VolumeCapabilitySchema, bytes))).toEqual(given);
      }),
    );
  });

  const block = { case: "block", value: {} } as const;
  for (const [name, value, summary] of [
    ["absent", undefined, "volume_capability is required"],
    [
      "no access type",
      wire({ accessMode: { mode: Mode.SINGLE_NODE_WRITER } }),
      "volume_capability.access_type is invalid",
    ],
    ["no access mode", wire({ accessType: block }), "volume_capability.access_mode is required"],
    [
      "mode UNKNOWN",
      wire({ accessType: block, accessMode: { mode: Mode.UNKNOWN } }),
      "volume_capability.access_mode.mode is invalid: UNKNOWN",
    ],
    [
      "a mode of the future",
      wire({ accessType: block, accessMode: { mode: 99 as Mode } }),
      "volume_capability.access_mode.mode is invalid: 99",
    ],
    [
      "a mount group",
      wire({
        accessType: { case: "mount", value: { volumeMountGroup: "7" } },
        accessMode: { mode: Mode.SINGLE_NODE_WRITER },
      }),
      "volume_capability.mount.volume_mount_group is invalid",
    ],
  ] as const) {
    test(`refuses: ${name}`, () => {
      expect(summaryOf(() => capabilityFromWire(value))).toStartWith(summary);
    });
  }

  test("lists: empty is missing, errors name the element; an optional one may be absent", () => {
    const good = capabilityToWire({
      accessMode: "SINGLE_NODE_WRITER",
      accessType: "mount",
      fsType: "xfs",
      mountFlags: ["noatime"],
    });
    expect(capabilitiesFromWire([good])).toHaveLength(1);
    expect(summaryOf(() => capabilitiesFromWire([]))).toStartWith("volume_capabilities is required");
    expect(summaryOf(() => capabilitiesFromWire([good, wire({ accessType: block })]))).toStartWith(
      "volume_capabilities[1].access_mode is required",
    );
    expect(optionalCapabilityFromWire(undefined)).toBeUndefined();
  });
});
