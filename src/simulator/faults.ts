import type { Policy } from "./device/users.ts";
import { SimulatorError } from "./errors.ts";

/** Which commands a fault strikes; everything left out matches. */
export interface FaultWhen {
  /** Only the n-th matching command from now, 1 being the next. */
  readonly nth?: number;
  /** Only lines that match. */
  readonly line?: RegExp;
  /** How many times it strikes; default 1, Infinity for ever. */
  readonly count?: number;
}

export type FaultAction =
  /** The connection drops, nothing is executed. */
  | { readonly kind: "cutBefore" }
  /** Executed to the end, then the connection drops instead of an answer. */
  | { readonly kind: "cutAfter" }
  /** Executed until the k-th statement that changed state (from 1), then the connection drops. */
  | { readonly kind: "cutMidway"; readonly statement: number }
  /** The answer comes `ms` later; the line is executed first. */
  | { readonly kind: "delay"; readonly ms: number }
  /** Executed only after `release()`. */
  | { readonly kind: "hang" }
  /**
   * Executed up to its n-th boundary (from 1), and further only after `release()`. Boundaries lie before each statement and,
   * with `interleaving=arguments`, between a command and the `find` that is its argument.
   */
  | { readonly kind: "hangMidway"; readonly boundary: number }
  /** Only the first `bytes` bytes of the output arrive, then the channel closes without exit status. */
  | { readonly kind: "truncateOutput"; readonly bytes: number }
  | { readonly kind: "diskFull" }
  | { readonly kind: "permissionMissing"; readonly policy: Policy }
  /** New connections are closed at once, or their logins fail. */
  | { readonly kind: "refuseSessions"; readonly mode: "close" | "authentication" };

/** A fault that has been set. */
export interface FaultHandle {
  readonly action: FaultAction;
  /** How often it has struck. */
  readonly hits: number;
  remove(): void;
}

interface Rule extends FaultHandle {
  readonly when: FaultWhen;
  hits: number;
  seen: number;
}

/** Faults to inject; rules are asked in the order in which they were set. */
export class Faults {
  readonly #rules: Rule[] = [];
  /** Every rule that was ever set. */
  readonly #set: Rule[] = [];
  readonly #waiting: (() => void)[] = [];

  get rules(): readonly FaultHandle[] {
    return this.#rules;
  }

  /** How often each rule has struck, in the order in which they were set; those that are removed stay in the list. */
  get hits(): readonly number[] {
    return this.#set.map(({ hits }) => hits);
  }

  add(action: FaultAction, when: FaultWhen = {}): FaultHandle {
    const rule: Rule = { action, when, hits: 0, seen: 0, remove: () => this.#remove(rule) };
    this.#rules.push(rule);
    this.#set.push(rule);
    return rule;
  }

  cutBefore(when?: FaultWhen): FaultHandle {
    return this.add({ kind: "cutBefore" }, when);
  }

  cutAfter(when?: FaultWhen): FaultHandle {
    return this.add({ kind: "cutAfter" }, when);
  }

  /** @param statement which statement that changes state is the last one executed; 1 is the first */
  cutMidway(statement: number, when?: FaultWhen): FaultHandle {
    return this.add({ kind: "cutMidway", statement }, when);
  }

  delay(ms: number, when?: FaultWhen): FaultHandle {
    return this.add({ kind: "delay", ms }, when);
  }

  hangMidway(boundary: number, when?: FaultWhen): FaultHandle {
    return this.add({ kind: "hangMidway", boundary }, when);
  }

  hang(when?: FaultWhen): FaultHandle {
    return this.add({ kind: "hang" }, when);
  }

  truncateOutput(bytes: number, when?: FaultWhen): FaultHandle {
    return this.add({ kind: "truncateOutput", bytes }, when);
  }

  diskFull(when?: FaultWhen): FaultHandle {
    return this.add({ kind: "diskFull" }, when);
  }

  permissionMissing(policy: Policy, when?: FaultWhen): FaultHandle {
    return this.add({ kind: "permissionMissing", policy }, when);
  }

  /** @param options.count how many connections are refused; default: until removed */
  refuseSessions(options: { mode?: "close" | "authentication"; count?: number } = {}): FaultHandle {
    const { mode = "close", count = Number.POSITIVE_INFINITY } = options;
    return this.add({ kind: "refuseSessions", mode }, { count });
  }

  /** How many commands hang now. */
  get hanging(): number {
    return this.#waiting.length;
  }

  /** Lets hanging commands go on. @param most so many, those that have hung longest; default: all */
  release(most = this.#waiting.length): void {
    for (const resume of this.#waiting.splice(0, most)) resume();
  }

  /** Removes all rules and releases the lines that hang. */
  clear(): void {
    this.#rules.length = 0;
    this.release();
  }

  #remove(rule: Rule): void {
    const at = this.#rules.indexOf(rule);
    if (at >= 0) this.#rules.splice(at, 1);
  }

  #strike(rule: Rule): void {
    rule.hits += 1;
    if (rule.hits >= (rule.when.count ?? 1)) this.#remove(rule);
  }

  /** The faults that strike this command; counts it for all rules. */
  takeForLine(line: string): readonly FaultAction[] {
    const struck: FaultAction[] = [];
    for (const rule of [...this.#rules]) {
      if (rule.action.kind === "refuseSessions") continue;
      if (rule.when.line !== undefined && line.search(rule.when.line) < 0) continue;
      rule.seen += 1;
      if (rule.when.nth !== undefined && rule.seen < rule.when.nth) continue;
      struck.push(rule.action);
      this.#strike(rule);
    }
    return struck;
  }

  /** How a new connection is to be refused; undefined when it is not. */
  takeForSession(mode: "close" | "authentication"): boolean {
    for (const rule of this.#rules) {
      if (rule.action.kind !== "refuseSessions" || rule.action.mode !== mode) continue;
      this.#strike(rule);
      return true;
    }
    return false;
  }

  /** Resolves when `release()` or `clear()` is called. */
  untilReleased(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** A fault as JSON, for the control socket: the action's fields beside `line` (text), `nth` and `count`. */
export function parseFault(value: unknown): { action: FaultAction; when: FaultWhen } {
  if (typeof value !== "object" || value === null) throw new SimulatorError("a fault must be a JSON object");
  const fields = value as Record<string, unknown>;
  const number = (name: string, least: number): number => {
    const found = fields[name];
    if (typeof found === "number" && Number.isSafeInteger(found) && found >= least) return found;
    throw new SimulatorError(`field ${name} of a fault must be an integer, ${least} or more`);
  };
  const when: { -readonly [K in keyof FaultWhen]: FaultWhen[K] } = {};
  if (fields.nth !== undefined) when.nth = number("nth", 1);
  if (fields.count === "forever") when.count = Number.POSITIVE_INFINITY;
  else if (fields.count !== undefined) when.count = number("count", 1);
  if (fields.line !== undefined) {
    try {
      when.line = new RegExp(String(fields.line));
    } catch {
      throw new SimulatorError("field line of a fault must be a regular expression");
    }
  }
  return { action: parseAction(fields, number), when };
}

function parseAction(
  fields: Readonly<Record<string, unknown>>,
  number: (name: string, least: number) => number,
): FaultAction {
  const { kind } = fields;
  switch (kind) {
    case "cutBefore":
    case "cutAfter":
    case "hang":
    case "diskFull":
      return { kind };
    case "cutMidway":
      return { kind, statement: number("statement", 1) };
    case "hangMidway":
      return { kind, boundary: number("boundary", 1) };
    case "delay":
      return { kind, ms: number("ms", 0) };
    case "truncateOutput":
      return { kind, bytes: number("bytes", 0) };
    case "permissionMissing":
      return { kind, policy: String(fields.policy) as Policy };
    case "refuseSessions":
      return { kind, mode: fields.mode === "authentication" ? "authentication" : "close" };
    default:
      throw new SimulatorError(`there is no fault ${JSON.stringify(kind)}`);
  }
}
