import type { Reply } from "../envelope.ts";
import { ros, Script } from "../script.ts";
import type { Row } from "./row.ts";

/** Which items of a menu a reply shall list. */
export interface Listing {
  /** Payload label. */
  readonly label: string;
  /** The menu's path as script, e.g. ros`/disk`. */
  readonly menu: Script;
  /** Condition after `where`; undefined lists every item. */
  readonly where: Script | undefined;
  /** The properties that the caller reads, by RouterOS name. The short-line form asks for just these. */
  readonly properties: readonly string[];
  /** Whether the reply shall hold these properties only, where the device can do that; for lists that are long. */
  readonly brief?: boolean;
}

/**
 * A way to get rows out of RouterOS. All forms give the same rows for the same items, and survive different defects of the
 * console. They are tried in order: JSON, short lines, detail text.
 */
export interface ReplyForm {
  readonly name: "brief" | "json" | "lines" | "detail";
  /** Statements that print the listing. */
  script(listing: Listing): Script;
  /** The rows of the reply; undefined when they are missing or unreadable (never "no rows"). */
  parse(reply: Reply, listing: Listing): readonly Row[] | undefined;
}

const PROPERTY = /^\.?[a-z][a-z0-9-]{0,40}$/;

/** The name of a property as code. It stands unquoted, so its form is checked. */
export function propertyName(property: string): Script {
  if (!PROPERTY.test(property)) throw new RangeError(`bad property name ${JSON.stringify(property)}`);
  return Script.fromTemplate([property], []);
}

/** ` where …`, or nothing. */
export function whereClause(where: Script | undefined): Script {
  return where === undefined ? ros`` : ros` where ${where}`;
}

/** The index of the quote that ends a string, inner quotes being `\"`; undefined when there is none. */
export function closingQuote(body: string, from: number): number | undefined {
  for (let at = from; at < body.length; at++) {
    if (body[at] === "\\") at++;
    else if (body[at] === '"') return at;
  }
  return undefined;
}
