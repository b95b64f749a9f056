import type { Account, AccountChange, AccountKey, Group } from "../device/accounts.ts";
import { formatId } from "../device/environment.ts";
import { policyWords } from "../device/policies.ts";
import { keyFacts } from "../device/user-keys.ts";
import { id } from "../language/scalars.ts";
import type { ArgumentSpec } from "../language/schema.ts";
import { list } from "../language/values.ts";
import { any, items, manage, manageItems, NUMBERS, row, text, words } from "./account-items.ts";
import type { CommandMenu, Invocation } from "./command.ts";
import { knownProperties, type Listing, listCommands } from "./list-menu.ts";

const accountsOf = ({ device }: Invocation) => device.management.accounts;
const groupsOf = (call: Invocation) => accountsOf(call).groups;
const usersOf = (call: Invocation) => accountsOf(call).users;

const GROUPS: Listing = {
  properties: ["name", "policy", "skin", "comment"].map((name) => ({ name })),
  flags: [],
  columns: ["name", "policy"],
  names: ["name"],
  sizes: "grouped",
  rows: ({ management: { accounts } }) =>
    accounts.groups.map((group: Group) =>
      row(group, [
        ["name", group.name],
        ["policy", list(policyWords(group.policies))],
        ["skin", "default"],
      ]),
    ),
};

const GROUP_MENU: CommandMenu = {
  name: "group",
  properties: knownProperties(GROUPS),
  commands: [
    ...listCommands(GROUPS),
    manage(
      "add",
      [text("name"), any("policy"), text("comment")],
      (call) => {
        const { args, device } = call;
        const name = args.text("name") ?? "";
        const group = device.management.accounts.addGroup(
          name,
          words(call, "policy") ?? [],
          args.text("comment") ?? "",
        );
        call.audit("user group added", `${formatId(group.id)} = /user group add name=${name}`);
        return id(formatId(group.id));
      },
      ["name"],
    ),
    manageItems(
      "set",
      [any("policy"), text("comment")],
      GROUPS,
      groupsOf,
      (call, group) => accountsOf(call).setGroup(group, words(call, "policy"), call.args.text("comment")),
      "user group changed: /user group set",
    ),
    manageItems(
      "remove",
      [],
      GROUPS,
      groupsOf,
      (call, group) => accountsOf(call).removeGroup(group),
      "user group removed: /user group remove",
    ),
  ],
};

const KEYS: Listing = {
  properties: [
    ...["user", "key-type", "bits", "key-owner"].map((name) => ({ name })),
    { name: "fingerprint", since: "7.20" },
    { name: "info", since: "7.21" },
  ],
  flags: [],
  columns: ["user", "key-type", "bits", "key-owner", "info"],
  names: [],
  sizes: "grouped",
  rows: (device) =>
    device.management.accounts.keys.map((key: AccountKey) => {
      const facts = keyFacts(key.line);
      return row({ id: key.id }, [
        ["user", key.user],
        ["key-type", facts?.type],
        ["bits", BigInt(facts?.bits ?? 0)],
        ...(device.knows("7.20") ? ([["fingerprint", facts?.fingerprint]] as const) : []),
        // The comment behind the key (facts section 13).
        [device.knows("7.21") ? "info" : "key-owner", facts?.info ?? ""],
      ]);
    }),
};

const KEY_MENU: CommandMenu = {
  name: "ssh-keys",
  properties: knownProperties(KEYS),
  commands: [
    ...listCommands(KEYS),
    manage(
      "add",
      [text("user"), text("key")],
      (call) => {
        const user = call.args.text("user") ?? "";
        const key = accountsOf(call).addKey(user, call.args.text("key") ?? "");
        call.audit("SSH key added", `${formatId(key.id)} = /user ssh-keys add user=${user}`);
        return id(formatId(key.id));
      },
      ["user", "key"],
    ),
    manageItems(
      "remove",
      [],
      KEYS,
      (call) => accountsOf(call).keys,
      (call, key) => accountsOf(call).removeKey(key),
      "SSH key removed: /user ssh-keys remove",
    ),
  ],
};

const ACTIVE: Listing = {
  properties: ["when", "name", "address", "via", "group"].map((name) => ({ name })),
  flags: [],
  columns: ["when", "name", "address", "via"],
  names: ["name"],
  sizes: "grouped",
  rows: ({ management: { sessions }, time }) =>
    sessions.active.map((session) =>
      row({ id: session.id }, [
        ["when", time.moment(session.since)],
        ["name", session.name],
        ["address", session.address],
        ["via", "ssh"],
        ["group", session.group],
      ]),
    ),
};

const ACTIVE_MENU: CommandMenu = {
  name: "active",
  properties: knownProperties(ACTIVE),
  commands: [
    ...listCommands(ACTIVE),
    {
      ...manage(
        "remove",
        [NUMBERS],
        (call) => {
          for (const session of items(call, ACTIVE, call.device.management.sessions.active)) session.end();
          return undefined;
        },
        ["numbers"],
      ),
      since: "7.20",
    },
  ],
};

const USERS: Listing = {
  properties: ["name", "group", "address", "inactivity-policy", "comment"].map((name) => ({ name })),
  flags: [{ letter: "X", name: "disabled" }],
  columns: ["name", "group", "address", "inactivity-policy"],
  names: ["name"],
  sizes: "grouped",
  rows: ({ management: { accounts } }) =>
    accounts.users.map((user: Account) =>
      row(user, [
        ...(user.disabled ? ([["disabled", true]] as const) : []),
        ["name", user.name],
        ["group", user.group],
        ["address", list(user.addresses)],
        ["inactivity-policy", "none"],
      ]),
    ),
};

/** The settings of a user among the arguments. A password is never printed. */
function change(call: Invocation): AccountChange {
  const disabled = call.args.value("disabled");
  return {
    group: call.args.text("group"),
    password: call.args.text("password"),
    addresses: words(call, "address"),
    disabled: typeof disabled === "boolean" ? disabled : undefined,
    comment: call.args.text("comment"),
  };
}

const SETTINGS: readonly ArgumentSpec[] = [
  text("group"),
  text("password"),
  any("address"),
  { name: "disabled", type: "bool" },
  text("comment"),
];

/** /user with its groups, keys and sessions (manual, page "User"). */
export const USER_MENU: CommandMenu = {
  name: "user",
  properties: knownProperties(USERS),
  menus: [GROUP_MENU, KEY_MENU, ACTIVE_MENU],
  commands: [
    ...listCommands(USERS),
    manage(
      "add",
      [text("name"), ...SETTINGS],
      (call) => {
        const user = accountsOf(call).addUser(call.args.text("name") ?? "", change(call));
        call.audit("user added", `${formatId(user.id)} = /user add name=${user.name} group=${user.group}`);
        return id(formatId(user.id));
      },
      ["name", "group", "password"],
    ),
    manageItems(
      "set",
      SETTINGS,
      USERS,
      usersOf,
      (call, user) => accountsOf(call).setUser(user, change(call)),
      "user changed: /user set",
    ),
    manageItems(
      "remove",
      [],
      USERS,
      usersOf,
      (call, user) => accountsOf(call).removeUser(user),
      "user removed: /user remove",
    ),
  ],
};
