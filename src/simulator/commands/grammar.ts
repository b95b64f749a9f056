import type { CommandSyntax, Defect, Grammar } from "../language/schema.ts";
import type { Switches } from "../switches.ts";
import { hasVersion } from "../version.ts";
import type { CommandMenu, CommandSpec } from "./command.ts";
import { DISK_MENU } from "./disk.ts";
import { FILE_MENU } from "./file.ts";
import { IMPORT } from "./import.ts";
import { LANGUAGE } from "./language.ts";
import { IP_MENU, LOG_MENU, SYSTEM_MENU } from "./system.ts";
import { USER_MENU } from "./users.ts";

const ROOT: CommandMenu = {
  name: "",
  menus: [DISK_MENU, FILE_MENU, SYSTEM_MENU, USER_MENU, IP_MENU, LOG_MENU],
  commands: [IMPORT],
};

/** Every command by its syntax, which is the same object. */
const COMMANDS: ReadonlyMap<CommandSyntax, CommandSpec> = new Map(
  [...LANGUAGE, ...commandsBelow(ROOT)].map((command) => [command, command]),
);

function commandsBelow(menu: CommandMenu): CommandSpec[] {
  return [...(menu.commands ?? []), ...(menu.menus ?? []).flatMap(commandsBelow)];
}

/** The command with its code; undefined for the stand-in of a command that does not exist. */
export function commandOf(syntax: CommandSyntax): CommandSpec | undefined {
  return COMMANDS.get(syntax);
}

/** The grammar of the console of the simulated RouterOS version. */
export function grammarOf(switches: Readonly<Switches>): Grammar {
  return {
    root: ROOT,
    globals: LANGUAGE,
    available: (since) => since === undefined || hasVersion(switches.version, since),
    hidden: (name) => name === "serialize" && switches.serialize === "missing",
    conflicting: (flags) =>
      switches.asValueInDetail === "missing" && flags.has("detail") && flags.has("as-value"),
    unknownArgument: (name) => unknownArgument(switches, name),
    unknownCommand: switches.unknownCommand,
  };
}

/** By version: `syntax error` up to 7.21, seen as `bad parameter` from 7.23 on (facts section 13). */
function unknownArgument({ unknownArgument: how, version }: Readonly<Switches>, name: string): Defect {
  const modern = how === "bad-parameter" || (how === "by-version" && hasVersion(version, "7.22"));
  if (modern) return { text: `bad parameter ${name}`, effect: "catchable" };
  return { text: how === "expected-end" ? "expected end of command" : "syntax error", effect: "whole-line" };
}
