import { type DescField, type DescMessage, getOption, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { REDACTED } from "../../observability/redact.ts";
import { csi_secret } from "../gen/csi_pb.ts";

/**
 * Fields without the secret mark that the specification calls sensitive all the same: mount options may hold
 * credentials.
 */
const SENSITIVE: ReadonlySet<string> = new Set(["csi.v1.VolumeCapability.MountVolume.mount_flags"]);

/**
 * A message as plain data for the log, field names as in the specification. Fields marked `csi_secret` lose their value. bigint
 * becomes decimal text, bytes become their number. Unset fields are left out.
 */
export function redactMessage(schema: DescMessage, message: Message): Record<string, unknown> {
  return redact(reflect(schema, message));
}

function redact(message: ReflectMessage): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const field of message.fields) {
    if (message.isSet(field)) fields[field.name] = isSecret(field) ? REDACTED : shown(message, field);
  }
  return fields;
}

/** Whether the field's value must not be shown. */
export function isSecret(field: DescField): boolean {
  return getOption(field, csi_secret) || SENSITIVE.has(`${field.parent.typeName}.${field.name}`);
}

function shown(message: ReflectMessage, field: DescField): unknown {
  switch (field.fieldKind) {
    case "message":
      return redact(message.get(field));
    case "enum":
      return enumName(field, message.get(field));
    case "list":
      return [...message.get(field)].map((each) => element(field, each));
    case "map":
      return Object.fromEntries(
        [...message.get(field)].map(([key, each]) => [String(key), element(field, each)]),
      );
    case "scalar":
      return scalar(field.scalar, message.get(field));
  }
}

function element(field: DescField & { fieldKind: "list" | "map" }, value: unknown): unknown {
  const kind = field.fieldKind === "list" ? field.listKind : field.mapKind;
  if (kind === "message") return redact(value as ReflectMessage);
  return kind === "enum" ? enumName(field, Number(value)) : scalar(field.scalar, value);
}

function enumName(field: DescField, value: number): string {
  return field.enum?.value[value]?.name ?? String(value);
}

function scalar(type: ScalarType | undefined, value: unknown): unknown {
  if (type === ScalarType.BYTES && value instanceof Uint8Array) return `<${value.byteLength} bytes>`;
  return typeof value === "bigint" ? String(value) : value;
}
