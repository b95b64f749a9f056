/**
 * How an argument is read. `flag` takes no value, `block` wants code, `name` a variable name, `items` item
 * numbers or names, `size` accepts K, M, G, T as binary units.
 */
export type ArgumentType =
  | "string"
  | "bool"
  | "num"
  | "size"
  | "enum"
  | "time"
  | "any"
  | "items"
  | "flag"
  | "block"
  | "name";

export interface ArgumentSpec {
  readonly name: string;
  readonly type: ArgumentType;
  /** The values of an enum. */
  readonly values?: readonly string[];
  /** RouterOS version that introduced it, such as "7.21". */
  readonly since?: string;
  /** Inclusive bounds of a number. */
  readonly range?: readonly [bigint, bigint];
}

/** A command as the parser knows it; its code is in `CommandSpec`. */
export interface CommandSyntax {
  /** "add" for a menu's command, ":put" for a global one. */
  readonly name: string;
  readonly arguments: readonly ArgumentSpec[];
  /** Names of the arguments that may stand without their name, in order. */
  readonly positional?: readonly string[];
  /** Mandatory arguments; their absence is a run-time failure. */
  readonly required?: readonly string[];
  /** Whether `where ...` may follow. */
  readonly where?: boolean;
  /** Whether conditions may follow without the word `where`, as in `[find slot=x]`. */
  readonly implicitWhere?: boolean;
  readonly since?: string;
}

/** A property of a menu's items, as `print`, `get` and `where` know it. */
export interface PropertySpec {
  readonly name: string;
  readonly since?: string;
}

export interface MenuSpec<Command extends CommandSyntax = CommandSyntax> {
  readonly name: string;
  readonly since?: string;
  readonly menus?: readonly MenuSpec<Command>[];
  readonly commands?: readonly Command[];
  readonly properties?: readonly PropertySpec[];
}

/**
 * Where a mistake takes effect: the whole line is refused, or everything before it runs first (facts section 13), and then
 * the line may go on in `:onerror` or ends.
 */
export type DefectEffect = "whole-line" | "catchable" | "uncatchable";

export interface Defect {
  readonly text: string;
  readonly effect: DefectEffect;
}

/** The menus and commands of one RouterOS version. */
export interface Grammar {
  readonly root: MenuSpec;
  readonly globals: readonly CommandSyntax[];
  /** Whether something introduced in version `since` exists. */
  available(since: string | undefined): boolean;
  /** Whether a global command is switched off. */
  hidden(name: string): boolean;
  /** Whether these flags exclude each other in this version. */
  conflicting(flags: ReadonlySet<string>): boolean;
  /** The effect of an argument that does not exist. */
  unknownArgument(name: string): Defect;
  /** The effect of a menu or command that does not exist; the text is the parser's. */
  readonly unknownCommand: DefectEffect;
}

/** The entry called `name`, or the only one that starts with it (the console completes prefixes). */
export function complete<T extends { readonly name: string }>(
  candidates: readonly T[],
  name: string,
): T | undefined {
  const exact = candidates.find((candidate) => candidate.name === name);
  if (exact !== undefined) return exact;
  const matching = candidates.filter((candidate) => candidate.name.startsWith(name));
  return matching.length === 1 ? matching[0] : undefined;
}
