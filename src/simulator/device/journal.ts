/** Lines that /log holds in memory; the oldest go first. */
const LIMIT = 1000;

/** A line of /log. */
export interface JournalLine {
  readonly topics: string;
  readonly message: string;
}

/** The content of /log: messages of scripts, logins, and changes of users. */
export class Journal {
  #lines: JournalLine[] = [];

  get lines(): readonly JournalLine[] {
    return this.#lines;
  }

  get messages(): readonly string[] {
    return this.#lines.map((line) => line.message);
  }

  note(topics: string, message: string): void {
    this.#lines = [...this.#lines.slice(1 - LIMIT), { topics, message }];
  }
}
