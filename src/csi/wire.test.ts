import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescService,
  fromBinary,
  getOption,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import {
  alpha_enum_value,
  alpha_field,
  alpha_message,
  alpha_method,
  ControllerPublishVolumeRequestSchema,
  CreateVolumeRequestSchema,
  csi_secret,
  file_csi,
  GetCapacityResponseSchema,
  ProbeResponseSchema,
  VolumeUsage_Unit,
  VolumeUsageSchema,
} from "./gen/csi_pb.ts";
import { WIRE_FACTS } from "./wire.fixture.ts";

const PACKAGE = "csi.v1.";
const factOf = new Map<string, string>(
  WIRE_FACTS.trim()
    .split("\n")
    .map((line) => {
      const found = /^(service|message|enum) ([\w.]+)( \[alpha\])?: (.*)$/.exec(line);
      if (found === null) throw new Error(`unreadable: ${line}`);
      return [`${found[1]} ${found[2]}`, `${found[3] ?? ""}: ${found[4]}`] as const;
    }),
);

const local = (name: string) => (name.startsWith(PACKAGE) ? name.slice(PACKAGE.length) : name);

/** The type as the facts spell it, with message and enum names in full. */
function typeName(field: DescField): string {
  const scalar = (type: ScalarType) => ScalarType[type].toLowerCase();
  switch (field.fieldKind) {
    case "scalar":
      return scalar(field.scalar);
    case "enum":
      return local(field.enum.typeName);
    case "message":
      return local(field.message.typeName);
    case "list":
      return `repeated ${field.listKind === "scalar" ? scalar(field.scalar) : local((field.message ?? field.enum).typeName)}`;
    case "map":
      return `map<${scalar(field.mapKey)},${field.mapKind === "scalar" ? scalar(field.scalar) : "?"}>`;
  }
}

function describeField(field: DescField): string {
  const marks = [
    ...(getOption(field, csi_secret) ? ["secret"] : []),
    ...(getOption(field, alpha_field) ? ["alpha"] : []),
  ];
  const oneof = field.oneof === undefined ? "" : ` (oneof ${field.oneof.name})`;
  return `${field.number} ${field.name}: ${typeName(field)}${oneof}${marks.length > 0 ? ` [${marks.join(" ")}]` : ""}`;
}

function describeMessage(message: DescMessage): string {
  const fields = message.fields.map(describeField).join("; ");
  return `${getOption(message, alpha_message) ? " [alpha]" : ""}: ${fields === "" ? "(empty)" : fields}`;
}

function describeEnum(desc: DescEnum): string {
  const values = desc.values.map(
    (value) => `${value.number} ${value.name}${getOption(value, alpha_enum_value) ? " [alpha]" : ""}`,
  );
  return `: ${values.join(", ")}`;
}

function describeService(desc: DescService): string {
  const methods = desc.methods.map((method) => {
    expect(method.input.typeName).toBe(`${PACKAGE}${method.name}Request`);
    expect(method.output.typeName).toBe(`${PACKAGE}${method.name}Response`);
    const stream = method.methodKind === "server_streaming" ? " (server stream)" : "";
    return `${method.name}${stream}${getOption(method, alpha_method) ? " [alpha]" : ""}`;
  });
  return `: ${methods.join(", ")}`;
}

/** A fact with its message and enum names in full: the facts name them relative to the message, as proto files do. */
function resolved(owner: string, fact: string): string {
  return fact.replace(/(?<=\d \w+: (?:repeated )?)\.?([A-Za-z][\w.]*)/g, (_text, name: string) => {
    for (let scope = owner; ; scope = scope.slice(0, Math.max(0, scope.lastIndexOf(".")))) {
      const full = scope === "" ? name : `${scope}.${name}`;
      if (factOf.has(`message ${full}`) || factOf.has(`enum ${full}`) || scope === "") return full;
    }
  });
}

describe("the generated descriptors agree with the wire facts", () => {
  const seen = new Set<string>();
  for (const desc of nestedTypes(file_csi)) {
    if (
      desc.kind === "extension" ||
      (desc.kind === "message" && desc.name.endsWith("Entry") && isMapEntry(desc))
    )
      continue;
    const key = `${desc.kind} ${local(desc.typeName)}`;
    seen.add(key);
    test(key, () => {
      const actual =
        desc.kind === "message"
          ? describeMessage(desc)
          : desc.kind === "enum"
            ? describeEnum(desc)
            : describeService(desc);
      expect(actual).toBe(resolved(local(desc.typeName), factOf.get(key) ?? "not in the facts"));
    });
  }
  test("nothing is missing", () => {
    expect([...seen].sort()).toEqual([...factOf.keys()].sort());
    expect(seen.size).toBeGreaterThan(100);
  });
});

function isMapEntry(desc: DescMessage): boolean {
  return desc.proto.options?.mapEntry === true;
}

describe("bytes by hand", () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

  test("Probe: the wrapper is a message with field 1, also when it is false", () => {
    expect(hex(toBinary(ProbeResponseSchema, create(ProbeResponseSchema, { ready: true })))).toBe("0a020801");
    expect(hex(toBinary(ProbeResponseSchema, create(ProbeResponseSchema, { ready: false })))).toBe("0a00");
    expect(hex(toBinary(ProbeResponseSchema, create(ProbeResponseSchema, {})))).toBe("");
  });

  test("ControllerPublishVolume: strings, nested oneof, bool, map", () => {
    const bytes = "0a0176" + "12016e" + "1a06" + "0a00" + "1a020805" + "2001" + "3206" + "0a016b" + "120131";
    const request = fromBinary(ControllerPublishVolumeRequestSchema, Buffer.from(bytes, "hex"));
    expect(request.volumeId).toBe("v");
    expect(request.nodeId).toBe("n");
    expect(request.volumeCapability?.accessType.case).toBe("block");
    expect(request.volumeCapability?.accessMode?.mode).toBe(5);
    expect(request.readonly).toBe(true);
    expect(request.volumeContext).toEqual({ k: "1" });
    expect(hex(toBinary(ControllerPublishVolumeRequestSchema, request))).toBe(bytes);
  });

  test("64-bit sizes, negative numbers, enums", () => {
    // 1 available -1 (ten bytes), 2 total 2^40, 4 unit INODES
    const bytes = `08${"ff".repeat(9)}01108080808080202002`;
    const usage = create(VolumeUsageSchema, {
      available: -1n,
      total: 1n << 40n,
      unit: VolumeUsage_Unit.INODES,
    });
    expect(hex(toBinary(VolumeUsageSchema, usage))).toBe(bytes);
    const capacity = create(GetCapacityResponseSchema, { availableCapacity: 0n, maximumVolumeSize: 5n });
    expect(hex(toBinary(GetCapacityResponseSchema, capacity))).toBe("12020805");
  });

  test("unknown fields of a newer caller survive", () => {
    const bytes = "0a0161" + "fa070178";
    const request = fromBinary(CreateVolumeRequestSchema, Buffer.from(bytes, "hex"));
    expect(request.name).toBe("a");
    expect(hex(toBinary(CreateVolumeRequestSchema, request))).toBe(bytes);
  });
});
