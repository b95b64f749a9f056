/**
 * Whether an object can have this name at all (RFC 1123 subdomain). Checked before a name becomes part of a path, where "" or ".."
 * would name another resource.
 */
export function isObjectName(name: string): boolean {
  return /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name) && !name.includes("..");
}

/**
 * Whether a claim is one that CDI populates and whose PersistentVolume it then gives to the user's claim: `prime-` and the UID of
 * that claim. Source: CDI, pkg/controller/populators.
 */
export function isPopulatorClaim(name: string): boolean {
  return /^prime-[0-9a-f-]{36}$/.test(name);
}
