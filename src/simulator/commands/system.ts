import { RunFailure } from "../errors.ts";
import type { Row } from "../language/scope.ts";
import { id, time, type Value } from "../language/values.ts";
import type { Invocation } from "./invocation.ts";
import { knownProperties, type Listing, listCommands } from "./list-menu.ts";
import type { CommandSpec, MenuSpec } from "./schema.ts";

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

function menu(name: string, list: Listing, commands: readonly CommandSpec[] = []): MenuSpec {
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
export const SYSTEM_MENU: MenuSpec = {
  name: "system",
  menus: [
    menu("resource", RESOURCE),
    menu("identity", IDENTITY, [
      { name: "set", arguments: [{ name: "name", type: "string" }], policy: "write", run: setIdentity },
    ]),
    menu("health", HEALTH),
  ],
};

const SSH = listing(
  ["strong-crypto", "host-key-type", "password-authentication", "forwarding-enabled"],
  () => [
    new Map<string, Value>([
      ["strong-crypto", true],
      ["host-key-type", "ed25519"],
      ["password-authentication", "yes-if-no-key"],
      ["forwarding-enabled", "no"],
    ]),
  ],
  { single: true },
);

const SERVICE = listing(["name", "port", "address", "max-sessions"], ({ device }) => [
  new Map<string, Value>([
    [".id", id("*1")],
    ["name", "ssh"],
    ["port", 22n],
    ["address", ""],
    ["max-sessions", BigInt(device.switches().maxSessions)],
  ]),
]);

/** /ip: as far as it concerns the console's own service. */
export const IP_MENU: MenuSpec = { name: "ip", menus: [menu("ssh", SSH), menu("service", SERVICE)] };

const USERS = listing(["name", "group"], ({ device }) =>
  device.userNames.map(
    (name, at) =>
      new Map<string, Value>([
        [".id", id(`*${(at + 1).toString(16).toUpperCase()}`)],
        ["name", name],
        ["group", name],
      ]),
  ),
);

export const USER_MENU: MenuSpec = menu("user", USERS);

const LOG = listing(["topics", "message"], ({ device }) =>
  device.log.map(
    (message, at) =>
      new Map<string, Value>([
        [".id", id(`*${(at + 1).toString(16).toUpperCase()}`)],
        ["topics", "script,info"],
        ["message", message],
      ]),
  ),
);

/** /log, with the commands that write to it. */
export const LOG_MENU: MenuSpec = menu(
  "log",
  LOG,
  ["info", "warning", "error", "debug"].map((name) => ({
    name,
    arguments: [{ name: "message", type: "string" as const }],
    positional: ["message"],
    required: ["message"],
    policy: "write" as const,
    run: async (call: Invocation): Promise<Value> => {
      call.device.log.push(call.args.text("message") ?? "");
      return undefined;
    },
  })),
);
