import { Document, visit } from "yaml";
import { isPrintable, printableJson, printableYaml } from "../domain/printable.ts";

/** A value for programs, indented. Ends with a newline. */
export function machineText(value: unknown, format: "json" | "yaml"): string {
  return format === "json" ? `${jsonText(value, 2)}\n` : yamlText(value);
}

/**
 * A value as JSON, without active characters: they stand as `\\u…`, so the output is as safe on a terminal as in a pipe.
 * @param indent blanks per level; 0: one line
 */
export function jsonText(value: unknown, indent: number): string {
  return printableJson(JSON.stringify(value, undefined, indent));
}

/** A value as YAML, without active characters. Ends with a newline. */
export function yamlText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_key, scalar) => {
      // Only double-quoted text can hold escapes.
      if (typeof scalar.value === "string" && !isPrintable(scalar.value.replaceAll("\n", "")))
        scalar.type = "QUOTE_DOUBLE";
    },
  });
  return printableYaml(document.toString({ lineWidth: 0 }));
}
