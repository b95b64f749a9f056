import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { NvmetOptions } from "./backend/nvmet/nvmet.ts";
import type { Device } from "./device/device.ts";
import type { PoolOptions } from "./device/pools.ts";
import type { SimulatedUser } from "./device/users.ts";
import type { Faults } from "./faults.ts";
import type { ProfileName } from "./profiles.ts";
import type { CommandLogEntry } from "./ssh/executor.ts";
import type { HostKey } from "./ssh/host-keys.ts";
import type { Switches } from "./switches.ts";

/** How a simulator is started; everything has a default. */
export interface SimulatorOptions {
  /** Default: "current". */
  readonly profile?: ProfileName;
  /** Single switches over the profile. */
  readonly switches?: Partial<Switches>;
  /** Where image files are; default: memory. */
  readonly backend?:
    | { readonly kind: "memory" }
    | { readonly kind: "files"; readonly dir: string }
    | ({ readonly kind: "nvmet" } & NvmetOptions);
  /** Directory for host key and device state, which then survive a restart; default: the backend's directory. */
  readonly stateDir?: string;
  /** Default: 127.0.0.1, any free port. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  readonly users?: readonly SimulatedUser[];
  /** Short form of `users`: public keys of the user "csi" with the policies ssh, read, write, test. */
  readonly authorizedKeys?: readonly string[];
  /** Default: one Ed25519 key, kept in the state directory. */
  readonly hostKeys?: readonly HostKey[];
  /** Default: "storage-pool", Btrfs, 1 TiB. */
  readonly pools?: readonly PoolOptions[];
  /** Milliseconds before each command runs; default 0. */
  readonly latencyMs?: number;
  readonly clock?: Clock;
  /** File to which each finished command is appended as one line of JSON. */
  readonly commandLogFile?: string;
  readonly logger?: Logger;
  /** Path of a Unix socket for the control interface. */
  readonly controlSocket?: string;
}

/** A running simulator. */
export interface Simulator {
  readonly host: string;
  readonly port: number;
  /** `SHA256:...`, as OpenSSH prints them. */
  readonly hostKeyFingerprints: readonly string[];
  /** The exec requests since the start, in the order of arrival; the latest 20 000 of them. */
  readonly commands: readonly CommandLogEntry[];
  readonly device: Device;
  readonly faults: Faults;
  readonly connectionCount: number;
  /** The switches as they are now. */
  readonly switches: Readonly<Switches>;
  /** @throws SimulatorError for a switch or value that does not exist */
  setSwitches(switches: Partial<Switches>): void;
  dropConnections(): void;
  /** Reboots the device; resolves when its pools are mounted again. */
  reboot(): Promise<void>;
  /**
   * As `reboot`, by a loss of power: what `/disk/copy` wrote into files within the last seconds, at most 120, was not on the disks yet, and is lost.
   * Items, comments and whatever hosts wrote stay.
   */
  powerLoss(lostSeconds: number): Promise<void>;
  /** Ends everything: connections, exports, timers. The state is saved. */
  stop(): Promise<void>;
}
