/**
 * NVMe/TCP connections of hosts, as a test or a data path reports them: NQN of the subsystem to host NQNs. Hosts of
 * the `nvmet` backend are not among them: the kernel connects them, and Linux before 6.11 does not show them.
 */
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

  /** Ends all connections to one subsystem, or those of one host. */
  drop(nqn: string, hostNqn?: string): void {
    const ended = this.connected(nqn).filter((host) => hostNqn === undefined || host === hostNqn);
    this.#dropped += ended.length;
    for (const host of ended) this.disconnect(nqn, host);
  }

  dropAll(): void {
    for (const nqn of [...this.#sessions.keys()]) this.drop(nqn);
  }

  /** Connections that the device ended, in all. */
  get dropped(): number {
    return this.#dropped;
  }
}
