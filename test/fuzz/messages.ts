import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import type { Random } from "./random.ts";

/** Values that get past the first checks, by field name. Maps give whole maps. */
export interface Known {
  text(field: string, random: Random): string | undefined;
  map(field: string, random: Random): Readonly<Record<string, string>> | undefined;
}

const NUMBERS = [
  0n,
  1n,
  -1n,
  512n,
  1n << 20n,
  8n << 20n,
  1n << 30n,
  1n << 40n,
  (1n << 63n) - 1n,
  -(1n << 63n),
];

/** A message of a type with fields that are absent, usual, extreme or hostile. */
export function randomMessage(desc: DescMessage, random: Random, known: Known, depth = 0): Message {
  const init: Record<string, unknown> = {};
  for (const member of desc.members) {
    if (!random.chance(0.85)) continue;
    if (member.kind === "oneof") {
      const field = random.pick(member.fields);
      const value = fieldValue(field, random, known, depth);
      if (value !== undefined) init[member.localName] = { case: field.localName, value };
    } else {
      const value = fieldValue(member, random, known, depth);
      if (value !== undefined) init[member.localName] = value;
    }
  }
  return create(desc, init as never);
}

function fieldValue(field: DescField, random: Random, known: Known, depth: number): unknown {
  const one = (): unknown => {
    if (field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message"))
      return nested(field.message, random, known, depth);
    if (field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum"))
      return random.chance(0.9) ? random.pick(field.enum.values).number : random.int(1_000);
    return scalarOf(field.scalar as ScalarType, field.name, random, known);
  };
  if (field.fieldKind === "map") {
    const usual = known.map(field.name, random) ?? {};
    if (random.chance(0.5)) return usual;
    const entries = Object.entries(usual).filter(() => random.chance(0.9));
    for (let count = random.int(4); count > 0; count -= 1) {
      const key = entries.length > 0 && random.chance(0.6) ? random.pick(entries)[0] : random.text();
      entries.push([key, random.text()]);
    }
    return Object.fromEntries(entries);
  }
  if (field.fieldKind !== "list") return one();
  const length = random.chance(0.02) ? 300 : random.int(4);
  return Array.from({ length }, one).filter((each) => each !== undefined);
}

function nested(desc: DescMessage, random: Random, known: Known, depth: number): Message | undefined {
  // Wrappers stand for their value in this library; no request of CSI depends on one.
  return depth > 5 || desc.typeName.startsWith("google.")
    ? undefined
    : randomMessage(desc, random, known, depth + 1);
}

function scalarOf(type: ScalarType, name: string, random: Random, known: Known): unknown {
  switch (type) {
    case ScalarType.STRING:
      return random.chance(0.6) ? (known.text(name, random) ?? random.text()) : random.text();
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.INT64:
      return random.pick(NUMBERS);
    case ScalarType.INT32:
      return random.pick([0, 1, 2, 100, -1, 2 ** 31 - 1, -(2 ** 31)]);
    case ScalarType.BYTES:
      return random.bytes(random.int(64));
    default:
      return undefined;
  }
}

/** Every text in a message, with where it is. */
export function textsOf(value: unknown, path = ""): [path: string, text: string][] {
  if (typeof value === "string") return [[path, value]];
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return [];
  return Object.entries(value).flatMap(([key, each]) => [
    ...(Array.isArray(value) ? [] : ([[`${path}.<name>`, key]] as [string, string][])),
    ...textsOf(each, `${path}.${key}`),
  ]);
}
