import { payload } from "../envelope.ts";
import { ros, type Script } from "../script.ts";
import { closingQuote, type Listing, propertyName, type ReplyForm, whereClause } from "./form.ts";
import type { Row } from "./row.ts";

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Rows from `:serialize to=json` of `print detail as-value`: the form with exact values and types.
 * Source: RouterOS scripting manual, ":serialize" (7.13), options (7.16).
 */
export const jsonForm: ReplyForm = {
  name: "json",
  script: ({ label, menu, where }: Listing) =>
    payload(
      label,
      ros`[:serialize to=json options=json.no-string-conversion value=[${menu}/print detail as-value${whereClause(where)}]]`,
    ),
  parse: (reply, { label }) => {
    const json = reply.flat(label);
    return json === undefined ? undefined : parseJsonRows(json);
  },
};

/** Properties that every item shows, with any value. Source: rows of RDS2216, 7.24.4. */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(["slot", "type", "name", "file-path", "nvme-tcp-export"]);

/**
 * The same with `proplist`: rows of chosen properties. For file disks only, as it is unknown whether `proplist` shows flags. A reply
 * without a property that every file disk shows counts as unreadable.
 */
export const briefForm: ReplyForm = {
  name: "brief",
  script: ({ label, menu, where, properties }: Listing) =>
    payload(
      label,
      ros`[:serialize to=json options=json.no-string-conversion value=[${menu}/print detail as-value proplist=${proplist(properties)}${whereClause(where)}]]`,
    ),
  parse: (reply, { label, properties }) => {
    const rows = parseJsonRows(reply.flat(label) ?? "");
    const shown = properties.filter((name) => ALWAYS_SHOWN.has(name));
    return rows?.every((row) => shown.every((name) => row.has(name))) ? rows : undefined;
  },
};

function proplist(properties: readonly string[]): Script {
  return properties.reduce(
    (list, name, at) => (at === 0 ? propertyName(name) : ros`${list},${propertyName(name)}`),
    ros``,
  );
}

/**
 * Reads the JSON array of a serialised print. Numbers keep every digit, also beyond 2^53.
 * @returns undefined when the text is no array of objects, or when one has a property twice
 */
export function parseJsonRows(json: string): readonly Row[] | undefined {
  try {
    return rowsIn(json);
  } catch {
    // No JSON, or nested deeper than the stack.
    return undefined;
  }
}

/** @throws SyntaxError, RangeError */
function rowsIn(json: string): readonly Row[] | undefined {
  const quoted = withQuotedNumbers(json);
  // As strings, numbers survive JSON.parse digit for digit. Of a property that stands twice it takes the last one.
  const value: unknown = JSON.parse(quoted.json);
  if (value === "" || value === null || propertiesIn(value) !== quoted.properties) return undefined;
  const items = Array.isArray(value) ? value : [value];
  const rows: Row[] = [];
  for (const item of items) {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return undefined;
    const row = new Map<string, string>();
    for (const [key, cell] of Object.entries(item)) {
      const cellText = scalarText(cell);
      if (cellText !== undefined) row.set(key, cellText);
    }
    rows.push(row);
  }
  return rows;
}

/** Puts numbers outside strings in quotes, and counts the properties, each of which has a colon; in linear time. */
function withQuotedNumbers(json: string): { readonly json: string; readonly properties: number } {
  const pieces: string[] = [];
  let properties = 0;
  for (let at = 0; at < json.length; ) {
    const open = json.indexOf('"', at);
    const between = json.slice(at, open < 0 ? json.length : open);
    properties += between.split(":").length - 1;
    pieces.push(between.replace(NUMBER, '"$&"'));
    if (open < 0) break;
    const close = closingQuote(json, open + 1) ?? json.length;
    pieces.push(json.slice(open, close + 1));
    at = close + 1;
  }
  return { json: pieces.join(""), properties };
}

/** The number of properties of all objects in a value. */
function propertiesIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const cells = Object.values(value);
  return cells.reduce<number>(
    (sum, cell) => sum + propertiesIn(cell),
    Array.isArray(value) ? 0 : cells.length,
  );
}

/** A cell as text; undefined for nil. Lists are joined as RouterOS prints them. */
function scalarText(cell: unknown): string | undefined {
  if (cell === null || cell === undefined) return undefined;
  if (Array.isArray(cell)) return cell.map((part) => scalarText(part) ?? "").join(",");
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}
