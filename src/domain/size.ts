const UNITS = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/**
 * Bytes as Kubernetes writes them: `10Gi`, `1.5Ti`, `512Mi`; one decimal when it is not whole, and `0` for less than one.
 * @param round `up` for what is needed, so that a need never looks like the room that is too small for it
 */
export function shortSize(bytes: bigint, round: "down" | "up" = "down"): string {
  if (bytes <= 0n) return "0";
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes >= 1n << BigInt(10 * (unit + 1))) unit += 1;
  const more = round === "up" ? (1n << BigInt(10 * unit)) - 1n : 0n;
  const tenths = (bytes * 10n + more) >> BigInt(10 * unit);
  const decimal = tenths % 10n === 0n ? "" : `.${tenths % 10n}`;
  return `${tenths / 10n}${decimal}${UNITS[unit]}`;
}
