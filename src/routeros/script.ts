import { quote } from "./quote.ts";

/** Stands for the nonce of the envelope until a command is rendered. */
const NONCE = Symbol("nonce");
type Part = string | typeof NONCE;

/** A value in a script template. Plain text is always a value, never code. */
export type ScriptValue = string | bigint | boolean | Script | readonly Script[];

/**
 * A piece of RouterOS script: a statement, several statements, or an expression. Only the `ros` template makes it, so every
 * text from outside this source code has been through `quote`.
 */
export class Script {
  readonly #parts: readonly Part[];

  private constructor(parts: readonly Part[]) {
    this.#parts = parts;
  }

  /** For `ros` only. */
  static fromTemplate(strings: readonly string[], values: readonly ScriptValue[]): Script {
    const parts: Part[] = [];
    strings.forEach((text, index) => {
      if (text !== "") parts.push(text);
      const value = values[index];
      if (value !== undefined) parts.push(...partsOf(value));
    });
    return new Script(parts);
  }

  /** The nonce of the command that this script becomes part of. */
  static readonly nonce: Script = new Script([NONCE]);

  /** The script's text with `nonce` filled in. One line, printable ASCII. */
  render(nonce: string): string {
    return this.#parts.map((part) => (part === NONCE ? nonce : part)).join("");
  }

  /** The parts, for composition inside this module. */
  static parts(script: Script): readonly Part[] {
    return script.#parts;
  }
}

function partsOf(value: ScriptValue): readonly Part[] {
  if (value instanceof Script) return Script.parts(value);
  if (typeof value === "string") return [quote(value)];
  if (typeof value === "boolean") return [value ? "yes" : "no"];
  if (typeof value === "bigint") {
    if (value < 0n) throw new RangeError(`negative number in a RouterOS command: ${value}`);
    return [value.toString()];
  }
  return value.flatMap((script, index) =>
    index === 0 ? Script.parts(script) : ["; ", ...Script.parts(script)],
  );
}

/**
 * Template for RouterOS script. The literal parts are code as written here; each `${}` is a value:
 * strings become quoted literals, bigint digits, booleans `yes`/`no`, scripts are nested as they are, a
 * list of scripts is joined by `; `.
 *
 *     ros`/disk/set [/disk/find where slot=${slot}] comment=${text} nvme-tcp-export=${true}`
 */
export function ros(strings: TemplateStringsArray, ...values: ScriptValue[]): Script {
  // `raw`, as backslashes in the template belong to RouterOS and not to TypeScript.
  return Script.fromTemplate(strings.raw, values);
}

/** A script that does nothing; joins like any other. */
export const nothing: Script = ros``;
