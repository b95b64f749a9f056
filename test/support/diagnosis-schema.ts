/** The parts of JSON Schema that docs/diagnosis.schema.json uses. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
}

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value;

/** What of a value is not as a schema says, with its place. */
export function problemsOf(schema: object, value: unknown, at = "$"): readonly string[] {
  const { type, properties, required, items, enum: values, const: constant, anyOf } = schema as Schema;
  const problems: string[] = [];
  if (type !== undefined && ![type].flat().includes(typeOf(value))) {
    return [`${at}: is ${typeOf(value)} instead of ${[type].flat().join(" or ")}`];
  }
  if (values !== undefined && !values.includes(value)) {
    problems.push(`${at}: ${JSON.stringify(value)} is none of the values`);
  }
  if (constant !== undefined && value !== constant)
    problems.push(`${at}: is not ${JSON.stringify(constant)}`);
  if (anyOf !== undefined && !anyOf.some((each) => problemsOf(each, value, at).length === 0)) {
    problems.push(`${at}: fits nothing of anyOf`);
  }
  if (items !== undefined && Array.isArray(value)) {
    problems.push(...value.flatMap((item, index) => problemsOf(items, item, `${at}[${index}]`)));
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const name of required ?? []) if (!(name in members)) problems.push(`${at}: lacks ${name}`);
  for (const [name, inner] of Object.entries(properties ?? {})) {
    if (name in members) problems.push(...problemsOf(inner, members[name], `${at}.${name}`));
  }
  return problems;
}
