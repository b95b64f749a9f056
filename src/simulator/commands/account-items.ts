import { formatId } from "../device/environment.ts";
import type { Policy } from "../device/policies.ts";
import { RunFailure } from "../errors.ts";
import { id } from "../language/scalars.ts";
import type { ArgumentSpec } from "../language/schema.ts";
import type { Row } from "../language/scope.ts";
import { isArray, toText, type Value } from "../language/values.ts";
import type { CommandSpec, Invocation } from "./command.ts";
import { type Listing, resolveItems } from "./list-menu.ts";

/** Users, groups and keys take both (facts section 7). */
const MANAGE: readonly Policy[] = ["write", "policy"];
export const NUMBERS: ArgumentSpec = { name: "numbers", type: "items" };
export const text = (name: string): ArgumentSpec => ({ name, type: "string" });
export const any = (name: string): ArgumentSpec => ({ name, type: "any" });

/** Words with commas between them, or an array of them; undefined when the argument was not given. */
export function words(call: Invocation, name: string): string[] | undefined {
  if (!call.args.has(name)) return undefined;
  const value = call.args.value(name);
  const texts = isArray(value) ? value.items.map(toText) : [toText(value)];
  return texts.flatMap((one) => one.split(",")).filter((one) => one !== "");
}

/** The items that `numbers` means. */
export function items<T extends { readonly id: number }>(
  call: Invocation,
  listing: Listing,
  all: readonly T[],
): readonly T[] {
  return resolveItems(call, listing, call.args.value("numbers")).map((row) => {
    const found = all.find((one) => formatId(one.id) === toText(row.get(".id")));
    if (found === undefined) throw new RunFailure("no such item");
    return found;
  });
}

/** A command that needs the policies of user management. */
export function manage(
  name: string,
  args: readonly ArgumentSpec[],
  run: (call: Invocation) => Value,
  required: readonly string[] = [],
): CommandSpec {
  const positional = args.includes(NUMBERS) ? ["numbers"] : [];
  return { name, arguments: args, positional, required, policy: MANAGE, run: async (call) => run(call) };
}

/**
 * A command on the items that `numbers` means; each gets a line in the log.
 * @param audit the event, a colon, and the command, for the line in the log
 */
export function manageItems<T extends { readonly id: number }>(
  name: "set" | "remove",
  settings: readonly ArgumentSpec[],
  listing: Listing,
  all: (call: Invocation) => readonly T[],
  act: (call: Invocation, item: T) => void,
  audit: string,
): CommandSpec {
  const [what = "", command = ""] = audit.split(": ");
  const run = (call: Invocation): Value => {
    for (const item of items(call, listing, all(call))) {
      act(call, item);
      call.audit(what, `${command} ${formatId(item.id)}`);
    }
    return undefined;
  };
  return manage(name, [NUMBERS, ...settings], run, ["numbers"]);
}

/** The record of one item: its number and comment, then `entries`. */
export function row(
  of: { id: number; comment?: string },
  entries: readonly (readonly [string, Value])[],
): Row {
  const { comment = "" } = of;
  const own: [string, Value][] = comment === "" ? [] : [["comment", comment]];
  return new Map<string, Value>([[".id", id(formatId(of.id))], ...own, ...entries]);
}
