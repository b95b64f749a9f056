/**
 * Addresses of a cluster. They are those of documentation and benchmarks (RFC 5737, RFC 2544) and exist in its namespaces only, so
 * two clusters may have the same.
 */
export const CONTROL = "192.0.2.1";
export const SERVICES = "203.0.113.0/24";
/** Address of the Service kubernetes. It is the API server's own, so no proxy for Services is needed. */
export const API_SERVICE = "203.0.113.1";
export const DNS = "203.0.113.10";
export const API = `https://${CONTROL}`;

/** @param index from 0 */
export function nodeAddress(index: number): string {
  return `192.0.2.${11 + index}`;
}

/** The first two numbers of the addresses of a node's pods. @param index from 0 */
export function podNet(index: number): string {
  return `198.${18 + index}`;
}
