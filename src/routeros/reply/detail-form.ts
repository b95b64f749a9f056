import { payload, printed } from "../envelope.ts";
import { ros } from "../script.ts";
import { type RecordLines, splitRecords } from "./detail-records.ts";
import { closingQuote, type ReplyForm, whereClause } from "./form.ts";
import type { Row } from "./row.ts";

/**
 * Flag letters of `/disk print`, by property. Source: RouterOS manual "Disks" and the flag legends that
 * 7.24 consoles print.
 */
const DISK_FLAGS: ReadonlyMap<string, string> = new Map([
  ["X", "disabled"],
  ["E", "empty"],
  ["B", "block-device"],
  ["M", "mounted"],
  ["F", "formatting"],
  ["t", "nvme-tcp-export"],
]);

/**
 * Every property that `/disk/print detail` and `/file/print detail` show. A comment ends at a line that starts with one.
 * Source: RouterOS CLI reference, "Disk" and "File"; captures of 7.24.4.
 */
const PROPERTIES: ReadonlySet<string> = new Set(
  (
    "type slot slot-default parent fs-label fs-uuid fs model serial fw-version size free total-inodes free-inodes use " +
    "mount-point mount-point-template mount-filesystem mount-read-only compress sector-size interface interface-speed state " +
    "raid-type raid-device-count raid-max-component-size raid-chunk-size raid-master raid-role raid-member-failed raid-member-state " +
    "raid-uuid nvme-tcp-export nvme-tcp-server-port nvme-tcp-server-nqn nvme-tcp-server-allow-host-name nvme-tcp-server-password " +
    "nvme-tcp-server-secret iscsi-export iscsi-server-iqn iscsi-server-port nfs-sharing smb-sharing media-sharing media-interface " +
    "swap file-path file-size file-offset comment disabled name last-modified creation-time contents"
  ).split(" "),
);

/** Length of the text before a wrap that may hold a property's name: longer than any name. */
const TAIL = 64;

/**
 * Rows from `print detail`: the last resort, as this text is wrapped, humanised and has no escapes. The same line counts
 * the rows, so that text which was taken apart wrongly is noticed: it is unreadable then, never a shorter list.
 */
export const detailForm: ReplyForm = {
  name: "detail",
  script: ({ label, menu, where }) => {
    const count = payload(countLabel(label), ros`[:len [${menu}/find${whereClause(where)}]]`);
    return ros`${count}; ${printed(label, ros`${menu}/print detail without-paging${whereClause(where)}`)}`;
  },
  parse: (reply, { label }) => {
    const text = reply.text(label);
    const rows = text === undefined ? undefined : parseDetail(text);
    return String(rows?.length) === reply.flat(countLabel(label))?.trim() ? rows : undefined;
  },
};

function countLabel(label: string): string {
  return `${label}-count`;
}

/**
 * Reads `print detail` text. Values that the console broke over lines are joined again; a comment
 * (`;;; text`, before the record or behind its flags) becomes the property `comment`.
 * @returns undefined when the text has not the form of a print, or a record has a property twice
 */
export function parseDetail(output: string): readonly Row[] | undefined {
  const records = splitRecords(output, (line) => propertyAtStart(line) !== undefined);
  const rows = records?.map(rowOf);
  return rows?.every((row) => row !== undefined) ? rows : undefined;
}

function rowOf({ flags, comment, properties }: RecordLines): Row | undefined {
  const row = new Map<string, string>();
  for (const [key, value] of tokens(join(properties)) ?? [["", ""]]) {
    // Two records in one, a comment that was taken for properties, or a string without its end.
    if (key === "" || row.has(key)) return undefined;
    row.set(key, value);
  }
  if (comment.length > 0) {
    if (row.has("comment")) return undefined;
    row.set("comment", comment.join(""));
  }
  for (const letter of flags) {
    const property = DISK_FLAGS.get(letter);
    if (property !== undefined && !row.has(property)) row.set(property, "true");
  }
  return row;
}

/**
 * Joins wrapped lines. Whether the console broke at a blank or inside a value cannot be seen, so lines are
 * joined with nothing, and a blank is put back only where a property starts the next line.
 */
function join(lines: readonly string[]): string {
  const pieces: string[] = [];
  const strings = new StringTracker();
  let tail = "";
  for (const line of lines) {
    const piece = !strings.inside && pieces.length > 0 && beginsProperty(tail, line) ? ` ${line}` : line;
    pieces.push(piece);
    tail = (tail + piece).slice(-TAIL);
    strings.take(piece);
  }
  return pieces.join("");
}

/** Follows whether text that comes in pieces stands inside a string, which begins with `="`. */
class StringTracker {
  inside = false;
  #before = "";

  take(piece: string): void {
    for (const char of piece) {
      if (this.inside && this.#before === "\\") this.#before = "";
      else {
        if (char === '"' && (this.inside || this.#before === "=")) this.inside = !this.inside;
        this.#before = char;
      }
    }
  }
}

/** Whether a wrapped line begins a property, and does not end the name that the line before began. */
function beginsProperty(before: string, line: string): boolean {
  const key = keyAtStart(line);
  if (key === undefined) return false;
  // `file-` at the end of one line and `size=` at the start of the next are one name; `511` belongs to a number.
  const begun = /(?:^|\s)([a-z][a-z0-9-]*)$/.exec(before)?.[1] ?? "";
  if (begun === "" || begun.length >= TAIL) return true;
  return PROPERTIES.has(key) && !PROPERTIES.has(begun + key) && !begun.endsWith("-");
}

/** The name before the `=` that a line starts with, if it does. */
function keyAtStart(line: string): string | undefined {
  return /^([a-z][a-z0-9-]*)=/.exec(line)?.[1];
}

/** The known property that a line starts with, if it does. */
function propertyAtStart(line: string): string | undefined {
  const key = keyAtStart(line);
  return key !== undefined && PROPERTIES.has(key) ? key : undefined;
}

/** Names and values; undefined when a string has no end, or when there is text between two of them. */
function tokens(body: string): [string, string][] | undefined {
  const out: [string, string][] = [];
  const key = /(?:^|\s)([a-z][a-z0-9-]*)=/g;
  let at = 0;
  for (;;) {
    key.lastIndex = at;
    const match = key.exec(body);
    if (body.slice(at, match?.index ?? body.length).trim() !== "") return undefined;
    if (match === null) return out;
    const from = match.index + match[0].length;
    const name = match[1] ?? "";
    if (body[from] === '"') {
      const to = closingQuote(body, from + 1);
      if (to === undefined) return undefined;
      out.push([name, unescapeText(body.slice(from + 1, to))]);
      at = to + 1;
    } else {
      key.lastIndex = from;
      const to = key.exec(body)?.index ?? body.length;
      out.push([name, body.slice(from, to).trim()]);
      at = to;
    }
  }
}

function unescapeText(value: string): string {
  return value.replace(/\\(["\\$?])/g, "$1");
}
