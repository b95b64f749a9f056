const SUFFIXES: Readonly<Record<string, bigint>> = {
  "": 1n,
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
  P: 10n ** 15n,
  E: 10n ** 18n,
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};

/**
 * A Kubernetes resource quantity in whole units, rounded up ("1.5Gi" → 1610612736). Undefined for another text, a negative quantity, and the
 * suffixes below one unit (m, u, n). Source: apimachinery, resource.Quantity.
 */
export function parseQuantity(text: unknown): bigint | undefined {
  const match = /^\+?(\d{1,30})(?:\.(\d{0,18}))?(?:([kMGTPE]i?|Ki)?|[eE]\+?(\d{1,2}))$/.exec(String(text));
  if (match === null) return undefined;
  const [, whole = "", fraction = "", suffix = "", exponent] = match;
  const unit = exponent === undefined ? SUFFIXES[suffix] : 10n ** BigInt(exponent);
  if (unit === undefined) return undefined;
  const scale = 10n ** BigInt(fraction.length);
  return (BigInt(whole + fraction) * unit + scale - 1n) / scale;
}
