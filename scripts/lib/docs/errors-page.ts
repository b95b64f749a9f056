import { catalogue, type ErrorId } from "../../../src/domain/errors/catalogue.ts";
import { callRemedy, type ErrorEntry } from "../../../src/domain/errors/entry.ts";
import { grpcCodeName } from "../../../src/domain/errors/grpc-code.ts";

/** Parameters that read well in a message. A list of one word serves as text, number and list alike. */
const EXAMPLE = new Proxy<Record<string, unknown>>({}, { get: (_, name) => [`<${String(name)}>`] });

/** The page `docs/errors.md`: every error of the catalogue with its code, message and remedy. */
export function errorsPage(): string {
  const rows = (Object.keys(catalogue) as ErrorId[]).toSorted().map((id) => {
    const found = catalogue[id] as unknown as ErrorEntry<typeof EXAMPLE>;
    const { code, message } = found;
    return `| \`${id}\` | ${grpcCodeName(code)} | ${cell(message(EXAMPLE))} | ${cell(callRemedy(found))} |`;
  });
  return [
    "# Errors",
    "",
    "Every failure that the driver reports, by its stable id. A gRPC caller gets the code and, as message, what failed",
    'followed by the remedy; the id stands in the log line of the call. A command of a person ends with "Repeat the command."',
    "where the table says that the call is repeated. This page is generated from the catalogue in `src/domain/errors` by",
    "`scripts/docs`; a test compares the two.",
    "",
    "| id | gRPC code | message | what to do |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function cell(text: string): string {
  return text
    .replaceAll(/\[?"(<\w+>)"\]?/g, '"$1"')
    .replaceAll("|", "\\|")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
