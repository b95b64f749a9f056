import { createHash } from "node:crypto";

/** The identifiers by which hosts recognise an exported device. */
export interface Identity {
  /** Serial number of the subsystem: 16 hexadecimal digits, as Linux makes them. */
  readonly serial: string;
  /** UUID of the namespace. */
  readonly uuid: string;
  /** NGUID of the namespace, written as a UUID. */
  readonly nguid: string;
}

/**
 * The identity of the device with the name `name`: always the same, so that two hosts and every reconnect see one device, and
 * multipath can put their paths together.
 * @param seed text of one simulated device; two devices have nothing in common
 */
export function identityOf(seed: string, name: string): Identity {
  const digest = (purpose: string) => createHash("sha256").update(`${purpose}\0${seed}\0${name}`).digest();
  return {
    serial: digest("serial").toString("hex", 0, 8),
    uuid: uuid(digest("uuid")),
    nguid: uuid(digest("nguid")),
  };
}

/** 16 bytes as a UUID of version 8, "custom" (RFC 9562, section 5.8). */
function uuid(bytes: Uint8Array): string {
  const hex = [...bytes.subarray(0, 16)].map((byte, index) => {
    if (index === 6) return (byte & 0x0f) | 0x80;
    return index === 8 ? (byte & 0x3f) | 0x80 : byte;
  });
  const text = hex.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
