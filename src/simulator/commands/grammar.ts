import type { Switches } from "../switches.ts";
import { hasVersion } from "../version.ts";
import { DISK_MENU } from "./disk.ts";
import { FILE_MENU } from "./file.ts";
import { IMPORT } from "./import.ts";
import { LANGUAGE } from "./language.ts";
import type { Grammar, MenuSpec } from "./schema.ts";
import { IP_MENU, LOG_MENU, SYSTEM_MENU } from "./system.ts";
import { USER_MENU } from "./users.ts";

const ROOT: MenuSpec = {
  name: "",
  menus: [DISK_MENU, FILE_MENU, SYSTEM_MENU, USER_MENU, IP_MENU, LOG_MENU],
  commands: [IMPORT],
};

/** What the console of the simulated RouterOS version accepts. */
export function grammarOf(switches: Readonly<Switches>): Grammar {
  return {
    root: ROOT,
    globals: LANGUAGE,
    available: (since) => since === undefined || hasVersion(switches.version, since),
    hidden: (name) => name === "serialize" && switches.serialize === "missing",
    conflicting: (flags) =>
      switches.asValueInDetail === "missing" && flags.has("detail") && flags.has("as-value"),
    unknownArgument: (name) =>
      switches.unknownArgument === "expected-end" ? "expected end of command" : `bad parameter ${name}`,
  };
}
