import { formatId } from "../device/environment.ts";
import { lastPart, type Subvolume } from "../device/subvolumes.ts";
import { RunFailure } from "../errors.ts";
import { id } from "../language/scalars.ts";
import { toText, type Value } from "../language/values.ts";
import type { CommandMenu, Invocation } from "./command.ts";
import { knownProperties, type Listing, listCommands, resolveItems } from "./list-menu.ts";

function subvolumeRow(call: Invocation, item: Subvolume): Map<string, Value> {
  const pool = call.device.pool(item.pool);
  const { fullnameSlash, deadFullname } = call.device.switches();
  const shown = (fullname: string) => `${fullnameSlash === "with" && fullname !== "" ? "/" : ""}${fullname}`;
  const children = call.device.subvolumes.filter(
    (one) => one.source === item.id && one.deadUntil === undefined,
  );
  const isNamed = item.deadUntil === undefined || deadFullname === "kept";
  const row = new Map<string, Value>([[".id", id(formatId(item.id))]]);
  if (item.snapshot) row.set("snapshot", true);
  if (item.readOnly) row.set("read-only", true);
  if (item.deadUntil !== undefined) row.set("dead", true);
  row.set("fs", pool.label);
  if (isNamed) row.set("name", lastPart(item.fullname)).set("fullname", shown(item.fullname));
  row.set("parent", shown(item.parent)).set("top-level", 5n).set("uuid", item.uuid);
  row.set("creation-time", call.device.time.moment(item.created));
  row.set("subvolume-id", BigInt(256 + item.id)).set("generation", BigInt(item.id));
  row.set("snapshots", children.map((one) => shown(one.fullname)).join(","));
  if (isNamed) row.set("path", `/${call.device.subvolumeStore.directory(item)}`);
  return row;
}

const SUBVOLUMES: Listing = {
  properties: [
    "fs",
    "parent",
    "name",
    "fullname",
    "top-level",
    "uuid",
    "creation-time",
    "subvolume-id",
    "generation",
    "snapshots",
    "path",
  ].map((name) => ({ name })),
  flags: [
    { letter: "S", name: "snapshot" },
    { letter: "r", name: "read-only" },
    { letter: "D", name: "dead" },
  ],
  columns: ["fs", "name", "creation-time"],
  names: [],
  sizes: "grouped",
  rows: (device, call) => device.subvolumes.map((item) => subvolumeRow(call, item)),
};

const FILESYSTEMS: Listing = {
  properties: ["label", "uuid", "total-devs", "devs", "present-devs", "scrub-status"].map((name) => ({
    name,
  })),
  flags: [],
  columns: ["label", "uuid", "total-devs"],
  names: ["label"],
  sizes: "grouped",
  rows: (device) =>
    device.pools
      .filter((pool) => pool.fs === "btrfs" && pool.mounted)
      .map(
        (pool) =>
          new Map<string, Value>([
            [".id", id(formatId(pool.id))],
            ["label", pool.label],
            ["uuid", pool.uuid],
            ["total-devs", 1n],
            ["devs", pool.slot],
            ["present-devs", 1n],
            ["scrub-status", "none"],
          ]),
      ),
};

async function add(call: Invocation): Promise<Value> {
  const label = call.args.text("fs") ?? "";
  const name = call.args.text("name");
  if (name === undefined) throw new RunFailure("missing value(s) of argument(s) name");
  const readOnly = call.args.value("read-only") === true;
  const item = await call.device.subvolumeStore.add(label, name, call.args.text("parent"), readOnly);
  call.audit("subvolume added", `${formatId(item.id)} = /disk btrfs subvolume add name=${item.fullname}`);
  return id(formatId(item.id));
}

async function remove(call: Invocation): Promise<Value> {
  for (const row of resolveItems(call, SUBVOLUMES, call.args.value("numbers"))) {
    const item = call.device.subvolumes.find((one) => formatId(one.id) === toText(row.get(".id")));
    if (item === undefined || item.deadUntil !== undefined) throw new RunFailure("no such item");
    await call.device.subvolumeStore.remove(item);
    call.audit("subvolume removed", formatId(item.id));
  }
  return undefined;
}

/** /disk/btrfs (facts section 3.6). */
export const BTRFS_MENU: CommandMenu = {
  name: "btrfs",
  since: "7.18",
  menus: [
    {
      name: "subvolume",
      properties: knownProperties(SUBVOLUMES),
      commands: [
        ...listCommands(SUBVOLUMES),
        {
          name: "add",
          arguments: [
            { name: "fs", type: "string" },
            { name: "parent", type: "string" },
            { name: "name", type: "string" },
            { name: "read-only", type: "bool" },
          ],
          required: ["fs"],
          policy: "write",
          run: add,
        },
        {
          name: "remove",
          arguments: [{ name: "numbers", type: "items" }],
          positional: ["numbers"],
          required: ["numbers"],
          policy: "write",
          run: remove,
        },
      ],
    },
    { name: "filesystem", properties: knownProperties(FILESYSTEMS), commands: listCommands(FILESYSTEMS) },
  ],
};
