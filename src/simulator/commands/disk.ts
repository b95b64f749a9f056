import { type DiskItem, type Setting, slotOf } from "../device/disk-item.ts";
import { formatId } from "../device/environment.ts";
import type { Pool } from "../device/pools.ts";
import { RunFailure } from "../errors.ts";
import { id } from "../language/scalars.ts";
import type { ArgumentSpec } from "../language/schema.ts";
import { toText, type Value } from "../language/values.ts";
import { BTRFS_MENU } from "./btrfs.ts";
import type { CommandMenu, CommandSpec, Invocation } from "./command.ts";
import { diskCopy } from "./disk-copy.ts";
import { DISK_PROPERTIES, DISK_SETTINGS, DISKS } from "./disk-schema.ts";
import { listCommands, resolveItems } from "./list-menu.ts";

const NUMBERS: ArgumentSpec = { name: "numbers", type: "items" };

/** The settings that a line gives, without its other arguments. */
function givenSettings(call: Invocation): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [name, value] of call.args.entries()) {
    if (name === "numbers" || name === "copy-from") continue;
    if (typeof value === "string" || typeof value === "bigint" || typeof value === "boolean") {
      settings.set(name, value);
    }
  }
  return settings;
}

/** The items that an argument means, as the device holds them. */
function targets(call: Invocation, argument: string): readonly (DiskItem | Pool)[] {
  return resolveItems(call, DISKS, call.args.value(argument)).flatMap((row) => {
    const found = call.device.diskById(toText(row.get(".id")));
    return found === undefined ? [] : [found];
  });
}

function isPool(target: DiskItem | Pool): target is Pool {
  return "fs" in target;
}

async function add(call: Invocation): Promise<Value> {
  const settings = givenSettings(call);
  if (call.args.has("copy-from")) {
    const [source] = targets(call, "copy-from");
    if (source === undefined || isPool(source)) throw new RunFailure("no such item");
    for (const [name, value] of source.config) {
      // A copied slot would collide, and file-size would be that of the copied file only.
      if (!settings.has(name) && name !== "slot") settings.set(name, value);
    }
  }
  if (!settings.has("type")) throw new RunFailure("missing value(s) of argument(s) type");
  const item = await call.device.diskStore.add(settings);
  call.audit(`disk added`, `${formatId(item.id)} = /disk add slot=${slotOf(item)}`);
  return id(formatId(item.id));
}

async function set(call: Invocation): Promise<Value> {
  const settings = givenSettings(call);
  for (const target of targets(call, "numbers")) {
    if (!isPool(target)) {
      await call.device.diskStore.set(target, settings, call.args.unset);
      continue;
    }
    const other = [...settings.keys()].find((name) => name !== "comment");
    if (other !== undefined)
      throw new RunFailure(`failure: can not change ${other} of a pool in the simulator`);
    target.comment = call.args.text("comment") || undefined;
    call.device.mutations += 1;
  }
  return undefined;
}

async function remove(call: Invocation): Promise<Value> {
  for (const target of targets(call, "numbers")) {
    if (isPool(target)) throw new RunFailure("failure: could not unmount, stop using it first");
    call.device.diskStore.remove(target);
    call.audit("disk removed", formatId(target.id));
  }
  return undefined;
}

function switchTo(disabled: boolean): (call: Invocation) => Promise<Value> {
  return async (call) => {
    for (const target of targets(call, "numbers")) {
      if (isPool(target)) throw new RunFailure("failure: could not unmount, stop using it first");
      await call.device.diskStore.set(target, new Map([["disabled", disabled]]), new Set());
    }
    return undefined;
  };
}

/** The file disk that an argument means. */
function fileDisk(call: Invocation, argument: string): DiskItem | undefined {
  const [target] = targets(call, argument);
  return target === undefined || isPool(target) ? undefined : target;
}

async function monitorTraffic(call: Invocation): Promise<Value> {
  if (!call.args.flag("once"))
    throw new RunFailure("failure: the simulator answers monitor-traffic with once only");
  for (const row of resolveItems(call, DISKS, call.args.value("numbers"))) {
    const lines = [
      ["name", toText(row.get("slot"))],
      ["read-ops-per-second", "0"],
      ["write-ops-per-second", "0"],
      ["read-rate", "0bps"],
      ["write-rate", "0bps"],
      ["read-time", "0ms"],
      ["write-time", "0ms"],
      ["in-flight-ops", "0"],
      ["active-time", "0ms"],
      ["wait-time", "0ms"],
    ];
    for (const [name, value] of lines) call.write(`${(name ?? "").padStart(22)}: ${value}`);
  }
  call.write("");
  return undefined;
}

async function smartInfo(call: Invocation): Promise<Value> {
  for (const row of resolveItems(call, DISKS, call.args.value("numbers"))) {
    call.write("Columns: OUTPUT");
    call.write("smartctl 7.1 2019-12-30 r5022 [aarch64-linux-5.6.3] (local build)");
    call.write(`Device: ${toText(row.get("slot"))} (simulated)`);
    call.write("SMART overall-health self-assessment test result: PASSED");
  }
  return undefined;
}

async function trim(call: Invocation): Promise<Value> {
  resolveItems(call, DISKS, call.args.value("numbers"));
  return undefined;
}

function itemCommand(name: string, run: CommandSpec["run"], more: Partial<CommandSpec> = {}): CommandSpec {
  const base = {
    name,
    arguments: [NUMBERS],
    positional: ["numbers"],
    required: ["numbers"],
    policy: "write",
  } as const;
  return { ...base, ...more, ...(run === undefined ? {} : { run }) };
}

/** /disk/settings: defaults for new items; fixed in the simulator, which never shares on its own. */
const SETTINGS_MENU: CommandMenu = {
  name: "settings",
  properties: [
    { name: "auto-smb-sharing" },
    { name: "auto-media-sharing" },
    { name: "default-mount-point-template" },
  ],
  commands: listCommands({
    properties: [
      { name: "auto-smb-sharing" },
      { name: "auto-media-sharing" },
      { name: "default-mount-point-template" },
    ],
    flags: [],
    columns: [],
    names: [],
    sizes: "grouped",
    single: true,
    rows: () => [
      new Map<string, Value>([
        ["auto-smb-sharing", false],
        ["auto-media-sharing", false],
        ["default-mount-point-template", "[slot]"],
      ]),
    ],
  }),
};

/** /disk (facts section 3). */
export const DISK_MENU: CommandMenu = {
  name: "disk",
  properties: DISK_PROPERTIES,
  menus: [BTRFS_MENU, SETTINGS_MENU],
  commands: [
    ...listCommands(DISKS),
    {
      name: "add",
      arguments: [...DISK_SETTINGS, { name: "copy-from", type: "items" }],
      policy: "write",
      run: add,
    },
    itemCommand("set", set, { arguments: [NUMBERS, ...DISK_SETTINGS] }),
    itemCommand("remove", remove),
    itemCommand("enable", switchTo(false)),
    itemCommand("disable", switchTo(true)),
    itemCommand("monitor-traffic", monitorTraffic, {
      arguments: [NUMBERS, { name: "once", type: "flag" }],
      policy: "read",
    }),
    itemCommand("trim", trim, { since: "7.22" }),
    itemCommand("smart-info", smartInfo, { since: "7.23", policy: "read" }),
    diskCopy(fileDisk),
  ],
};
