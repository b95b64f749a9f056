import { humanSize, type SizeStyle } from "../console/format.ts";
import {
  type FlagSpec,
  type NumberedRow,
  type RenderOptions,
  renderDetail,
  renderSingle,
  renderTable,
  renderTerse,
} from "../console/render.ts";
import type { Device } from "../device/device.ts";
import { RunFailure } from "../errors.ts";
import { idList } from "../language/interpreter.ts";
import type { ArgumentSpec, PropertySpec } from "../language/schema.ts";
import type { Row } from "../language/scope.ts";
import { isArray, list, map, toText, type Value } from "../language/values.ts";
import type { CommandSpec, Invocation } from "./command.ts";

/** A menu whose items can be printed and searched. */
export interface Listing {
  readonly properties: readonly PropertySpec[];
  readonly flags: readonly FlagSpec[];
  /** Columns of a plain `print`. */
  readonly columns: readonly string[];
  /** Properties by which an item can be named. */
  readonly names: readonly string[];
  readonly sizes: SizeStyle;
  /** A menu with one record, such as /system/resource. */
  readonly single?: boolean;
  /** Further arguments of `print`. */
  readonly printArguments?: readonly ArgumentSpec[];
  rows(device: Device, call: Invocation): readonly Row[];
}

const flag = (name: string, since?: string): ArgumentSpec => ({
  name,
  type: "flag",
  ...(since === undefined ? {} : { since }),
});
const PRINT_FLAGS = ["as-value", "brief", "count-only", "detail", "show-ids", "terse", "without-paging"];

/** All properties that `where`, `get` and proplist know. */
export function knownProperties(listing: Listing): readonly PropertySpec[] {
  return [{ name: ".id" }, ...listing.properties, ...listing.flags.filter((one) => one.property !== true)];
}

/** Names or item numbers as one list: an array, or a text with commas. */
function references(value: Value): Value[] {
  if (isArray(value)) return value.items.flatMap(references);
  if (typeof value === "string") return value.split(",");
  return value === undefined ? [] : [value];
}

/**
 * The rows that an argument of items means. An empty `find` means no rows.
 * @throws RunFailure "no such item" for a number or a name that does not exist
 */
export function resolveItems(call: Invocation, listing: Listing, value: Value): readonly Row[] {
  const rows = listing.rows(call.device, call);
  return references(value).map((reference) => {
    const text = toText(reference);
    const numbered = typeof reference === "object" || /^\*{1,2}[0-9A-Fa-f]+$/.test(text);
    const bare = text.replace(/^\/+/, "");
    const found = numbered
      ? rows.find((row) => toText(row.get(".id")) === text.toUpperCase())
      : rows.find((row) => listing.names.some((name) => toText(row.get(name)) === bare && bare !== ""));
    if (found === undefined) throw new RunFailure("no such item");
    return found;
  });
}

/** Properties that are shown to users with the policy `sensitive` only (facts section 5). */
const SENSITIVE = ["nvme-tcp-server-password"];

/** The row without the properties that the user may not see. */
function visible(call: Invocation, row: Row): Row {
  if (call.policies.has("sensitive") || !SENSITIVE.some((name) => row.has(name))) return row;
  return new Map([...row].filter(([name]) => !SENSITIVE.includes(name)));
}

/** The rows that a command means, each with its place in the whole list. */
async function select(call: Invocation, listing: Listing): Promise<NumberedRow[]> {
  const named = call.args.has("numbers") || call.args.has("from");
  const items = call.args.value("numbers") ?? call.args.value("from");
  const all = listing.rows(call.device, call);
  const wanted = named ? new Set(resolveItems(call, listing, items).map(idOf)) : undefined;
  const selected: NumberedRow[] = [];
  for (const [number, each] of all.entries()) {
    if (wanted?.has(idOf(each)) === false) continue;
    const row = visible(call, each);
    if (await call.matches(row)) selected.push({ number, row });
  }
  return selected;
}

function idOf(row: Row): string {
  return toText(row.get(".id"));
}

function proplist(call: Invocation, listing: Listing): readonly string[] | undefined {
  const value = call.args.value("proplist");
  if (value === undefined) return undefined;
  const { proplist: how } = call.device.switches();
  if (how === "missing") throw new RunFailure("bad parameter proplist");
  const names = references(value).map(toText);
  const known = new Set(knownProperties(listing).map((property) => property.name));
  if (names.some((name) => !known.has(name)))
    throw new RunFailure("input does not match any value of proplist");
  const flags = listing.flags.filter((one) => one.property !== true).map((one) => one.name);
  return how === "works" ? names : names.filter((name) => !flags.includes(name));
}

/** A row as `as-value` gives it; the switches decide about flags, booleans and file-size. */
function asValue(call: Invocation, listing: Listing, row: Row, wanted: readonly string[] | undefined): Value {
  const { falseFlags, booleans, fileSizeValue } = call.device.switches();
  const complete = new Map(row);
  if (falseFlags === "false") {
    for (const { name } of listing.flags) if (!complete.has(name)) complete.set(name, false);
  }
  const convert = (name: string, value: Value): Value => {
    if (name === "file-size" && typeof value === "bigint" && fileSizeValue === "human")
      return humanSize(value);
    if (typeof value === "boolean" && booleans === "text") return value ? "yes" : "no";
    return value;
  };
  return map(
    [...complete]
      .filter(([name]) => wanted === undefined || wanted.includes(name) || name === ".id")
      .map(([name, value]) => [name, convert(name, value)] as const),
  );
}

async function print(call: Invocation, listing: Listing): Promise<Value> {
  const rows = await select(call, listing);
  const wanted = proplist(call, listing);
  if (call.args.flag("count-only")) {
    const count = BigInt(rows.length);
    if (!call.args.flag("as-value")) call.write(String(count));
    return count;
  }
  const [only] = rows;
  if (call.args.flag("as-value")) {
    const values = rows.map(({ row }) => asValue(call, listing, row, wanted));
    return listing.single === true ? values[0] : list(values);
  }
  const { detailComment } = call.device.switches();
  const { flags, sizes } = listing;
  const options: RenderOptions = {
    flags,
    proplist: wanted,
    width: call.width,
    commentStyle: detailComment,
    sizes,
  };
  let lines: readonly string[];
  if (listing.single === true && only !== undefined) lines = renderSingle(only.row, options);
  else if (call.args.flag("terse")) lines = renderTerse(rows, options);
  else if (call.args.flag("detail")) lines = renderDetail(rows, options);
  else lines = renderTable(rows, listing.columns, options);
  for (const line of lines) call.write(line);
  return undefined;
}

async function get(call: Invocation, listing: Listing): Promise<Value> {
  const rows = listing.single === true ? listing.rows(call.device, call) : await selectOne(call, listing);
  const [found] = rows;
  const name = call.args.text("value-name");
  if (found === undefined) throw new RunFailure("no such item");
  const row = visible(call, found);
  if (name === undefined) return asValue(call, listing, row, undefined);
  if (!knownProperties(listing).some((property) => property.name === name)) {
    throw new RunFailure("input does not match any value of value-name");
  }
  const value = row.get(name);
  return call.args.flag("as-string") ? toText(value) : value;
}

async function selectOne(call: Invocation, listing: Listing): Promise<readonly Row[]> {
  const rows = resolveItems(call, listing, call.args.value("numbers"));
  if (rows.length === 1) return rows;
  const { missingItem } = call.device.switches();
  throw new RunFailure(
    rows.length === 0 && missingItem === "no-such-item" ? "no such item" : "invalid internal item number",
  );
}

/** The commands `print`, `get` and (unless single) `find` of a listing. */
export function listCommands(listing: Listing): readonly CommandSpec[] {
  const proplistArgument: ArgumentSpec = { name: "proplist", type: "any" };
  const numbers: ArgumentSpec = { name: "numbers", type: "items" };
  const single = listing.single === true;
  const printCommand: CommandSpec = {
    name: "print",
    arguments: [
      ...PRINT_FLAGS.map((name) => flag(name)),
      flag("show-sensitive", "7.21"),
      proplistArgument,
      ...(single ? [] : [numbers, { name: "from", type: "items" } as const]),
      ...(listing.printArguments ?? []),
    ],
    positional: single ? [] : ["numbers"],
    where: !single,
    policy: "read",
    run: (call) => print(call, listing),
  };
  const getCommand: CommandSpec = {
    name: "get",
    arguments: [
      ...(single ? [] : [numbers]),
      { name: "value-name", type: "string" },
      flag("as-string", "7.12.2"),
    ],
    positional: single ? ["value-name"] : ["numbers", "value-name"],
    policy: "read",
    run: (call) => get(call, listing),
  };
  if (single) return [printCommand, getCommand];
  const findCommand: CommandSpec = {
    name: "find",
    arguments: [],
    where: true,
    implicitWhere: true,
    policy: "read",
    run: async (call) => {
      const rows = await select(call, listing);
      return idList(rows.map(({ row }) => idOf(row)));
    },
  };
  return [printCommand, getCommand, findCommand];
}
