import { randomBytes } from "node:crypto";
import type { Clock } from "../domain/clock.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { envelope, type Reply, readReply } from "../routeros/envelope.ts";
import { tidyFailure } from "../routeros/failure-class.ts";
import type { Listing } from "../routeros/reply/form.ts";
import type { Row } from "../routeros/reply/row.ts";
import { ros, type Script } from "../routeros/script.ts";
import { addressOf, type ConnectionOptions } from "../routeros/transport/connection.ts";
import type { ProbeHost } from "./node/host.ts";
import { isAnswered, type Raw, Session, type SessionOptions, textOf, transportOf } from "./session.ts";
import { Transcript } from "./transcript.ts";
import { Unanswered } from "./unanswered.ts";

/** Limit of one line that is to be answered at once. Milliseconds. */
export const LINE_MS = 15_000;

/** Durations of a connection, milliseconds, and its limit for output, bytes. */
export const CONNECTION = {
  connectTimeoutMs: 10_000,
  tcpKeepaliveMs: 15_000,
  channelGraceMs: 2_000,
  maxOutputBytes: 16 * 1_024 * 1_024,
} as const;

/** Settings of a probe. */
export interface ProbeSettings {
  /** Of each connection; the user may have a suffix. */
  readonly connection: SessionOptions;
  /** Slot of the pool for the scratch stage. */
  readonly pool: string;
  /** How long a connection stays idle in the experiment about that. Milliseconds. */
  readonly idleMs: number;
  /** How long a line waits beside which another one is to run. Milliseconds, a multiple of 100. */
  readonly holdMs: number;
  /** Time between keepalive requests in the experiment about them. Milliseconds. */
  readonly keepaliveMs: number;
}

/** The reply to an enveloped line. */
export type Told =
  | { readonly ok: true; readonly reply: Reply; readonly tookMs: number }
  | { readonly ok: false; readonly text: string; readonly tookMs: number };

/** The access of experiments to one device. */
export class Bench {
  readonly settings: ProbeSettings;
  /** This machine as a host of NVMe/TCP; only in the stage `node`. */
  readonly host: ProbeHost | undefined;
  /** The lines that were sent as they stand, and their answers. */
  readonly transcript = new Transcript();
  readonly #signal: AbortSignal;
  #main: Promise<Session> | undefined;
  readonly #others = new Set<Session>();

  constructor(settings: ProbeSettings, signal: AbortSignal, host?: ProbeHost) {
    this.settings = settings;
    this.host = host;
    this.#signal = signal;
  }

  get clock(): Clock {
    return this.settings.connection.clock;
  }

  /** `host:port`. */
  get address(): string {
    return addressOf(this.settings.connection);
  }

  /** The session of most lines; made anew after its connection has gone. */
  async main(): Promise<Session> {
    const held = await this.#main?.catch(() => undefined);
    if (held?.isOpen !== true) this.#main = Session.open(this.settings.connection, this.#signal);
    return (await this.#main) as Session;
  }

  /** A connection of its own for `work`, which ends with it. @param more settings that differ */
  async withSession<T>(
    work: (session: Session) => Promise<T>,
    more: Partial<ConnectionOptions> = {},
  ): Promise<T> {
    const session = await Session.open({ ...this.settings.connection, ...more }, this.#signal);
    this.#others.add(session);
    try {
      return await work(session);
    } finally {
      this.#others.delete(session);
      await session.close();
    }
  }

  /**
   * Sends a line as it stands. Only for constant text.
   * @param isPrivate whether the answer may list things of other people
   * @throws Unanswered
   */
  async raw(line: string, limitMs = LINE_MS, session?: Session, isPrivate = false): Promise<Raw> {
    const answer = await (session ?? (await this.main())).exec(line, limitMs);
    if (!isAnswered(answer)) throw new Unanswered(`${answer.ended}: ${answer.reason}`);
    this.transcript.add(line, answer, isPrivate);
    return answer;
  }

  /** Runs statements under the driver's envelope. @throws Unanswered also for a line without verdict */
  async tell(script: Script, limitMs = LINE_MS, session?: Session): Promise<Told> {
    const nonce = randomBytes(8).toString("hex");
    const answer = await this.raw(envelope(script).render(nonce), limitMs, session);
    const reply = readReply(nonce, answer.stdout, answer.stderr);
    const { tookMs } = answer;
    if (reply.verdict.kind === "ok") return { ok: true, reply, tookMs };
    if (reply.verdict.kind === "runtime") return { ok: false, text: tidyFailure(reply.verdict.text), tookMs };
    const text = textOf(answer)
      .trim()
      .replace(/[\r\n]+/g, " | ");
    throw new Unanswered(`no verdict: ${text.slice(0, 200)}`);
  }

  /** The value of an expression as text. @throws Unanswered also when it fails */
  async value(expression: Script, session?: Session): Promise<string> {
    const told = await this.tell(ros`:put ("~v~" . [:tostr ${expression}] . "~w~")`, LINE_MS, session);
    if (!told.ok) throw new Unanswered(told.text);
    const text = told.reply.raw.replace(/[\r\n]/g, "");
    const [from, to] = [text.indexOf("~v~"), text.lastIndexOf("~w~")];
    if (from < 0 || to < from) throw new Unanswered(`not readable: ${text.slice(0, 200)}`);
    return text.slice(from + 3, to);
  }

  /** Lists items, in whichever form the device can do. */
  async rows(listing: Listing): Promise<readonly Row[]> {
    const client = new RouterOsClient(transportOf(await this.main(), this.address, LINE_MS));
    const outcome = await client.run({
      what: "list",
      purpose: "read",
      listing,
      body: (rows) => rows,
      signal: this.#signal,
    });
    if (!outcome.ok) throw new Unanswered(outcome.failure.text);
    return outcome.rows;
  }

  /** Waits. @throws when the probe is ended */
  async sleep(ms: number): Promise<void> {
    await this.clock.sleep(ms, this.#signal);
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const main = await this.#main?.catch(() => undefined);
    await Promise.all([main, ...this.#others].map((session) => session?.close()));
  }
}
