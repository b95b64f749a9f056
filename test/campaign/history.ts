/** One fact of a round, in the order in which the campaign saw them. Times are milliseconds from the beginning of the round. */
export type Fact = { readonly at: number } & (
  | {
      readonly fact: "call";
      readonly volume: string;
      readonly method: string;
      readonly process: string;
      readonly tookMs: number;
      readonly deadlineMs: number;
      /** "OK", or `CODE: message`. */
      readonly outcome: string;
      /** The process was killed, stopped or started during the call, so that its silence proves nothing. */
      readonly disturbed: boolean;
      /** Outcomes that would be wrong, as a regular expression. */
      readonly never?: string;
    }
  /** Records that were read back; the lost ones by their numbers. */
  | {
      readonly fact: "read";
      readonly volume: string;
      readonly node: string;
      readonly records: number;
      readonly lost: readonly string[];
    }
  /** A write or a read of a volume that a node has published has failed. */
  | { readonly fact: "ioError"; readonly volume: string; readonly node: string; readonly error: string }
  /** Nodes that can write to a volume by the device's exports and the nodes' connections, and those that its record names. */
  | {
      readonly fact: "writers";
      readonly volume: string;
      readonly most: number;
      readonly connected: readonly string[];
      readonly recorded: number;
      /** Nodes with an acknowledged attachment that the record does not name. */
      readonly unrecorded: readonly string[];
      /** The last detach was acknowledged, and no attach has begun since. */
      readonly detached: boolean;
      readonly exported: boolean;
    }
  /** Nodes whose publishes were acknowledged of those that were made at once. */
  | {
      readonly fact: "granted";
      readonly volume: string;
      readonly most: number;
      readonly nodes: readonly string[];
    }
  /** e2fsck found errors in a filesystem that was unmounted. */
  | { readonly fact: "damaged"; readonly volume: string; readonly report: string }
  /** A line of a log that speaks of a defect. */
  | { readonly fact: "log"; readonly process: string; readonly line: string }
  /** Unstage was acknowledged while the campaign held the volume. */
  | { readonly fact: "releasedInUse"; readonly volume: string; readonly node: string; readonly by: string }
  | { readonly fact: "size"; readonly volume: string; readonly wanted: number; readonly found: number }
  | { readonly fact: "fault"; readonly what: string }
  | { readonly fact: "calm" }
  /** After the faults: what is not healthy within the limit; undefined if everything is. */
  | { readonly fact: "healthy"; readonly tookMs: number; readonly withinMs: number; readonly not?: string }
  | { readonly fact: "left"; readonly what: string }
  /** A process has ended otherwise than the campaign asked it to. */
  | { readonly fact: "ended"; readonly what: string }
  /** The round was broken off: it took longer than its limit. */
  | { readonly fact: "overlong"; readonly limitMs: number }
  | { readonly fact: "note"; readonly text: string }
);

/** A fact without its time. */
export type NewFact = Fact extends infer F ? (F extends Fact ? Omit<F, "at"> : never) : never;

/** Everything that was seen in a round. */
export class History {
  readonly facts: Fact[] = [];
  readonly #begun = performance.now();
  readonly #errors = new Set<unknown>();

  add(fact: NewFact): void {
    this.facts.push({ at: Math.round(performance.now() - this.#begun), ...fact } as Fact);
  }

  /** An error of the campaign itself, which is a violation; once for each error, however many meet it. */
  broke(error: unknown, how = ""): void {
    if (this.#errors.has(error)) return;
    this.#errors.add(error);
    const line = `${String(error).slice(0, 500)}${how === "" ? "" : ` (${how})`}`;
    this.add({ fact: "log", process: "campaign", line });
  }

  /** Work that is awaited later. If it rejects before that, the error is in the history at once, and whoever awaits it gets it too. */
  begun<T>(work: Promise<T>): Promise<T> {
    work.catch((error) => this.broke(error));
    return work;
  }
}

const cut = (text: string, most = 260) => (text.length > most ? `${text.slice(0, most)}…` : text);

function textOf(fact: Fact): string {
  switch (fact.fact) {
    case "call":
      return `${fact.volume} ${fact.method} (${fact.process}, ${Math.round(fact.tookMs)} ms${fact.disturbed ? ", disturbed" : ""}): ${cut(fact.outcome)}`;
    case "read":
      return `${fact.volume} on ${fact.node}: ${fact.records} records read, ${fact.lost.length === 0 ? "none lost" : `LOST: ${cut(fact.lost.join(", "))}`}`;
    case "ioError":
      return `${fact.volume} on ${fact.node}: I/O failed: ${fact.error}`;
    case "writers":
      return `${fact.volume}: connected ${fact.connected.join("+") || "none"}, in the record ${fact.recorded}${fact.detached ? ", detached" : ""}${fact.exported ? ", exported" : ""}`;
    case "granted":
      return `${fact.volume}: granted to ${fact.nodes.join("+") || "none"} of all nodes at once`;
    case "damaged":
      return `${fact.volume}: the filesystem is damaged: ${cut(fact.report)}`;
    case "log":
      return `log of ${fact.process}: ${fact.line}`;
    case "releasedInUse":
      return `${fact.volume} on ${fact.node}: unstaged while in use by ${fact.by}`;
    case "size":
      return `${fact.volume}: ${fact.found} bytes, ${fact.wanted} wanted`;
    case "fault":
      return `FAULT ${fact.what}`;
    case "calm":
      return "--- the faults have stopped";
    case "healthy":
      return fact.not === undefined
        ? `healthy after ${Math.round(fact.tookMs)} ms`
        : `NOT healthy after ${Math.round(fact.tookMs)} ms: ${fact.not}`;
    case "left":
      return `left: ${fact.what}`;
    case "ended":
      return `ENDED: ${fact.what}`;
    case "overlong":
      return `BROKEN OFF: the round took longer than ${fact.limitMs} ms`;
    case "note":
      return fact.text;
  }
}

/** The history as lines for a person. Of calls that are repeated with the same outcome only the first and the number are shown. */
export function historyLines(facts: readonly Fact[]): string[] {
  const lines: string[] = [];
  const same = new Map<string, { readonly at: number; count: number }>();
  for (const fact of facts) {
    const line = `${String(fact.at).padStart(7)} ms  ${textOf(fact)}`;
    if (fact.fact !== "call" || fact.outcome === "OK") {
      lines.push(line);
      continue;
    }
    const key = `${fact.volume} ${fact.method} ${cut(fact.outcome, 90).replace(/\d+/g, "N")}`;
    const known = same.get(key);
    if (known === undefined) same.set(key, { at: lines.push(line) - 1, count: 1 });
    else known.count += 1;
  }
  for (const { at, count } of same.values()) if (count > 1) lines[at] += ` (${count} times)`;
  return lines;
}
