import { Buffer } from "node:buffer";
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { registerSecret } from "../canary.ts";

/** A certificate with its private key, PEM. */
export interface CertifiedKey {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority for tests. */
export interface Authority extends CertifiedKey {
  /** A server certificate for host names and IPv4 addresses. */
  server(names: readonly string[]): CertifiedKey;
  /** A client certificate: Kubernetes reads the user from CN and the groups from O. */
  client(user: string, group?: string): CertifiedKey;
}

/** DER (ITU-T X.690), just what an X.509 certificate needs. */
const tlv = (tag: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const length =
    body.length < 128
      ? [body.length]
      : body.length < 256
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts: readonly Buffer[]) => tlv(0x30, ...parts);
const set = (...parts: readonly Buffer[]) => tlv(0x31, ...parts);
const octets = (part: Buffer) => tlv(0x04, part);
const bits = (part: Buffer) => tlv(0x03, Buffer.from([0]), part);
const utf8 = (text: string) => tlv(0x0c, Buffer.from(text));
const TRUE = Buffer.from([0x01, 0x01, 0xff]);

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 127];
    for (let high = arc >> 7; high > 0; high >>= 7) groups.unshift((high & 127) | 128);
    bytes.push(...groups);
  }
  return tlv(0x06, Buffer.from(bytes));
}

const generalizedTime = (date: Date) =>
  tlv(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]|\.\d+Z/g, "")}Z`));
const attribute = (type: string, value: string) => set(sequence(oid(type), utf8(value)));
const distinguishedName = (commonName: string, group?: string) =>
  sequence(...(group === undefined ? [] : [attribute("2.5.4.10", group)]), attribute("2.5.4.3", commonName));
const extension = (id: string, critical: boolean, value: Buffer) =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));
const keyUsage = (unused: number, value: number) =>
  extension("2.5.29.15", true, tlv(0x03, Buffer.from([unused, value])));
const extendedUsage = (id: string) => extension("2.5.29.37", false, sequence(oid(id)));

function alternativeName(name: string): Buffer {
  if (isIPv4(name)) return tlv(0x87, Buffer.from(name.split(".").map(Number)));
  if (isIPv6(name)) throw new RangeError("IPv6 names are not needed here");
  return tlv(0x82, Buffer.from(name));
}

interface Draft {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

/** RFC 5280; ECDSA with SHA-256. */
function certificate(draft: Draft, signer: KeyObject): string {
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const hour = 3_600_000;
  const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(8)]);
  const toBeSigned = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    draft.issuer,
    sequence(generalizedTime(new Date(Date.now() - hour)), generalizedTime(new Date(Date.now() + 24 * hour))),
    draft.subject,
    draft.publicKey.export({ type: "spki", format: "der" }),
    tlv(0xa3, sequence(...draft.extensions)),
  );
  const der = sequence(toBeSigned, algorithm, bits(sign("sha256", toBeSigned, signer)));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** A new private CA. */
export function createAuthority(name = "fake-ca"): Authority {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = (key: KeyObject) =>
    registerSecret("TLS key of the fake API server", key.export({ type: "pkcs8", format: "pem" }).toString());
  const issuer = distinguishedName(name);
  const key = pem(pair.privateKey);
  const issue = (subject: Buffer, extensions: readonly Buffer[]): CertifiedKey => {
    const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const draft = { subject, issuer, publicKey: own.publicKey, extensions };
    return { cert: certificate(draft, createPrivateKey(key)), key: pem(own.privateKey) };
  };
  return {
    key,
    cert: certificate(
      {
        subject: issuer,
        issuer,
        publicKey: pair.publicKey,
        extensions: [extension("2.5.29.19", true, sequence(TRUE)), keyUsage(1, 0x06)],
      },
      pair.privateKey,
    ),
    server: (names) =>
      issue(distinguishedName(names[0] ?? "server"), [
        keyUsage(7, 0x80),
        extendedUsage("1.3.6.1.5.5.7.3.1"),
        extension("2.5.29.17", false, sequence(...names.map(alternativeName))),
      ]),
    client: (user, group) =>
      issue(distinguishedName(user, group), [keyUsage(7, 0x80), extendedUsage("1.3.6.1.5.5.7.3.2")]),
  };
}
