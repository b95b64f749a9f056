import { randomBytes } from "node:crypto";
import { failure } from "../domain/errors/driver-error.ts";
import { envelope, type Reply } from "./envelope.ts";
import {
  classifyFailure,
  type FailureClass,
  ownReason,
  type Rejection,
  rejectionOf,
  tidyFailure,
} from "./failure-class.ts";
import { detailForm } from "./reply/detail-form.ts";
import type { Listing, ReplyForm } from "./reply/form.ts";
import { briefForm, jsonForm } from "./reply/json-form.ts";
import { linesForm } from "./reply/lines-form.ts";
import type { Row } from "./reply/row.ts";
import { SharedReplies } from "./reply/shared-replies.ts";
import { nothing, type Script } from "./script.ts";
import type { Priority, Purpose, Transport } from "./transport/transport.ts";

/** From the moment at which they are sent, reads answer within this time, changes within the next. Milliseconds. */
export const READ_TIMEOUT_MS = 15_000;
export const CHANGE_TIMEOUT_MS = 60_000;

/** One command and the use of its reply. */
export interface Command {
  /** For error messages, e.g. `create volume csi-…`. */
  readonly what: string;
  /** `read` must not change anything; equal reads may share one round trip. */
  readonly purpose: Purpose;
  /** Default: that of the purpose. */
  readonly lane?: Purpose;
  /** The object that is changed: see `ExecOptions.orderKey`. */
  readonly orderKey?: string;
  /** Default: `background` on behalf of a background job, else `interactive`. */
  readonly priority?: Priority;
  /** Rows that the body prints, if any. */
  readonly listing?: Listing;
  /** The statements; `rows` prints the listing and may stand anywhere among them. */
  readonly body: (rows: Script) => Script;
  readonly signal: AbortSignal;
  /** Equal reads with the same key that wait to be sent are answered by one command. */
  readonly coalesceKey?: string;
}

/** A command that ran and said `ok`. */
export interface CommandResult {
  readonly reply: Reply;
  /** Empty when the command has no listing. */
  readonly rows: readonly Row[];
}

/** A runtime error of RouterOS: statements before it took effect, the failing one did not. */
export interface CommandFailure {
  readonly kind: FailureClass;
  /** The reason that a script of ours gave, for kind `own`. */
  readonly reason: string | undefined;
  readonly text: string;
}

export type CommandOutcome =
  | ({ readonly ok: true } & CommandResult)
  | { readonly ok: false; readonly failure: CommandFailure };

const FORMS: readonly ReplyForm[] = [jsonForm, linesForm, detailForm];

/**
 * Runs scripts on one RouterOS device. Knows the envelope and the forms of replies, not volumes.
 * It throws when the outcome is unknown or the device refuses to talk. It returns runtime errors of RouterOS, as only the
 * caller knows their meaning.
 */
export class RouterOsClient {
  readonly #transport: Transport;
  readonly #nonce: () => string;
  readonly #forms: readonly ReplyForm[];
  readonly #onFailure: (kind: FailureClass) => void;
  readonly #replies = new SharedReplies();
  /** Index of the form that this device understands. */
  #form = 0;
  /** Whether this device can print chosen properties; undefined until it was asked to. */
  #isBrief: boolean | undefined;
  /** Whether a reply in that form has been read. */
  #isProven = false;

  /**
   * @param forms the reply forms to try, in order
   * @param onFailure called for each answer that is an error
   */
  constructor(
    transport: Transport,
    nonce: () => string = () => randomBytes(8).toString("hex"),
    forms: readonly ReplyForm[] = FORMS,
    onFailure: (kind: FailureClass) => void = () => {},
  ) {
    this.#transport = transport;
    this.#nonce = nonce;
    this.#forms = forms;
    this.#onFailure = onFailure;
  }

  get address(): string {
    return this.#transport.address;
  }

  /** Whether long lists come with chosen properties; undefined while that is not known. */
  get readsBrief(): boolean | undefined {
    return this.#form === 0 ? this.#isBrief : false;
  }

  /**
   * Runs one command line.
   * @throws rdsUnreachable, rdsOutcomeUnknown, replyUnreadable, permissionDenied, commandRejected, commandHalfRun
   * and the transport's other failures
   */
  async run(command: Command): Promise<CommandOutcome> {
    const { what, purpose, listing } = command;
    // A change is sent in a form that the device is known to understand: a form that fails at the end of the line would
    // leave it done and unread, and sending it again in the next form would do it twice.
    // Replies to other commands may unsettle the form meanwhile.
    for (let tries = 0; purpose !== "read" && listing !== undefined && !this.#isProven; tries += 1) {
      if (tries > this.#forms.length) throw failure("replyUnreadable", { what, detail: "in no form" });
      await this.#prove(command, listing);
    }
    if (listing?.brief === true && this.readsBrief !== false && this.#formAt(0) === jsonForm) {
      const outcome = await this.#attempt(command, briefForm);
      if ("ok" in outcome) {
        if (outcome.ok) this.#isBrief = true;
        return outcome;
      }
      this.#isBrief = false;
    }
    let first: Rejection | undefined;
    for (let index = this.#form; index < this.#forms.length; index++) {
      const outcome = await this.#attempt(command, this.#formAt(index));
      if ("ok" in outcome) {
        if (outcome.ok && listing !== undefined) this.#understood(index);
        return outcome;
      }
      first ??= outcome;
      if (listing === undefined || purpose !== "read") break;
    }
    const detail = first?.text ?? "";
    if (purpose !== "read" && first?.ran === "some") throw failure("commandHalfRun", { what, detail });
    throw failure("commandRejected", { what, detail });
  }

  /** Finds the form that the device understands, by a read. */
  async #prove({ what, signal, lane, purpose }: Command, listing: Listing): Promise<void> {
    await this.run({ what, signal, listing, lane: lane ?? purpose, purpose: "read", body: (rows) => rows });
  }

  #understood(index: number): void {
    if (index < this.#form) return;
    this.#form = index;
    this.#isProven = true;
  }

  #formAt(index: number): ReplyForm {
    return this.#forms[index] ?? jsonForm;
  }

  async #attempt(command: Command, form: ReplyForm): Promise<CommandOutcome | Rejection> {
    const { what, purpose, lane, listing, signal, orderKey, priority } = command;
    const rowsScript = listing === undefined ? nothing : form.script(listing);
    const nonce = this.#nonce();
    const sent = await this.#transport.exec(envelope(command.body(rowsScript)).render(nonce), {
      signal,
      purpose,
      what,
      nonce,
      ...(lane === undefined ? {} : { lane }),
      timeoutMs: purpose === "read" ? READ_TIMEOUT_MS : CHANGE_TIMEOUT_MS,
      ...(purpose === "read" || orderKey === undefined ? {} : { orderKey }),
      ...(priority === undefined ? {} : { priority }),
      ...(command.coalesceKey === undefined ? {} : { coalesceKey: `${form.name}:${command.coalesceKey}` }),
    });
    // A shared reply carries the nonce of the line that was sent for all.
    const reply = this.#replies.read(sent, nonceOf(sent.line) ?? nonce);
    const { verdict } = reply;
    if (verdict.kind === "runtime") {
      const kind = classifyFailure(verdict.text);
      this.#onFailure(kind);
      // Words that the version does not know fail where they stand, and `:onerror` catches some of these failures. A change is
      // sent in a form that works, so its failure is not one of the form.
      const isForms = kind === "parse" || (form === briefForm && kind === "argument");
      if (isForms && listing !== undefined && purpose === "read") {
        return { ran: "some", text: tidyFailure(verdict.text) };
      }
      return failed(what, verdict.text);
    }
    if (verdict.kind === "none") return this.#withoutVerdict(command, verdict.text);
    if (listing === undefined) return { ok: true, reply, rows: [] };
    const rows = this.#replies.rows(reply, form, listing);
    if (rows !== undefined) return { ok: true, reply, rows };
    if (form === briefForm) return { ran: "some", text: "rows without properties that every item shows" };
    // It ran, but this form cannot be read on this device: the next command uses the next form. Of several commands at once the
    // first to notice it changes the form.
    if (this.#formAt(this.#form) === form) {
      this.#form = Math.min(this.#form + 1, this.#forms.length - 1);
      this.#isProven = false;
    }
    throw failure("replyUnreadable", { what, detail: `${form.name} payload missing or malformed` });
  }

  #withoutVerdict({ what, purpose }: Command, text: string): Rejection {
    const rejection = rejectionOf(text);
    const kind = rejection === undefined ? classifyFailure(text) : "parse";
    if (kind !== "other") this.#onFailure(kind);
    if (rejection !== undefined) return rejection;
    const detail = tidyFailure(text);
    if (kind === "permission") throw failure("permissionDenied", { what, detail });
    if (purpose === "read") {
      throw failure("replyUnreadable", { what, detail: detail || "no verdict in the reply" });
    }
    throw failure("rdsOutcomeUnknown", { what, reason: detail || "the reply was cut off" });
  }
}

function failed(what: string, text: string): CommandOutcome {
  const kind = classifyFailure(text);
  if (kind === "permission") throw failure("permissionDenied", { what, detail: tidyFailure(text) });
  return { ok: false, failure: { kind, reason: ownReason(text), text: tidyFailure(text) } };
}

function nonceOf(line: string): string | undefined {
  return /~ok:([0-9a-f]+)~/.exec(line)?.[1];
}
