import type { ExportRecord } from "../backend/backend.ts";
import { allowedHosts, imagePath, isExported, nqnOf, portOf, slotOf } from "./disk-item.ts";
import type { DiskStore } from "./disks.ts";
import type { Environment } from "./environment.ts";
import type { HostSessions } from "./hosts.ts";

/** Keeps the backend's live exports equal to what the disk items say. */
export class Exports {
  readonly #env: Environment;
  readonly #disks: DiskStore;
  readonly #hosts: HostSessions;
  readonly #published = new Map<string, string>();
  #online = true;
  #work: Promise<void> = Promise.resolve();

  constructor(env: Environment, disks: DiskStore, hosts: HostSessions) {
    this.#env = env;
    this.#disks = disks;
    this.#hosts = hosts;
  }

  /** What is exported at this moment, by NQN; the first item wins when two have the same. */
  live(): readonly ExportRecord[] {
    const switches = this.#env.switches();
    const records = new Map<string, ExportRecord>();
    for (const item of this.#disks.items) {
      const file = this.#disks.device(item);
      if (!this.#online || !isExported(item) || file === undefined) {
        item.exportedSize = undefined;
        continue;
      }
      const size = this.#disks.deviceSize(item, file);
      if (item.exportedSize === undefined || switches.onlineResize === "at-once") item.exportedSize = size;
      const nqn = nqnOf(item, switches);
      if (records.has(nqn)) continue;
      records.set(nqn, {
        nqn,
        port: portOf(item),
        path: imagePath(item),
        sizeBytes: item.exportedSize,
        slot: slotOf(item),
        allowHosts: allowedHosts(item, switches),
      });
    }
    return [...records.values()];
  }

  /** Ends (false) or resumes (true) all exports, as during a reboot. */
  setOnline(online: boolean): void {
    this.#online = online;
  }

  /** Brings the backend up to date; calls run one after the other. */
  reconcile(): Promise<void> {
    this.#work = this.#work.then(() => this.#reconcile());
    return this.#work;
  }

  async #reconcile(): Promise<void> {
    const wanted = new Map(this.live().map((record) => [record.nqn, record]));
    for (const nqn of [...this.#published.keys()]) {
      if (wanted.has(nqn)) continue;
      await this.#env.backend.withdrawExport(nqn);
      this.#hosts.drop(nqn);
      this.#published.delete(nqn);
    }
    for (const [nqn, record] of wanted) {
      const text = JSON.stringify({ ...record, sizeBytes: String(record.sizeBytes) });
      if (this.#published.get(nqn) === text) continue;
      await this.#env.backend.publishExport(record);
      this.#published.set(nqn, text);
    }
  }
}
