import { Accounts, type AccountsState } from "./accounts.ts";
import { Flash, type FlashFile } from "./flash.ts";
import { Journal } from "./journal.ts";
import { Sessions } from "./sessions.ts";

/** The part that survives a restart. */
export interface ManagementState {
  readonly accounts: AccountsState;
  readonly flash: readonly FlashFile[];
  readonly sshAddresses: readonly string[];
}

/** A host key as the console knows it. */
export interface ShownHostKey {
  readonly type: string;
  /** Both halves in PKCS #8 form. */
  pkcs8(): { readonly privatePem: string; readonly publicPem: string };
}

/** Users, sessions, addresses and log: everything beside storage. */
export class Management {
  /** Users, groups and their keys. */
  readonly accounts: Accounts;
  /** Who is logged in. */
  readonly sessions = new Sessions();
  /** Files outside of the pools. */
  readonly flash: Flash;
  readonly journal = new Journal();
  /** The host key that SSH shows. */
  hostKey: ShownHostKey = { type: "ed25519", pkcs8: () => ({ privatePem: "", publicPem: "" }) };
  readonly #changed: () => void;
  #sshAddresses: readonly string[] = [];

  constructor(changed: () => void, now: () => number) {
    this.#changed = changed;
    this.accounts = new Accounts(changed);
    this.flash = new Flash(changed, now);
  }

  /** Prefixes that may reach SSH at all (/ip/service); none: any. */
  get sshAddresses(): readonly string[] {
    return this.#sshAddresses;
  }

  restrictSsh(prefixes: readonly string[]): void {
    this.#sshAddresses = prefixes;
    this.#changed();
  }

  save(): ManagementState {
    const { accounts, flash, sshAddresses } = this;
    return { accounts: accounts.save(), flash: flash.stored, sshAddresses };
  }

  restore(state: ManagementState): void {
    this.accounts.restore(state.accounts);
    this.flash.restore(state.flash);
    this.#sshAddresses = state.sshAddresses;
  }
}
