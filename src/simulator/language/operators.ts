import { RunFailure } from "../errors.ts";
import type { BinaryOperator } from "./ast.ts";
import { equal, order, posixRegExp } from "./compare.ts";
import type { TimeValue } from "./scalars.ts";
import { type ArrayValue, isArray, list, toText, typeName, type Value } from "./values.ts";

type Arithmetic = "+" | "-" | "*" | "/" | "%";

function integers(operator: Arithmetic, left: bigint, right: bigint): bigint {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
  }
}

/** Numbers are signed integers of 64 bits ("num", scripting manual); a result beyond them wraps. */
function arithmetic(operator: Arithmetic, left: Value, right: Value): Value {
  if (typeof left === "bigint" && typeof right === "bigint") {
    if ((operator === "/" || operator === "%") && right === 0n) throw new RunFailure("division by zero");
    return BigInt.asIntN(64, integers(operator, left, right));
  }
  const durations =
    typeof left === "object" && left.kind === "time" && typeof right === "object" && right.kind === "time";
  if (durations && operator === "+") return duration(left.nanoseconds + right.nanoseconds);
  if (durations && operator === "-") return duration(left.nanoseconds - right.nanoseconds);
  throw new RunFailure(`cannot apply ${operator} to ${typeName(left)} and ${typeName(right)}`);
}

const duration = (nanoseconds: bigint): TimeValue => ({ kind: "time", nanoseconds });

/** Applies a binary operator other than and/or. @param lenient compare as `where` does */
export function binary(operator: BinaryOperator, left: Value, right: Value, lenient: boolean): Value {
  switch (operator) {
    case "=":
      return equal(left, right, lenient);
    case "!=":
      return !equal(left, right, lenient);
    case "<":
      return (!lenient || left !== undefined) && order(left, right, lenient) < 0;
    case ">":
      return (!lenient || left !== undefined) && order(left, right, lenient) > 0;
    case "<=":
      return (!lenient || left !== undefined) && order(left, right, lenient) <= 0;
    case ">=":
      return (!lenient || left !== undefined) && order(left, right, lenient) >= 0;
    case "~":
      return posixRegExp(toText(right)).test(toText(left));
    case "in":
      if (!isArray(right)) throw new RunFailure(`cannot check whether value is in ${typeName(right)}`);
      return right.items.some((item) => equal(left, item, lenient));
    case ".":
      // Over an array it distributes (facts section 13).
      if (isArray(right)) return list(elements(right).map((item) => toText(left) + toText(item)));
      if (isArray(left)) return list(elements(left).map((item) => toText(item) + toText(right)));
      return toText(left) + toText(right);
    case ",":
      return list([...(isArray(left) ? left.items : [left]), ...(isArray(right) ? right.items : [right])]);
    case "and":
    case "or":
      throw new RunFailure("and/or are evaluated by the interpreter");
    default:
      return arithmetic(operator, left, right);
  }
}

function elements(array: ArrayValue): Value[] {
  return [...array.items, ...array.keys.values()];
}

/** `array->key`: nothing when the element does not exist. */
export function index(target: Value, key: Value): Value {
  if (!isArray(target)) {
    if (target === undefined) return undefined;
    throw new RunFailure(`cannot take an element of ${typeName(target)}`);
  }
  return typeof key === "bigint" ? target.items[Number(key)] : target.keys.get(toText(key));
}
