import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { Device } from "./device/device.ts";

/** The service in front of the device, as a reboot uses it. */
export interface PowerOptions {
  readonly device: Device;
  readonly clock: Clock;
  readonly logger: Logger;
  dropConnections(): void;
}

/** The power switch of the device, its reboots, and the events that come with time. */
export class Power {
  readonly #options: PowerOptions;
  readonly #stopped = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #awaited = new Set<number>();
  #down = new AbortController();
  #online = true;

  constructor(options: PowerOptions) {
    this.#options = options;
  }

  get online(): boolean {
    return this.#online;
  }

  /** Aborted when the device goes down. */
  get down(): AbortSignal {
    return this.#down.signal;
  }

  /** Runs a task that `stop` waits for; failures are logged. */
  background(task: () => Promise<void>): void {
    const run = task()
      .catch((error: unknown) => {
        if (!this.#stopped.signal.aborted) {
          this.#options.logger.error("a task of the simulator failed", { reason: String(error) });
        }
      })
      .finally(() => this.#tasks.delete(run));
    this.#tasks.add(run);
  }

  /** Brings exports up once disks that are not ready yet have become so. */
  watchReadiness(): void {
    const { device, clock } = this.#options;
    for (const item of device.diskStore.items) {
      const wait = item.readyAt - clock.now();
      if (wait <= 0 || this.#awaited.has(item.id)) continue;
      this.#awaited.add(item.id);
      this.background(async () => {
        try {
          await clock.sleep(wait, this.#stopped.signal);
        } finally {
          this.#awaited.delete(item.id);
        }
        await device.exports.reconcile();
      });
    }
  }

  /**
   * Power off, on, mount: SSH and hosts lose their connections, items stay.
   * @param lostSeconds what `/disk/copy` wrote into files so long before is lost, as by a power loss; 0: nothing
   */
  async reboot(lostSeconds = 0): Promise<void> {
    const { device, clock } = this.#options;
    const { rebootMs, mountDelayMs, rebootExports } = device.switches();
    const mounted = device.pools.filter((pool) => pool.mounted);
    const offAt = clock.monotonic();
    this.#online = false;
    this.#down.abort(new Error("the device reboots"));
    this.#options.dropConnections();
    device.exports.setOnline(false);
    for (const pool of mounted) pool.mounted = false;
    device.hosts.dropAll();
    if (rebootExports === "lost") {
      for (const item of device.diskStore.items) item.config.set("nvme-tcp-export", false);
    }
    await device.exports.reconcile();
    await clock.sleep(rebootMs, this.#stopped.signal);
    // No line runs any more.
    await device.pageCache.lose(lostSeconds, offAt, device.backend, device.fileStore);
    this.#down = new AbortController();
    device.bootedAt = clock.now();
    this.#online = true;
    await clock.sleep(mountDelayMs, this.#stopped.signal);
    for (const pool of mounted) pool.mounted = true;
    device.exports.setOnline(true);
    await device.exports.reconcile();
  }

  /** Power off for good. */
  async stop(): Promise<void> {
    this.#online = false;
    this.#stopped.abort(new Error("the simulator stops"));
    this.#down.abort(new Error("the simulator stops"));
    this.#options.device.exports.setOnline(false);
    await Promise.all(this.#tasks);
    await this.#options.device.exports.reconcile();
  }
}
