/** NVMe/TCP connections of hosts, as a test or a data path reports them: NQN of the subsystem to host NQNs. */
export class HostSessions {
  readonly #sessions = new Map<string, Set<string>>();
  #dropped = 0;

  connect(nqn: string, hostNqn: string): void {
    const hosts = this.#sessions.get(nqn) ?? new Set();
    this.#sessions.set(nqn, hosts.add(hostNqn));
  }

  disconnect(nqn: string, hostNqn: string): void {
    this.#sessions.get(nqn)?.delete(hostNqn);
  }

  connected(nqn: string): readonly string[] {
    return [...(this.#sessions.get(nqn) ?? [])];
  }

  /** Ends all connections to one subsystem. */
  drop(nqn: string): void {
    this.#dropped += this.connected(nqn).length;
    this.#sessions.delete(nqn);
  }

  dropAll(): void {
    for (const nqn of [...this.#sessions.keys()]) this.drop(nqn);
  }

  /** Connections that the device ended, in all. */
  get dropped(): number {
    return this.#dropped;
  }
}
