import { Buffer } from "node:buffer";

/** Escapes that RouterOS gives a letter of their own inside double quotes. */
const NAMED: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["$", "\\$"],
  ["?", "\\?"],
]);

/**
 * Writes any text as a RouterOS string literal, double quotes included. The literal is printable ASCII on
 * one line: bytes outside 0x20..0x7E (of the UTF-8 form) become `\XX` with upper-case hex digits, and
 * nothing in it is expanded (`$`) or asked for help (`?`).
 * Source: RouterOS scripting manual, "Constant Escape Sequences", and the grammar measured on RouterOS 7.23.3.
 */
export function quote(text: string): string {
  let out = '"';
  for (const byte of Buffer.from(text, "utf8")) {
    const char = String.fromCharCode(byte);
    const printable = byte >= 0x20 && byte <= 0x7e;
    out += printable ? (NAMED.get(char) ?? char) : `\\${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return `${out}"`;
}

/**
 * An extended regular expression that matches `text` and nothing else, to be anchored by the caller.
 * Source: POSIX.1-2017, XBD 9.4.3 (ERE special characters).
 */
export function escapeRegex(text: string): string {
  return text.replace(/[.[\]\\()*+?{}|^$]/g, "\\$&");
}
