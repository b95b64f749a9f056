import { describe, expect, test } from "bun:test";
import { create, type DescField, type DescMessage, getOption, ScalarType } from "@bufbuild/protobuf";
import { nestedTypes, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import {
  CreateSnapshotResponseSchema,
  CreateVolumeRequestSchema,
  csi_secret,
  file_csi,
  NodeStageVolumeRequestSchema,
} from "../gen/csi_pb.ts";
import { isSecret, redactMessage } from "./redact-message.ts";

const SECRET = "S3cr3t-Marker";
const messages = [...nestedTypes(file_csi)].filter(
  (desc): desc is DescMessage => desc.kind === "message" && desc.proto.options?.mapEntry !== true,
);

/** Fills every field: secret ones with the marker, the others with harmless values. */
function fill(
  desc: DescMessage,
  secretText: string,
  plainText: string,
  secret = false,
  depth = 0,
): ReflectMessage {
  const message = reflect(desc, create(desc));
  for (const field of desc.fields) {
    const hidden = secret || isSecret(field);
    const text = hidden ? secretText : plainText;
    set(
      message,
      field,
      text,
      () => fill(field.message as DescMessage, secretText, plainText, hidden, depth + 1),
      depth,
    );
  }
  return message;
}

function set(
  message: ReflectMessage,
  field: DescField,
  text: string,
  nested: () => ReflectMessage,
  depth: number,
) {
  switch (field.fieldKind) {
    case "scalar":
      message.set(field, scalar(field.scalar, text));
      break;
    case "enum":
      message.set(field, field.enum.values[0]?.number ?? 0);
      break;
    case "message":
      if (depth < 5) message.set(field, nested());
      break;
    case "list":
      message.get(field).add(field.listKind === "message" ? nested() : text);
      break;
    case "map":
      message.get(field).set(text, text);
      break;
  }
}

function scalar(type: ScalarType, text: string): unknown {
  if (type === ScalarType.STRING) return text;
  if (type === ScalarType.BOOL) return true;
  return type === ScalarType.INT64 ? 9_007_199_254_740_993n : 1;
}

describe("redactMessage", () => {
  test("covers every message that has a secret", () => {
    const marked = messages.filter((desc) => desc.fields.some((field) => getOption(field, csi_secret)));
    expect(marked.length).toBeGreaterThanOrEqual(18);
  });

  test("property: no secret in the result of any message, everything else is there", () => {
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.string({ minLength: 1, maxLength: 12 }), (desc, noise) => {
        const secret = `${SECRET}${noise}`;
        const text = JSON.stringify(redactMessage(desc, fill(desc, secret, "Plain").message));
        expect(text).not.toContain(SECRET);
        if (desc.fields.some((field) => field.scalar === ScalarType.STRING && !isSecret(field))) {
          expect(text).toContain("Plain");
        }
      }),
      { numRuns: 300 },
    );
  });

  test("the test above can fail: without the mark the value shows", () => {
    expect(isSecret(CreateVolumeRequestSchema.field.secrets)).toBe(true);
    expect(isSecret(CreateVolumeRequestSchema.field.parameters)).toBe(false);
    const shown = redactMessage(
      CreateVolumeRequestSchema,
      create(CreateVolumeRequestSchema, { parameters: { a: SECRET }, secrets: { b: SECRET } }),
    );
    expect(shown).toEqual({ parameters: { a: SECRET }, secrets: "***" });
  });

  test("names as in the specification, enums by name, bigint as text, mount options hidden", () => {
    const request = create(NodeStageVolumeRequestSchema, {
      volumeId: "v",
      volumeCapability: {
        accessType: { case: "mount", value: { fsType: "xfs", mountFlags: [SECRET] } },
        accessMode: { mode: 5 },
      },
    });
    expect(redactMessage(NodeStageVolumeRequestSchema, request)).toEqual({
      volume_id: "v",
      volume_capability: {
        mount: { fs_type: "xfs", mount_flags: "***" },
        access_mode: { mode: "MULTI_NODE_MULTI_WRITER" },
      },
    });
    const response = create(CreateSnapshotResponseSchema, {
      snapshot: { sizeBytes: 1n << 62n, creationTime: timestampFromMs(1_000) },
    });
    expect(redactMessage(CreateSnapshotResponseSchema, response)).toEqual({
      snapshot: { size_bytes: "4611686018427387904", creation_time: { seconds: "1" } },
    });
  });
});
