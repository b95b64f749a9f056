import { isIP } from "node:net";

/** The address to which a controller is connected, from the kernel's attribute `address`. */
export interface Endpoint {
  readonly address: string;
  readonly port: string;
}

/**
 * Reads `traddr=192.0.2.1,trsvcid=4420,host_traddr=…,src_addr=…`; undefined if one of the first two is missing, as happens
 * while a controller is being removed. Source: Linux, drivers/nvme/host/fabrics.c, nvmf_get_address.
 */
export function parseEndpoint(attribute: string): Endpoint | undefined {
  const fields = new Map<string, string>();
  for (const field of attribute.trim().split(",")) {
    const at = field.indexOf("=");
    if (at > 0) fields.set(field.slice(0, at), field.slice(at + 1));
  }
  const [address, port] = [fields.get("traddr"), fields.get("trsvcid")];
  return address === undefined || port === undefined || !/^\d+$/.test(port) ? undefined : { address, port };
}

/**
 * One spelling for every spelling of an IP address, to compare: IPv6 as eight groups in lower case, an IPv4 address that is
 * written as IPv6 (`::ffff:192.0.2.1`) as IPv4. The kernel shows `traddr` in the spelling of the connect command.
 */
export function normalAddress(address: string): string {
  const [ip = "", ...zone] = address.split("%");
  if (isIP(ip) !== 6) return address.toLowerCase();
  const groups = groupsOf(ip);
  if (groups.slice(0, 6).join(":") === "0:0:0:0:0:65535") {
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join(".");
  }
  return [groups.map((group) => group.toString(16)).join(":"), ...zone].join("%");
}

/** The eight groups of a valid IPv6 address. The URL class of Bun refuses some valid ones (1.4.5). */
function groupsOf(ip: string): readonly number[] {
  const hex = ip.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = [], tail = []] = hex
    .split("::")
    .map((part) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16))));
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}

/** Whether two endpoints are the same, however they are spelled. */
export function sameEndpoint(one: Endpoint, other: Endpoint): boolean {
  return (
    Number(one.port) === Number(other.port) && normalAddress(one.address) === normalAddress(other.address)
  );
}

/** `192.0.2.1:4420`, `[2001:db8::1]:4420`. */
export function endpointText({ address, port }: { address: string; port: string | number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
