/** A record's lines by their kind. */
export interface RecordLines {
  /** Flag letters without the blanks between them. */
  readonly flags: string;
  /** Pieces of the comment, in order. */
  readonly comment: string[];
  /** Pieces of the properties, in order, each without its indent. */
  readonly properties: string[];
}

/** ` 31 BMt `, ` 3 `: number, then flags as a word or spread over columns, as far as the first key or comment. */
const RECORD_START = /^ *(\d+)\s+((?:[A-Za-z]{1,10}\s+){0,20})(?=;;;|[a-z][a-z0-9-]*=|$)/;

/** The legend goes on over several lines and ends with the first record. */
const LEGEND_LINE = /^[\w ,;:()/.-]+$/;

/** The state of reading the lines of a print. */
interface Progress {
  readonly records: RecordLines[];
  /** Lines of a comment that stands before its record. */
  ahead: string[];
  /** The number of the latest record. */
  number: number;
  /** Where the first key of the latest record stands; its further lines begin there or further right. */
  column: number;
  /** Whether the latest line was part of a comment. */
  inComment: boolean;
  /** Whether the line before was blank, as it is between two records. */
  afterBlank: boolean;
  inLegend: boolean;
}

/**
 * Cuts `print detail` text into records. The number of a record is its place in the whole list, so a print with `where`
 * has gaps between them; they rise. The lines that a record goes on with begin at the column of its first key, so a
 * number left of that column begins the next record, and one at it or right of it belongs to a value.
 * Source: captures of RouterOS 7.24.4 on RDS2216, with 3 to 15 blanks before the lines that go on.
 * @param startsProperty whether a line begins with a property, which ends a comment
 * @returns undefined when there is text that belongs to no record, or that may belong to two
 */
export function splitRecords(
  output: string,
  startsProperty: (line: string) => boolean,
): RecordLines[] | undefined {
  const progress: Progress = {
    records: [],
    ahead: [],
    number: -1,
    column: Number.POSITIVE_INFINITY,
    inComment: false,
    afterBlank: true,
    inLegend: false,
  };
  for (const line of output.replace(/\r/g, "").split("\n")) {
    if (line.trim() === "") progress.afterBlank = true;
    else if (!takeLine(progress, line, startsProperty)) return undefined;
    else progress.afterBlank = false;
  }
  return progress.ahead.length > 0 ? undefined : progress.records;
}

/** @returns false when the line has no place */
function takeLine(progress: Progress, line: string, startsProperty: (line: string) => boolean): boolean {
  const start = RECORD_START.exec(line);
  if (start !== null && indentOf(line) < progress.column) {
    const number = Number(start[1]);
    // A number that does not rise may be a piece of a grouped size: the text is unreadable.
    if (number <= progress.number) return false;
    const rest = line.slice(start[0].length);
    const record = { flags: (start[2] ?? "").replace(/\s/g, ""), comment: progress.ahead, properties: [] };
    progress.records.push(record);
    progress.number = number;
    progress.column = rest === "" ? indentOf(line) + 1 : start[0].length;
    progress.ahead = [];
    progress.inLegend = false;
    progress.inComment = rest.startsWith(";;;");
    take(record, progress.inComment, progress.inComment ? withoutMark(rest) : rest);
    return true;
  }
  const rest = line.trimStart();
  const record = progress.records.at(-1);
  if (rest.startsWith(";;;") && (progress.afterBlank || record === undefined || outside(progress, line))) {
    if (progress.ahead.length > 0) return false;
    progress.ahead.push(withoutMark(rest));
    return true;
  }
  if (progress.ahead.length > 0) {
    progress.ahead.push(rest);
    return true;
  }
  if (record === undefined) {
    progress.inLegend ||= rest.startsWith("Flags:");
    return progress.inLegend && LEGEND_LINE.test(rest);
  }
  if (rest.startsWith(";;;") && record.comment.length === 0 && record.properties.length === 0) {
    progress.inComment = true;
    record.comment.push(withoutMark(rest));
    return true;
  }
  // A blank line ends a record; a console may print lines of its own behind it.
  if (progress.afterBlank && !progress.inComment) return false;
  if (progress.inComment && startsProperty(rest)) progress.inComment = false;
  take(record, progress.inComment, rest);
  return true;
}

/** Whether a line that is no part of a comment begins left of where the record's lines begin. */
function outside({ inComment, column }: Progress, line: string): boolean {
  return !inComment && indentOf(line) < column;
}

function take(record: RecordLines, isComment: boolean, text: string): void {
  if (text !== "") (isComment ? record.comment : record.properties).push(text);
}

function withoutMark(text: string): string {
  return text.replace(/^;;;\s?/, "");
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
