/**
 * One item of a RouterOS menu, as text by property name. Absent properties are absent keys. Flags are
 * properties like any other, by their documented name, and stand only when known.
 */
export type Row = ReadonlyMap<string, string>;

/** The text of a property; "" when absent. */
export function text(row: Row, property: string): string {
  return row.get(property) ?? "";
}

/** A boolean property: RouterOS writes true, "true" or yes; an absent flag is false. */
export function flag(row: Row, property: string): boolean {
  const value = row.get(property);
  return value === "true" || value === "yes";
}

/**
 * An exact number: digits, digits grouped by blanks (`1 099 511 627 776`), or `n.000000`. undefined when
 * absent or not exact; humanised sizes such as `50.0GiB` are rounded and therefore not a number here.
 */
export function integer(row: Row, property: string): bigint | undefined {
  const value = row.get(property);
  if (value === undefined) return undefined;
  const digits = value.replace(/[\s\u00a0\u2009\u202f]/g, "").replace(/\.0+$/, "");
  return /^\d{1,20}$/.test(digits) ? BigInt(digits) : undefined;
}
