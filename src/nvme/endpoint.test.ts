import { describe, expect, test } from "bun:test";
import { BlockList, isIP } from "node:net";
import fc from "fast-check";
import { endpointText, normalAddress, parseEndpoint, sameEndpoint } from "./endpoint.ts";

describe("the address attribute of a controller", () => {
  test.each([
    ["traddr=127.0.0.1,trsvcid=4420,src_addr=127.0.0.1", { address: "127.0.0.1", port: "4420" }],
    ["traddr=198.51.100.7,trsvcid=4420", { address: "198.51.100.7", port: "4420" }],
    [
      "trsvcid=4420,host_traddr=192.0.2.7,host_iface=eth0,traddr=fe80::1%eth0\n",
      { address: "fe80::1%eth0", port: "4420" },
    ],
    ["traddr=192.0.2.1", undefined],
    ["traddr=192.0.2.1,trsvcid=none", undefined],
    ["0000:01:00.0", undefined],
    ["", undefined],
  ])("%p", (attribute, expected) => {
    expect(parseEndpoint(attribute)).toEqual(expected);
  });
});

describe("the same endpoint", () => {
  const at = (address: string, port = "4420") => ({ address, port });
  test.each([
    ["192.0.2.9", "192.0.2.9", true],
    ["192.0.2.9", "192.0.2.90", false],
    ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", true],
    ["2001:db8::1", "2001:0db8::0001", true],
    ["2001:db8::1", "2001:db8::2", false],
    ["192.0.2.9", "::ffff:192.0.2.9", true],
    ["192.0.2.9", "::ffff:c000:209", true],
    ["192.0.2.9", "::192.0.2.9", false],
    ["fe80::1%eth0", "FE80:0::1%eth0", true],
    ["fe80::1%eth0", "fe80::1%eth1", false],
  ])("%s and %s: %p", (one, other, same) => {
    expect(sameEndpoint(at(one), at(other))).toBe(same);
    expect(sameEndpoint(at(one), at(other, "4421"))).toBe(false);
  });

  test("property: every spelling of an IPv6 address is one", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const normal = normalAddress(address);
        expect(isIP(normal)).not.toBe(0);
        expect(normalAddress(normal)).toBe(normal);
        expect(normalAddress(address.toUpperCase())).toBe(normal);
        // A judge of its own: the library's list of addresses.
        const known = new BlockList();
        known.addAddress(address, "ipv6");
        expect(known.check(isIP(normal) === 4 ? `::ffff:${normal}` : normal, "ipv6")).toBe(true);
      }),
    );
  });

  test("in messages", () => {
    expect(endpointText({ address: "192.0.2.9", port: 4420 })).toBe("192.0.2.9:4420");
    expect(endpointText({ address: "2001:DB8::0:1", port: 4420 })).toBe("[2001:DB8::0:1]:4420");
  });
});
