import { type Reply, readReply } from "../envelope.ts";
import type { Listing, ReplyForm } from "./form.ts";
import type { Row } from "./row.ts";

/** The raw reply of one command. Callers whose reads were joined get the same object. */
export interface RawReply {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Reads each reply once, however many callers share it: they get the same verdict and the same rows. Rows are frozen lists. A reply is
 * remembered as long as a caller holds its object.
 */
export class SharedReplies {
  readonly #replies = new WeakMap<RawReply, Reply>();
  readonly #rows = new WeakMap<Reply, Map<string, readonly Row[] | undefined>>();

  /** The verdict and payloads of a reply. @param nonce that of the line that was sent */
  read(raw: RawReply, nonce: string): Reply {
    const known = this.#replies.get(raw);
    if (known?.nonce === nonce) return known;
    const reply = readReply(nonce, raw.stdout, raw.stderr);
    this.#replies.set(raw, reply);
    return reply;
  }

  /** The rows of a reply; undefined when they are missing or unreadable. */
  rows(reply: Reply, form: ReplyForm, listing: Listing): readonly Row[] | undefined {
    const known = this.#rows.get(reply) ?? new Map<string, readonly Row[] | undefined>();
    this.#rows.set(reply, known);
    const key = [form.name, listing.label, ...listing.properties].join(" ");
    if (known.has(key)) return known.get(key);
    const rows = form.parse(reply, listing);
    known.set(key, rows === undefined ? undefined : Object.freeze(rows));
    return known.get(key);
  }
}
