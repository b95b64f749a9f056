/** Somebody who is logged in, as /user/active shows it. */
export interface ActiveSession {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly group: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Ends the connection. */
  end(): void;
}

/** The sessions at this moment. */
export class Sessions {
  readonly #active = new Map<number, ActiveSession>();
  #nextId = 1;

  get active(): readonly ActiveSession[] {
    return [...this.#active.values()];
  }

  /** @returns takes the session away again */
  begin(session: Omit<ActiveSession, "id">): () => void {
    const id = this.#nextId++;
    this.#active.set(id, { id, ...session });
    return () => void this.#active.delete(id);
  }
}
