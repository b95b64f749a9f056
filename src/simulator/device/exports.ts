import { randomUUID } from "node:crypto";
import type { ExportRecord } from "../backend/backend.ts";
import { SimulatorError } from "../errors.ts";
import { allowedHosts, type DiskItem, imagePath, isExported, nqnOf, portOf, slotOf } from "./disk-item.ts";
import type { DiskStore } from "./disks.ts";
import type { Environment } from "./environment.ts";
import type { HostSessions } from "./hosts.ts";

/** A record, and a number that tells an export from an earlier one with an equal record. */
interface Wanted {
  readonly record: ExportRecord;
  readonly occasion: string;
  readonly item: DiskItem;
}

/** Keeps the backend's live exports equal to the settings of the disk items. */
export class Exports {
  readonly #env: Environment;
  readonly #disks: DiskStore;
  readonly #hosts: HostSessions;
  readonly #published = new Map<string, Wanted>();
  /** Identities of the switch value "random", by item. */
  readonly #identities = new Map<number, { occasion: string; identity: string }>();
  /** NQNs that a running export had before, with its occasion: their hosts are still connected. */
  readonly #renamed = new Map<string, string>();
  #online = true;
  #work: Promise<void> = Promise.resolve();

  constructor(env: Environment, disks: DiskStore, hosts: HostSessions) {
    this.#env = env;
    this.#disks = disks;
    this.#hosts = hosts;
  }

  /** The exports of this moment, by NQN; the first item wins when two have the same. */
  live(): readonly ExportRecord[] {
    return [...this.#wanted().values()].map((one) => one.record);
  }

  #wanted(): ReadonlyMap<string, Wanted> {
    const switches = this.#env.switches();
    const records = new Map<string, Wanted>();
    for (const item of this.#disks.items) {
      const file = this.#disks.device(item);
      if (!this.#online || !isExported(item) || file === undefined) {
        if (!this.#disks.isEnding(item)) {
          item.exportedSize = undefined;
          this.#identities.delete(item.id);
        }
        continue;
      }
      const size = this.#disks.deviceSize(item, file);
      if (item.exportedSize === undefined || switches.onlineResize === "at-once") item.exportedSize = size;
      const nqn = nqnOf(item, switches);
      if (records.has(nqn)) continue;
      const occasion = `${item.id}/${this.#disks.exportsEnded(item)}/${file.id}`;
      const record = {
        nqn,
        port: portOf(item),
        path: imagePath(item),
        sizeBytes: item.exportedSize,
        slot: slotOf(item),
        allowHosts: allowedHosts(item, switches),
        identity: this.#identity(item, occasion),
      };
      records.set(nqn, { record, occasion, item });
    }
    return records;
  }

  #identity(item: DiskItem, occasion: string): string {
    const switches = this.#env.switches();
    if (switches.deviceIdentity === "slot") return `slot ${slotOf(item)}`;
    if (switches.deviceIdentity === "nqn") return `nqn ${nqnOf(item, switches)}`;
    const known = this.#identities.get(item.id);
    if (known?.occasion === occasion) return known.identity;
    const identity = randomUUID();
    this.#identities.set(item.id, { occasion, identity });
    return identity;
  }

  /** Ends (false) or resumes (true) all exports, as during a reboot. */
  setOnline(online: boolean): void {
    this.#online = online;
    if (!online) this.#identities.clear();
  }

  /**
   * Brings the backend up to date; calls run one after the other.
   * @param midLine whether a line of commands goes on at once: an export that is off may be on again before hosts notice
   * @returns the exports that the backend refused, and why; the next call tries again
   */
  reconcile(midLine = false): Promise<readonly SimulatorError[]> {
    if (!midLine) this.#disks.settleExports();
    const done = this.#work.then(() => this.#reconcile());
    // A failure is its caller's, not that of all who come later.
    this.#work = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  async #reconcile(): Promise<readonly SimulatorError[]> {
    const wanted = this.#wanted();
    const failures: SimulatorError[] = [];
    const attempt = async (nqn: string, step: () => Promise<void>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        if (!(error instanceof SimulatorError)) throw error;
        failures.push(error);
        this.#env.logger.error("an export is not as the disk says", { nqn, reason: error.message });
      }
    };
    const occasions = new Set([...wanted.values()].map((one) => one.occasion));
    for (const [nqn, { occasion, item }] of [...this.#published]) {
      if (wanted.get(nqn)?.occasion === occasion || this.#disks.isEnding(item)) continue;
      const stays = occasions.has(occasion) && this.#env.switches().renamedExport === "stays";
      if (stays) this.#renamed.set(nqn, occasion);
      await attempt(nqn, () => this.#withdraw(nqn, stays));
    }
    for (const [nqn, occasion] of [...this.#renamed]) {
      if (occasions.has(occasion)) continue;
      this.#renamed.delete(nqn);
      if (!wanted.has(nqn)) this.#hosts.drop(nqn);
    }
    for (const [nqn, one] of wanted) await attempt(nqn, () => this.#publish(one));
    return failures;
  }

  async #withdraw(nqn: string, hostsStay: boolean): Promise<void> {
    await this.#env.backend.withdrawExport(nqn);
    if (!hostsStay) this.#hosts.drop(nqn);
    this.#published.delete(nqn);
  }

  async #publish(wanted: Wanted): Promise<void> {
    const { record } = wanted;
    const before = this.#published.get(record.nqn)?.record;
    if (before !== undefined && sameRecord(before, record)) return;
    await this.#env.backend.publishExport(record);
    if (before !== undefined && this.#env.switches().revokedHost === "dropped")
      await this.#revoke(before, record);
    this.#published.set(record.nqn, wanted);
  }

  /** Ends the connections of hosts that may not connect any more. */
  async #revoke(before: ExportRecord, record: ExportRecord): Promise<void> {
    const revoked = (host: string) => !admits(record, host) && admits(before, host);
    const hosts = this.#hosts.connected(record.nqn).filter(revoked);
    for (const host of hosts) this.#hosts.drop(record.nqn, host);
    // The backend's hosts are not all known here: who was let in by the old list may be connected.
    const narrower =
      before.allowHosts.length === 0 ? record.allowHosts.length > 0 : before.allowHosts.some(revoked);
    if (narrower) await this.#env.backend.dropHosts(record.nqn);
  }
}

function admits(record: ExportRecord, host: string): boolean {
  return record.allowHosts.length === 0 || record.allowHosts.includes(host);
}

function sameRecord(one: ExportRecord, other: ExportRecord): boolean {
  const text = (record: ExportRecord) => JSON.stringify({ ...record, sizeBytes: String(record.sizeBytes) });
  return text(one) === text(other);
}
