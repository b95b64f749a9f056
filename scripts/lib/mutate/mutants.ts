import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import { type Replacement, regexReplacements, scriptReplacements } from "./text-mutants.ts";

/** One change of one source file. */
export interface Mutant extends Replacement {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** File, function, the old and the new text: names the mutant wherever its line moves. */
  readonly key: string;
}

/** A node as the visitor looks at it. Members that the kind of the node has not are undefined. */
type Any = Node & Readonly<Record<string, Node & { readonly text?: string; readonly kind: SyntaxKind }>>;

const COMPARISONS: ReadonlyMap<SyntaxKind, readonly string[]> = new Map([
  [SyntaxKind.EqualsEqualsEqualsToken, ["!=="]],
  [SyntaxKind.ExclamationEqualsEqualsToken, ["==="]],
  [SyntaxKind.LessThanToken, ["<=", ">="]],
  [SyntaxKind.LessThanEqualsToken, ["<", ">"]],
  [SyntaxKind.GreaterThanToken, [">=", "<="]],
  [SyntaxKind.GreaterThanEqualsToken, [">", "<"]],
  [SyntaxKind.PlusToken, ["-"]],
  [SyntaxKind.MinusToken, ["+"]],
  [SyntaxKind.AsteriskToken, ["/"]],
  [SyntaxKind.SlashToken, ["*"]],
  [SyntaxKind.PercentToken, ["*"]],
]);

const METHODS: ReadonlyMap<string, string> = new Map([
  ["some", "every"],
  ["every", "some"],
  ["max", "min"],
  ["min", "max"],
  ["startsWith", "endsWith"],
  ["endsWith", "startsWith"],
  ["floor", "ceil"],
  ["ceil", "floor"],
]);

/** Calls `list.name(…)` that leave the list as it is. */
const PASSING: ReadonlySet<string> = new Set(["filter", "toSorted", "sort", "trim", "slice", "toUpperCase"]);

/** Texts for people: their words are not tested. */
const WORDS: ReadonlySet<string> = new Set(["detail", "reason", "what", "description", "found", "message"]);

/** The mutants of a source, in the order of their places. */
export function mutantsOf(file: string, source: SourceFile): readonly Mutant[] {
  const { text } = source;
  const found: Mutant[] = [];
  const named: string[] = [];
  const seen = new Map<string, number>();
  /** @param around its text, with the change and without, names the mutant */
  const add = (start: number, end: number, replacement: string, around?: Node) => {
    if (text.slice(start, end) === replacement) return;
    const line = text.slice(0, start).split("\n").length;
    const [from, to] = around === undefined ? [start, end] : [startOf(around), around.end];
    const changed = text.slice(from, start) + replacement + text.slice(end, to);
    const name = `${file} ${named.at(-1) ?? "top"}: ${short(text.slice(from, to))} → ${short(changed) || "nothing"}`;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    const key = count === 1 ? name : `${name} (${count})`;
    found.push({ file, line, start, end, text: replacement, key });
  };
  const startOf = (node: Node) => node.getStart(source);
  const replace = (node: Node, replacement: string) => add(startOf(node), node.end, replacement);
  const textOf = (node: Node) => text.slice(startOf(node), node.end);
  const inside = (node: Node, replacements: readonly Replacement[]) => {
    for (const each of replacements)
      add(startOf(node) + each.start, startOf(node) + each.end, each.text, node);
  };

  const visit = (node: Any): void => {
    const name = functionName(node);
    if (name !== undefined) named.push(name);
    mutate(node);
    if (!isLeftOut(node)) node.forEachChild((child) => visit(child as Any));
    if (name !== undefined) named.pop();
  };

  const condition = (node: Node) => {
    replace(node, "true");
    replace(node, "false");
  };

  const mutate = (node: Any): void => {
    switch (node.kind) {
      case SyntaxKind.IfStatement:
      case SyntaxKind.WhileStatement:
        if (isLog(node)) return;
        condition(node.expression as Node);
        return;
      case SyntaxKind.ConditionalExpression:
        condition(node.condition as Node);
        return;
      case SyntaxKind.BinaryExpression: {
        const { operatorToken: operator, left, right } = node as unknown as Record<string, Node>;
        if (operator === undefined || left === undefined || right === undefined) return;
        for (const other of COMPARISONS.get(operator.kind) ?? [])
          add(startOf(operator), operator.end, other, node);
        if (
          operator.kind === SyntaxKind.AmpersandAmpersandToken ||
          operator.kind === SyntaxKind.BarBarToken
        ) {
          const other = operator.kind === SyntaxKind.BarBarToken ? "&&" : "||";
          add(startOf(operator), operator.end, other, node);
          replace(node, textOf(left));
          replace(node, textOf(right));
        }
        if (operator.kind === SyntaxKind.QuestionQuestionToken) replace(node, textOf(left));
        return;
      }
      case SyntaxKind.PrefixUnaryExpression:
        if (text[startOf(node)] === "!") replace(node, textOf(node.operand as Node));
        return;
      case SyntaxKind.TrueKeyword:
        replace(node, "false");
        return;
      case SyntaxKind.FalseKeyword:
        replace(node, "true");
        return;
      case SyntaxKind.NumericLiteral:
        replace(node, `(${textOf(node)} + 1)`);
        return;
      case SyntaxKind.BigIntLiteral:
        replace(node, `(${textOf(node)} + 1n)`);
        return;
      case SyntaxKind.StringLiteral:
      case SyntaxKind.NoSubstitutionTemplateLiteral:
        replace(node, textOf(node).length === 2 ? '"mutant"' : '""');
        return;
      case SyntaxKind.TemplateExpression:
        replace(node, '""');
        return;
      case SyntaxKind.RegularExpressionLiteral:
        inside(node, regexReplacements(textOf(node)));
        return;
      case SyntaxKind.TaggedTemplateExpression:
        inside(node.template as Node, scriptReplacements(textOf(node.template as Node)));
        return;
      case SyntaxKind.AwaitExpression:
        replace(node, textOf(node.expression as Node));
        return;
      case SyntaxKind.ExpressionStatement:
        if (isLog(node)) return;
        replace(node, ";");
        return;
      case SyntaxKind.ThrowStatement:
      case SyntaxKind.ContinueStatement:
        replace(node, ";");
        return;
      case SyntaxKind.ReturnStatement:
        if (textOf(node) === "return undefined;") return;
        replace(node, node.expression === undefined ? ";" : "return undefined as never;");
        return;
      case SyntaxKind.SpreadElement:
      case SyntaxKind.SpreadAssignment:
        add(startOf(node), text[node.end] === "," ? node.end + 1 : node.end, "");
        return;
      case SyntaxKind.CallExpression:
        call(node);
        return;
      default:
        return;
    }
  };

  const call = (node: Any): void => {
    const { expression: callee } = node;
    if (callee?.kind !== SyntaxKind.PropertyAccessExpression) return;
    const { name, expression: list } = callee as Any;
    if (name === undefined || list === undefined) return;
    const other = METHODS.get(textOf(name));
    if (other !== undefined) add(startOf(name), name.end, other, callee);
    if (PASSING.has(textOf(name))) replace(node, textOf(list));
  };

  /** A line of the log, with or without its condition. */
  const isLog = (node: Node): boolean => /^(?:if \([^{}]*\)\s*)?[\w.]*logger\.\w+\(/.test(textOf(node));

  const isLeftOut = (node: Any): boolean => {
    const { kind } = node;
    if (isLog(node)) return true;
    // Deadlines and pauses.
    if (kind === SyntaxKind.VariableDeclaration && /_MS$/.test(textOf(node.name as Node))) return true;
    // Types are gone at run time.
    if (kind >= SyntaxKind.FirstTypeNode && kind <= SyntaxKind.LastTypeNode) return true;
    if (kind === SyntaxKind.InterfaceDeclaration || kind === SyntaxKind.TypeAliasDeclaration) return true;
    if (kind === SyntaxKind.ImportDeclaration || kind === SyntaxKind.ExportDeclaration) return true;
    if (kind === SyntaxKind.PropertyAssignment && WORDS.has(textOf(node.name as Node))) return true;
    const isCall = kind === SyntaxKind.CallExpression || kind === SyntaxKind.NewExpression;
    return isCall && /(?:^|\.)(?:logger\.\w+|debug|\w*Error)$/.test(textOf(node.expression as Node));
  };

  visit(source as unknown as Any);
  return found;
}

/** On one line, and not too long. */
function short(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 160 ? `${line.slice(0, 100)} … ${line.slice(-50)}` : line;
}

function functionName(node: Any): string | undefined {
  const isFunction =
    node.kind === SyntaxKind.FunctionDeclaration ||
    node.kind === SyntaxKind.MethodDeclaration ||
    node.kind === SyntaxKind.ClassDeclaration;
  return isFunction ? node.name?.text : undefined;
}
