import { RecentMap } from "../domain/recent-map.ts";
import type { ClaimEvent, ClaimRef } from "./port.ts";

/** An event about to be sent. */
export type PendingEvent = ClaimEvent & { readonly claim: ClaimRef };

/** An Event object that may be counted up instead of making another. */
export interface Series {
  /** Whether the Event object has been made. */
  created: boolean;
  /** Ends the name of the Event object; chosen once, so that a repeated create makes no second one. */
  readonly suffix: string;
  count: number;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  /** On the monotonic clock, milliseconds. */
  lastAt: number;
}

// The limits of client-go's correlator, which readers of events are used to. Times in milliseconds.
/** Equal events within this time after the last are one event with a count. */
const WINDOW_MS = 600_000;
/** So many different messages with one reason are kept apart; further ones are combined. */
const DISTINCT_MESSAGES = 10;
/** Events per claim that may come at once. */
const BURST = 25;
/** Afterwards one per so many milliseconds. */
const REFILL_MS = 300_000;

/** Claims that are remembered; beyond, the longest silent one is forgotten. */
const MAX_CLAIMS = 1_000;

interface ClaimState {
  tokens: number;
  refilledAt: number;
  /** By type and reason, then by message. */
  readonly reasons: Map<string, Map<string, Series>>;
}

export const COMBINED = "(combined from similar events): ";

/** Decides about each event, without any I/O: a new object, a higher count, or none. */
export class EventSeries {
  readonly #claims = new RecentMap<string, ClaimState>(MAX_CLAIMS);

  /**
   * The series of an event, counted up, and the message to store. Undefined when this claim has had too many events.
   * @param now wall clock, milliseconds
   * @param monotonic monotonic clock, milliseconds
   * @param random uniform in [0, 1)
   */
  admit(
    event: PendingEvent,
    now: number,
    monotonic: number,
    random: () => number,
  ): { readonly series: Series; readonly message: string } | undefined {
    const state = this.#state(event.claim.uid, monotonic);
    const key = `${event.type} ${event.reason}`;
    const messages = state.reasons.get(key) ?? new Map<string, Series>();
    state.reasons.set(key, messages);
    for (const [message, { lastAt }] of messages)
      if (monotonic - lastAt > WINDOW_MS) messages.delete(message);
    const combine = !messages.has(event.message) && messages.size >= DISTINCT_MESSAGES;
    // All combined messages share one series; its text is that of the latest.
    const bucket = combine ? COMBINED : event.message;
    if (state.tokens < 1) return undefined;
    state.tokens -= 1;
    const series = messages.get(bucket) ?? {
      created: false,
      suffix: `${now.toString(16)}${Math.floor(random() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, "0")}`,
      count: 0,
      firstAt: now,
      lastAt: monotonic,
    };
    messages.set(bucket, series);
    series.count += 1;
    series.lastAt = monotonic;
    return { series, message: combine ? COMBINED + event.message : event.message };
  }

  #state(uid: string, monotonic: number): ClaimState {
    const state = this.#claims.get(uid) ?? { tokens: BURST, refilledAt: monotonic, reasons: new Map() };
    const refilled = Math.floor((monotonic - state.refilledAt) / REFILL_MS);
    state.tokens = Math.min(BURST, state.tokens + refilled);
    state.refilledAt += refilled * REFILL_MS;
    this.#claims.set(uid, state);
    return state;
  }
}
