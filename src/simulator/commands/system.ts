import { isPrefix } from "../device/addresses.ts";
import type { Policy } from "../device/policies.ts";
import { RunFailure } from "../errors.ts";
import { id, time } from "../language/scalars.ts";
import type { Row } from "../language/scope.ts";
import { list, type Value } from "../language/values.ts";
import type { Switches } from "../switches.ts";
import type { CommandMenu, CommandSpec, Invocation } from "./command.ts";
import { knownProperties, type Listing, listCommands, resolveItems } from "./list-menu.ts";

/** A listing of plain properties. */
function listing(
  names: readonly string[],
  rows: (call: Invocation) => readonly Row[],
  more: Partial<Listing> = {},
): Listing {
  return {
    properties: names.map((name) => ({ name })),
    flags: [],
    columns: names,
    names: ["name"],
    sizes: "grouped",
    rows: (_device, call) => rows(call),
    ...more,
  };
}

function menu(name: string, list: Listing, commands: readonly CommandSpec[] = []): CommandMenu {
  return { name, properties: knownProperties(list), commands: [...listCommands(list), ...commands] };
}

const RESOURCE = listing(
  [
    "uptime",
    "version",
    "build-time",
    "free-memory",
    "total-memory",
    "cpu",
    "cpu-count",
    "cpu-load",
    "architecture-name",
    "board-name",
    "platform",
  ],
  ({ device }) => [
    new Map<string, Value>([
      ["uptime", time(Math.max(0, device.clock.now() - device.bootedAt))],
      ["version", device.version],
      ["build-time", "2026-09-29 10:00:00"],
      ["free-memory", 33_000_000_000n],
      ["total-memory", 34_359_738_368n],
      ["cpu", "ARM64"],
      ["cpu-count", 16n],
      ["cpu-load", 1n],
      ["architecture-name", "arm64"],
      ["board-name", "RDS2216-2XG-4S+4XS-2XQ"],
      ["platform", "MikroTik"],
    ]),
  ],
  { single: true },
);

/** Whether `test` is needed on top of `read` was seen over REST only (facts section 5). */
const RESOURCE_COMMANDS = listCommands(RESOURCE).map((command) => ({
  ...command,
  policy: ({ resourcePolicy }: Readonly<Switches>): readonly Policy[] =>
    resourcePolicy === "test" ? ["read", "test"] : ["read"],
}));

const CLOCK = listing(
  ["time", "date", "time-zone-autodetect", "time-zone-name", "gmt-offset"],
  ({ device }) => {
    const [date, time] = device.time.moment(device.clock.now()).split(" ");
    return [
      new Map<string, Value>([
        ["time", time],
        ["date", date],
        ["time-zone-autodetect", false],
        ["time-zone-name", "manual"],
        ["gmt-offset", device.switches().gmtOffset],
      ]),
    ];
  },
  { single: true },
);

/** Refuses those who may not; a reboot of the simulator is an event from outside. */
const REBOOT: CommandSpec = {
  name: "reboot",
  arguments: [],
  policy: "reboot",
  run: async () => {
    throw new RunFailure("failure: not simulated: POST /reboot to the control interface does it");
  },
};

const IDENTITY = listing(["name"], ({ device }) => [new Map<string, Value>([["name", device.identity]])], {
  single: true,
});

const HEALTH = listing(["name", "value", "type"], () =>
  [
    ["cpu-temperature", "48", "C"],
    ["fan1-speed", "5200", "RPM"],
    ["psu1-state", "ok", ""],
    ["psu2-state", "ok", ""],
  ].map(
    ([name, value, type], at) =>
      new Map<string, Value>([
        [".id", id(`*${(at + 1).toString(16).toUpperCase()}`)],
        ["name", name],
        ["value", value],
        ["type", type],
      ]),
  ),
);

async function setIdentity(call: Invocation): Promise<Value> {
  const name = call.args.text("name") ?? "";
  if (name === "") throw new RunFailure("failure: bad name");
  call.device.identity = name;
  call.device.mutations += 1;
  return undefined;
}

/** /system. */
export const SYSTEM_MENU: CommandMenu = {
  name: "system",
  menus: [
    { name: "resource", properties: knownProperties(RESOURCE), commands: RESOURCE_COMMANDS },
    menu("identity", IDENTITY, [
      { name: "set", arguments: [{ name: "name", type: "string" }], policy: "write", run: setIdentity },
    ]),
    menu("health", HEALTH),
    menu("clock", CLOCK),
  ],
  commands: [REBOOT],
};

/** The fields of 7.21.5 to 7.23.1; the fingerprint of the host key is none of them (facts section 13). */
const SSH = listing(
  [
    "forwarding-enabled",
    "strong-crypto",
    "ciphers",
    "host-key-size",
    "host-key-type",
    "password-authentication",
    "publickey-authentication-options",
  ],
  ({ device }) => [
    new Map<string, Value>([
      ["forwarding-enabled", "no"],
      ["strong-crypto", true],
      ["ciphers", "auto"],
      ["host-key-size", 2048n],
      ["host-key-type", device.management.hostKey.type],
      ["password-authentication", "yes-if-no-key"],
      ["publickey-authentication-options", "none"],
    ]),
  ],
  { single: true },
);

/**
 * Writes both halves of the host key to the flash, in PKCS #8 form: `<prefix>_ed25519.pem` and `<prefix>_ed25519_pub.pem`
 * (manual, "SSH" and "Btrfs": names and form).
 */
async function exportHostKey(call: Invocation): Promise<Value> {
  const { hostKey, flash } = call.device.management;
  const name = `${call.args.text("key-file-prefix") ?? ""}_${hostKey.type}`;
  const { privatePem, publicPem } = hostKey.pkcs8();
  for (const [file, text] of [
    [`${name}.pem`, privatePem],
    [`${name}_pub.pem`, publicPem],
  ] as const) {
    if (!flash.write(file, new TextEncoder().encode(text)))
      throw new RunFailure("failure: cannot open output file");
  }
  return undefined;
}

/** The addresses of a service are printed as `available-from` since 7.24 (facts section 13). */
const SERVICE = listing(
  ["name", "port", "address", "available-from", "max-sessions"],
  ({ device }) => [
    new Map<string, Value>([
      [".id", id("*1")],
      ["name", "ssh"],
      ["port", 22n],
      ["address", list(device.management.sshAddresses)],
      ...(device.knows("7.24") ? ([["available-from", list(device.management.sshAddresses)]] as const) : []),
      ["max-sessions", BigInt(device.switches().maxSessions)],
    ]),
  ],
  { columns: ["name", "port", "available-from", "max-sessions"] },
);

/** Restricts SSH to prefixes; connections that exist stay. */
async function setService(call: Invocation): Promise<Value> {
  const found = resolveItems(call, SERVICE, call.args.value("numbers"));
  const argument = ["available-from", "address"].find((name) => call.args.has(name));
  if (found.length === 0 || argument === undefined) return undefined;
  const prefixes = (call.args.text(argument) ?? "").split(",").filter((text) => text !== "");
  if (!prefixes.every(isPrefix)) throw new RunFailure(`invalid value for argument ${argument}`);
  call.device.management.restrictSsh(prefixes);
  call.audit("ip service changed", "/ip service set ssh");
  return undefined;
}

/** /ip: as far as it concerns the console's own service. */
export const IP_MENU: CommandMenu = {
  name: "ip",
  menus: [
    menu("ssh", SSH, [
      {
        name: "export-host-key",
        arguments: [
          { name: "key-file-prefix", type: "string" },
          { name: "passphrase", type: "string" },
        ],
        required: ["key-file-prefix"],
        policy: "sensitive",
        run: exportHostKey,
      },
    ]),
    menu("service", SERVICE, [
      {
        name: "set",
        arguments: [
          { name: "numbers", type: "items" },
          { name: "address", type: "any" },
          { name: "available-from", type: "any", since: "7.24" },
        ],
        positional: ["numbers"],
        required: ["numbers"],
        policy: "write",
        run: setService,
      },
    ]),
  ],
};

const LOG = listing(["topics", "message"], ({ device }) =>
  device.management.journal.lines.map(
    ({ topics, message }, at) =>
      new Map<string, Value>([
        [".id", id(`*${(at + 1).toString(16).toUpperCase()}`)],
        ["topics", topics],
        ["message", message],
      ]),
  ),
);

/** /log, with the commands that write to it. */
export const LOG_MENU: CommandMenu = menu(
  "log",
  LOG,
  ["info", "warning", "error", "debug"].map((name) => ({
    name,
    arguments: [{ name: "message", type: "string" as const }],
    positional: ["message"],
    required: ["message"],
    policy: "write" as const,
    run: async (call: Invocation): Promise<Value> => {
      call.device.management.journal.note(`script,${name}`, call.args.text("message") ?? "");
      return undefined;
    },
  })),
);
