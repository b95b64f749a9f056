import { printed } from "../envelope.ts";
import { ros } from "../script.ts";
import type { ReplyForm } from "./form.ts";
import { whereClause } from "./json-form.ts";
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
 * Every property that `/disk/print detail` and `/file/print detail` show. A wrapped line that starts with
 * one of these starts a new property; anything else goes on with the value, or the name, before it.
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

/** ` 3 BMt `, ` 3 `: number, then flags as a word or spread over columns. */
const RECORD_START = /^\s*(\d+)\s+((?:[A-Za-z]{1,10}\s+)*)(?=(?:;;;|[a-z][a-z0-9-]*=|$))/;

/** Rows from `print detail`: the last resort, as this text is wrapped, humanised and has no escapes. */
export const detailForm: ReplyForm = {
  name: "detail",
  script: ({ label, menu, where }) =>
    printed(label, ros`${menu}/print detail without-paging${whereClause(where)}`),
  parse: (reply, { label }) => {
    const text = reply.text(label);
    return text === undefined ? undefined : parseDetail(text);
  },
};

/**
 * Reads `print detail` text. Values that the console broke over lines are joined again; a comment
 * (`;;; text`, before the record or behind its flags) becomes the property `comment`.
 * @returns undefined when the text has not the form of a print
 */
export function parseDetail(output: string): readonly Row[] | undefined {
  const records = splitRecords(output);
  return records?.map(rowOf);
}

/** A record's lines, sorted by what they are. */
interface RecordLines {
  readonly flags: string;
  readonly comment: string[];
  readonly properties: string[];
}

/**
 * Records are groups of lines; a new one starts with its number in the first columns. undefined when there is text
 * that belongs to none.
 */
function splitRecords(output: string): RecordLines[] | undefined {
  const records: RecordLines[] = [];
  let expected: number | undefined;
  /** Lines of a comment that stands before its record. */
  let ahead: string[] = [];
  let inComment = false;
  for (const line of output.replace(/\r/g, "").split("\n")) {
    if (line.trim() === "") continue;
    const start = RECORD_START.exec(line);
    // Continuation lines are indented by 7 or 15 blanks; a number of at most four digits starts before that.
    const begins =
      start !== null && /^\s{0,4}\d/.test(line) && (expected ?? Number(start[1])) === Number(start[1]);
    if (begins) {
      records.push({ flags: (start[2] ?? "").replace(/\s/g, ""), comment: ahead, properties: [] });
      expected = Number(start[1]) + 1;
      ahead = [];
      inComment = false;
    }
    const rest = (begins ? line.slice(start[0].length) : line).trimStart();
    const record = records.at(-1);
    const comment = /^;;;\s?/.exec(rest);
    if (comment !== null) {
      inComment = true;
      (begins ? record?.comment : ahead)?.push(rest.slice(comment[0].length));
    } else if (inComment && propertyAtStart(rest) === undefined) {
      (ahead.length > 0 ? ahead : record?.comment)?.push(rest);
    } else if (record !== undefined) {
      inComment = false;
      record.properties.push(rest);
    } else if (!/^Flags:|^[\w ,;-]+$/.test(rest)) {
      // Before the first record there is only the flag legend.
      return undefined;
    }
  }
  return ahead.length > 0 ? undefined : records;
}

function rowOf({ flags, comment, properties }: RecordLines): Row {
  const row = new Map<string, string>();
  for (const letter of flags) {
    const property = DISK_FLAGS.get(letter);
    if (property !== undefined) row.set(property, "true");
  }
  if (comment.length > 0) row.set("comment", comment.join(""));
  for (const [key, value] of tokens(join(properties))) row.set(key, value);
  return row;
}

/**
 * Joins wrapped lines. Whether the console broke at a blank or inside a value cannot be seen, so lines are
 * joined with nothing, and a blank is put back only where a property starts the next line.
 */
function join(lines: readonly string[]): string {
  return lines.reduce((joined, body, index) => {
    if (index === 0) return body;
    const key = propertyAtStart(body);
    // `file-` at the end of one line and `size=` at the start of the next are one name.
    const begun = /(?:^|\s)([a-z0-9-]+)$/.exec(joined)?.[1] ?? "";
    const broken = key !== undefined && begun !== "" && PROPERTIES.has(begun + key);
    return key === undefined || broken ? joined + body : `${joined} ${body}`;
  }, "");
}

/** The property that a line starts with, if it does. */
function propertyAtStart(line: string): string | undefined {
  const key = /^([a-z][a-z0-9-]*)=/.exec(line)?.[1];
  return key !== undefined && PROPERTIES.has(key) ? key : undefined;
}

function tokens(body: string): [string, string][] {
  const out: [string, string][] = [];
  const key = /(?:^|\s)([a-z][a-z0-9-]*)=/g;
  let at = 0;
  for (;;) {
    key.lastIndex = at;
    const match = key.exec(body);
    if (match === null) return out;
    const from = match.index + match[0].length;
    const name = match[1] ?? "";
    if (body[from] === '"') {
      const to = closingQuote(body, from + 1);
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

/** The index of the quote that ends a string; the console writes inner quotes as `\"`. */
function closingQuote(body: string, from: number): number {
  for (let at = from; at < body.length; at++) {
    if (body[at] === "\\") at++;
    else if (body[at] === '"') return at;
  }
  return body.length;
}

function unescapeText(value: string): string {
  return value.replace(/\\(["\\$?])/g, "$1");
}
