import { RunFailure } from "../errors.ts";
import { isPrefix } from "./addresses.ts";
import { applyPolicyWords, DEFAULT_GROUPS, DRIVER_POLICIES, POLICIES, type Policy } from "./policies.ts";
import { checkUserKey } from "./user-keys.ts";
import type { SimulatedUser } from "./users.ts";

/** An item of /user/group. */
export interface Group {
  readonly id: number;
  readonly name: string;
  policies: readonly Policy[];
  comment: string;
}

/** An item of /user. */
export interface Account {
  readonly id: number;
  readonly name: string;
  group: string;
  /** undefined: no password opens this account. */
  password: string | undefined;
  /** Prefixes from which it may log in; none: any. */
  addresses: readonly string[];
  disabled: boolean;
  comment: string;
  /** Whether the simulator was started with it; these users go when a later start does not name them. */
  given: boolean;
}

/** An item of /user/ssh-keys. */
export interface AccountKey {
  readonly id: number;
  readonly user: string;
  /** OpenSSH's one-line form. */
  readonly line: string;
  readonly given: boolean;
}

/** The part that survives a restart. */
export interface AccountsState {
  readonly nextId: number;
  readonly groups: readonly Group[];
  readonly users: readonly Account[];
  readonly keys: readonly AccountKey[];
}

/** The settings of a user; absent ones stay as they are. */
export interface AccountChange {
  readonly group?: string | undefined;
  readonly password?: string | undefined;
  readonly addresses?: readonly string[] | undefined;
  readonly disabled?: boolean | undefined;
  readonly comment?: string | undefined;
}

/** Names of users and groups (manual, page "User"). */
const NAME = /^[A-Za-z0-9_#@](?:[A-Za-z0-9_.#@-]*[A-Za-z0-9])?$/;

/** Users, groups and keys of the device, with the rules of /user (manual, page "User"). */
export class Accounts {
  readonly #changed: () => void;
  #groups: Group[] = [];
  #users: Account[] = [];
  #keys: AccountKey[] = [];
  #nextId = 1;

  constructor(changed: () => void) {
    this.#changed = changed;
    for (const [name, policies] of Object.entries(DEFAULT_GROUPS)) {
      this.#groups.push({ id: this.#nextId++, name, policies, comment: "" });
    }
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  get users(): readonly Account[] {
    return this.#users;
  }

  get keys(): readonly AccountKey[] {
    return this.#keys;
  }

  user(name: string): Account | undefined {
    return this.#users.find((user) => user.name === name);
  }

  group(name: string): Group | undefined {
    return this.#groups.find((group) => group.name === name);
  }

  keysOf(user: string): readonly AccountKey[] {
    return this.#keys.filter((key) => key.user === user);
  }

  policiesOf(user: Account): ReadonlySet<Policy> {
    return new Set(this.group(user.group)?.policies);
  }

  /** @param words policies; those not named are revoked */
  addGroup(name: string, words: readonly string[], comment: string): Group {
    if (!NAME.test(name)) throw new RunFailure("failure: bad name");
    if (this.group(name) !== undefined)
      throw new RunFailure("failure: group with the same name already exists");
    const policies = this.#policies([], words);
    const group = { id: this.#nextId++, name, policies, comment };
    this.#groups.push(group);
    this.#changed();
    return group;
  }

  /** @param words policies to add or, with `!`, to take away; those not named stay (facts section 5) */
  setGroup(group: Group, words: readonly string[] | undefined, comment: string | undefined): void {
    if (words !== undefined) group.policies = this.#policies(group.policies, words);
    group.comment = comment ?? group.comment;
    this.#changed();
  }

  removeGroup(group: Group): void {
    if (group.name in DEFAULT_GROUPS) throw new RunFailure("failure: default group cannot be removed");
    if (this.#users.some((user) => user.group === group.name))
      throw new RunFailure("failure: group is in use");
    this.#groups = this.#groups.filter((one) => one !== group);
    this.#changed();
  }

  addUser(name: string, change: AccountChange): Account {
    if (!NAME.test(name)) throw new RunFailure("failure: bad name");
    if (this.user(name) !== undefined)
      throw new RunFailure("failure: user with the same name already exists");
    this.#check(change);
    const { group = "read", password, addresses = [], disabled = false, comment = "" } = change;
    const id = this.#nextId++;
    const user: Account = { id, name, group, password, addresses, disabled, comment, given: false };
    this.#users.push(user);
    this.#changed();
    return user;
  }

  setUser(user: Account, change: AccountChange): void {
    this.#check(change);
    const locksOut = change.disabled === true || (change.group ?? "full") !== "full";
    if (locksOut) this.#keepFullUser(user);
    user.group = change.group ?? user.group;
    user.password = change.password ?? user.password;
    user.addresses = change.addresses ?? user.addresses;
    user.disabled = change.disabled ?? user.disabled;
    user.comment = change.comment ?? user.comment;
    this.#changed();
  }

  /** Removes a user with its keys. */
  removeUser(user: Account): void {
    this.#keepFullUser(user);
    this.#users = this.#users.filter((one) => one !== user);
    this.#keys = this.#keys.filter((key) => key.user !== user.name);
    this.#changed();
  }

  /** Adds a key; the same one twice is two items. */
  addKey(user: string, line: string): AccountKey {
    if (this.user(user) === undefined) throw new RunFailure("input does not match any value of user");
    checkUserKey(line);
    const key = { id: this.#nextId++, user, line: line.trim(), given: false };
    this.#keys.push(key);
    this.#changed();
    return key;
  }

  removeKey(key: AccountKey): void {
    this.#keys = this.#keys.filter((one) => one !== key);
    this.#changed();
  }

  /** Takes in the users that the simulator is started with; those of an earlier start go. */
  give(users: readonly SimulatedUser[]): void {
    const gone = this.#users.filter((user) => user.given && !users.some(({ name }) => name === user.name));
    this.#users = this.#users.filter((user) => !gone.includes(user));
    this.#keys = this.#keys.filter((key) => !key.given && !gone.some(({ name }) => name === key.user));
    for (const user of users) {
      const { name, publicKeys, password, addresses = [] } = user;
      const group = this.#giveGroup(user);
      const old = this.user(name);
      this.#users = this.#users.filter((one) => one !== old);
      const id = old?.id ?? this.#nextId++;
      const comment = old?.comment ?? "";
      this.#users.push({ id, name, group, password, addresses, disabled: false, comment, given: true });
      for (const line of publicKeys) {
        this.#keys.push({ id: this.#nextId++, user: name, line: line.trim(), given: true });
      }
    }
  }

  save(): AccountsState {
    return { nextId: this.#nextId, groups: this.#groups, users: this.#users, keys: this.#keys };
  }

  restore(state: AccountsState): void {
    this.#nextId = state.nextId;
    this.#groups = [...state.groups];
    this.#users = [...state.users];
    this.#keys = [...state.keys];
  }

  /** The group of a given user: `full` for the administrator, else one of its own name. */
  #giveGroup({ name, policies }: SimulatedUser): string {
    if (policies === undefined && name === "admin") return "full";
    const wanted = POLICIES.filter((policy) => (policies ?? DRIVER_POLICIES).includes(policy));
    const group = this.group(name);
    if (group === undefined) this.#groups.push({ id: this.#nextId++, name, policies: wanted, comment: "" });
    else group.policies = wanted;
    return name;
  }

  #policies(before: readonly Policy[], words: readonly string[]): readonly Policy[] {
    const after = applyPolicyWords(before, words);
    if (after === undefined) throw new RunFailure("input does not match any value of policy");
    return after;
  }

  #check({ group, addresses }: AccountChange): void {
    if (group !== undefined && this.group(group) === undefined) {
      throw new RunFailure("input does not match any value of group");
    }
    if (addresses?.some((text) => !isPrefix(text)) === true) {
      throw new RunFailure("invalid value for argument address");
    }
  }

  /** The last user with full rights can be neither removed, disabled nor demoted. */
  #keepFullUser(user: Account): void {
    const full = this.#users.filter((one) => one.group === "full" && !one.disabled);
    if (full.length === 1 && full[0] === user) {
      throw new RunFailure("failure: last user with full access rights cannot be removed");
    }
  }
}
