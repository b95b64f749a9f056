import { printed } from "../envelope.ts";
import { ros, Script } from "../script.ts";
import type { ReplyForm } from "./form.ts";
import { whereClause } from "./json-form.ts";
import type { Row } from "./row.ts";

const PROPERTY = /^\.?[a-z][a-z0-9-]{0,40}$/;

/**
 * Rows from a loop that prints one property per line, each behind a marker: needs neither `:serialize` nor
 * `as-value`, and survives any wrapping, as markers delimit values and line ends carry no meaning.
 */
export const linesForm: ReplyForm = {
  name: "lines",
  script: ({ label, menu, where, properties }) => {
    const fields = properties.map((property) => {
      const name = propertyName(property);
      return ros`:do { :put ("~f:${Script.nonce}:${name}~" . [:tostr [${menu}/get $i ${name}]] . "~g:${Script.nonce}~") } on-error={}`;
    });
    return printed(
      label,
      ros`:foreach i in=[${menu}/find${whereClause(where)}] do={ :put "~row:${Script.nonce}~"; ${fields} }; :put "~rows:${Script.nonce}~"`,
    );
  },
  parse: (reply, { label }) => {
    const flat = reply.flat(label);
    return flat === undefined ? undefined : parseLines(flat, reply.nonce);
  },
};

/** A property's name as code; checked, as it stands unquoted. */
function propertyName(property: string): Script {
  if (!PROPERTY.test(property)) throw new RangeError(`bad property name ${JSON.stringify(property)}`);
  return Script.fromTemplate([property], []);
}

function parseLines(flat: string, nonce: string): readonly Row[] | undefined {
  // The closing marker proves that the loop ran to its end.
  const end = flat.lastIndexOf(`~rows:${nonce}~`);
  if (end < 0) return undefined;
  return flat
    .slice(0, end)
    .split(`~row:${nonce}~`)
    .slice(1)
    .map((section) => parseSection(section, nonce));
}

function parseSection(section: string, nonce: string): Row {
  const row = new Map<string, string>();
  const open = `~f:${nonce}:`;
  const close = `~g:${nonce}~`;
  for (const chunk of section.split(open).slice(1)) {
    const nameEnd = chunk.indexOf("~");
    const valueEnd = chunk.indexOf(close);
    if (nameEnd < 0 || valueEnd < nameEnd) continue;
    const value = chunk.slice(nameEnd + 1, valueEnd);
    // RouterOS prints a property that is not set as nothing.
    if (value !== "") row.set(chunk.slice(0, nameEnd), value);
  }
  return row;
}
