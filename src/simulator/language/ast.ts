import type { ParseFailure } from "../errors.ts";
import type { Scalar } from "./scalars.ts";
import type { CommandSyntax } from "./schema.ts";

/** Where something stands in the source, both from 1; for error texts. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A run of statements; at run time it is a scope of its own. */
export interface Block {
  readonly statements: readonly CommandNode[];
}

export type BinaryOperator =
  | "or"
  | "and"
  | "="
  | "!="
  | "<"
  | ">"
  | "<="
  | ">="
  | "~"
  | "in"
  | "."
  | ","
  | "+"
  | "-"
  | "*"
  | "/"
  | "%";

export type Expression =
  | { readonly kind: "string"; readonly value: string }
  /** A bare word of an expression, such as `5`, `yes` or `*1F`. */
  | { readonly kind: "literal"; readonly value: Scalar }
  /** A bare word in argument position: its type depends on who reads it. */
  | { readonly kind: "word"; readonly text: string; readonly at: Position }
  | { readonly kind: "interpolated"; readonly parts: readonly Expression[] }
  | { readonly kind: "variable"; readonly name: string; readonly at: Position }
  /** The property of the row that a `where` looks at. */
  | { readonly kind: "property"; readonly name: string; readonly path: string }
  | { readonly kind: "substitution"; readonly block: Block }
  | { readonly kind: "array"; readonly entries: readonly ArrayEntry[] }
  | { readonly kind: "block"; readonly block: Block; readonly text: string }
  | { readonly kind: "unary"; readonly operator: "!" | "-"; readonly operand: Expression }
  | { readonly kind: "index"; readonly target: Expression; readonly key: Expression }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    };

export interface ArrayEntry {
  readonly key?: Expression;
  readonly value: Expression;
}

/** One command with its arguments, fully checked against the schema. */
export interface CommandNode {
  readonly spec: CommandSyntax;
  /** Menu path without the command, such as "/disk"; "" for a global command. */
  readonly menu: string;
  readonly at: Position;
  readonly named: ReadonlyMap<string, Expression>;
  readonly flags: ReadonlySet<string>;
  /** Arguments given as `!name`. */
  readonly unset: ReadonlySet<string>;
  readonly where?: Expression;
  /** The source text, for `:parse`. */
  readonly text: string;
  /** Its mistake: it fails when it is reached. */
  readonly defect?: { readonly failure: ParseFailure; readonly isCatchable: boolean };
}

/** Whether an expression is the same whenever it is evaluated; gives its text then. */
export function literalText(expression: Expression): string | undefined {
  if (expression.kind === "string") return expression.value;
  if (expression.kind === "word") return expression.text;
  return undefined;
}
