import { printed } from "../envelope.ts";
import { ros, Script } from "../script.ts";
import { propertyName, type ReplyForm, whereClause } from "./form.ts";
import type { Row } from "./row.ts";

/**
 * Rows from a loop that prints one property per line, each behind a marker: needs neither `:serialize` nor
 * `as-value`, and survives any wrapping, as markers delimit values and line ends carry no meaning.
 */
export const linesForm: ReplyForm = {
  name: "lines",
  script: ({ label, menu, where, properties }) => {
    const fields = properties.map((property) => {
      const name = propertyName(property);
      return ros`:do { :put ("~f:${Script.nonce}:${name}~" . [:tostr [${menu}/get $i ${name}]] . "~g:${Script.nonce}~") } on-error={ :put "~x:${Script.nonce}:${name}~" }`;
    });
    return printed(
      label,
      ros`:foreach i in=[${menu}/find${whereClause(where)}] do={ :put "~row:${Script.nonce}~"; ${fields} }; :put "~rows:${Script.nonce}~"`,
    );
  },
  parse: (reply, { label, properties }) => {
    const flat = reply.flat(label);
    return flat === undefined ? undefined : parseLines(flat, reply.nonce, new Set(properties));
  },
};

function parseLines(flat: string, nonce: string, wanted: ReadonlySet<string>): readonly Row[] | undefined {
  // The closing marker proves that the loop ran to its end.
  const end = flat.lastIndexOf(`~rows:${nonce}~`);
  if (end < 0) return undefined;
  const [before, ...sections] = flat.slice(0, end).split(`~row:${nonce}~`);
  if (before?.trim() !== "") return undefined;
  const rows = sections.map((section) => parseSection(section, nonce, wanted));
  return rows.every((row) => row !== undefined) ? rows : undefined;
}

/** One row; undefined unless each property was printed once, or reported as one that the item has not. */
function parseSection(section: string, nonce: string, wanted: ReadonlySet<string>): Row | undefined {
  const row = new Map<string, string>();
  const seen = new Set<string>();
  const close = `~g:${nonce}~`;
  const missing = `~x:${nonce}:`;
  const [before, ...chunks] = section.replaceAll(missing, `~f:${nonce}:!`).split(`~f:${nonce}:`);
  if (before?.trim() !== "") return undefined;
  for (const chunk of chunks) {
    const nameEnd = chunk.indexOf("~");
    const failed = chunk.startsWith("!");
    const name = chunk.slice(failed ? 1 : 0, Math.max(nameEnd, 0));
    const valueEnd = failed ? nameEnd : chunk.lastIndexOf(close);
    if (nameEnd < 0 || valueEnd < nameEnd || !wanted.has(name) || seen.has(name)) return undefined;
    seen.add(name);
    const value = failed ? "" : chunk.slice(nameEnd + 1, valueEnd);
    // RouterOS prints a property that is not set as nothing.
    if (value !== "") row.set(name, value);
  }
  // Nothing could be read of an item that the list has: it went meanwhile, or the device refuses to say.
  return seen.size === wanted.size && row.size > 0 ? row : undefined;
}
