const BLANKS_AND_STOPS = new Set([" ", "\t", "\n", "\r", "."]);

/**
 * Text without the blanks and full stops at its end. Foreign texts (of the API server, RouterOS, a program) may end with a full stop,
 * which is removed before another is added. Linear in the length of the text.
 */
export function withoutStop(text: string): string {
  let end = text.length;
  while (end > 0 && BLANKS_AND_STOPS.has(text[end - 1] ?? "")) end -= 1;
  return text.slice(0, end);
}

/** Text with exactly one full stop at its end. */
export function sentence(text: string): string {
  return `${withoutStop(text)}.`;
}

/** A count with its noun: `counted(1, "process", "processes")` is `1 process`. */
export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
