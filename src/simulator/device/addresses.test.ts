import { expect, test } from "bun:test";
import { addressBytes, isPrefix, withinPrefixes } from "./addresses.ts";

test("addresses become bytes", () => {
  expect(addressBytes("192.0.2.1")).toEqual([192, 0, 2, 1]);
  const v6 = (text: string) =>
    addressBytes(text)
      ?.map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
  expect(v6("::")).toBe("00".repeat(16));
  expect(v6("2001:db8::1")).toBe("20010db8000000000000000000000001");
  expect(v6("1:2:3:4:5:6:7:8")).toBe("00010002000300040005000600070008");
  expect(v6("::ffff:192.0.2.1")).toBe("00000000000000000000ffffc0000201");
  expect(v6("2001:db8::")).toBe("20010db8000000000000000000000000");
  for (const text of ["", "1.2.3", "1::2::3", "fe80::1%eth0", "x"])
    expect(addressBytes(text)).toBeUndefined();
});

test.each([
  ["192.0.2.77", "192.0.2.0/24", true],
  ["192.0.3.1", "192.0.2.0/24", false],
  ["192.0.3.255", "192.0.2.0/23", true],
  ["192.0.2.129", "192.0.2.128/25", true],
  ["192.0.2.127", "192.0.2.128/25", false],
  ["192.0.2.7", "192.0.2.7", true],
  ["192.0.2.8", "192.0.2.7/32", false],
  ["203.0.113.1", "0.0.0.0/0", true],
  ["2001:db8::1", "0.0.0.0/0", false],
  ["2001:db8:0:1::9", "2001:db8::/32", true],
  ["2001:db9::1", "2001:db8::/32", false],
  ["::ffff:192.0.2.7", "192.0.2.0/24", true],
  ["nonsense", "0.0.0.0/0", false],
  ["192.0.2.7", "nonsense", false],
])("%s in %s: %p", (address, prefix, inside) => {
  expect(withinPrefixes(address, [prefix])).toBe(inside);
  expect(withinPrefixes(address, ["198.51.100.0/24", prefix])).toBe(inside);
});

test("what is a prefix", () => {
  expect(["192.0.2.0/24", "::/0", "192.0.2.1"].filter((text) => !isPrefix(text))).toEqual([]);
  expect(["", "192.0.2.0/", "192.0.2.0/33", "::/129", "a/8", "192.0.2.0/-1"].filter(isPrefix)).toEqual([]);
});
