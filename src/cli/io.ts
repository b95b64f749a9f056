/** What a command sees of its process; tests give their own. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes to standard output, synchronously and completely. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Columns of the terminal on standard output; undefined when it is none. */
  readonly columns: number | undefined;
  /** Rows of that terminal; undefined when it is none or does not say. */
  readonly rows?: number | undefined;
  /** Whether standard output may be coloured: a terminal, and NO_COLOR (no-color.org) is unset or empty. */
  readonly colour: boolean;
  /** Aborted when the process is told to stop. */
  readonly stop: AbortSignal;
}
