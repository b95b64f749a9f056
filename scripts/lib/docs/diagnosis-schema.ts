import { FINDING_IDS } from "../../../src/diagnose/catalogue/catalogue.ts";
import { LINKS } from "../../../src/diagnose/chain.ts";
import { CHECK_TITLES } from "../../../src/diagnose/facts.ts";
import { SEVERITIES } from "../../../src/inspect/entry.ts";
import { SUBJECT_KINDS } from "../../../src/inspect/finding.ts";

const text = { type: "string" } as const;
const textOrNull = { type: ["string", "null"] } as const;
const number = { type: "number" } as const;
const object = (properties: Readonly<Record<string, object>>, more: object = {}) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  ...more,
});
const list = (items: object) => ({ type: "array", items });
const one = (values: readonly string[]) => ({ enum: values });

const subject = object({
  kind: one(SUBJECT_KINDS),
  name: text,
});

/** JSON Schema of `rds-csi diagnose -o json`: docs/diagnosis.schema.json. */
export const diagnosisSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Diagnosis of rds-csi/v1",
  description: "What `rds-csi diagnose -o json` prints. Fields are only ever added within rds-csi/v1.",
  ...object({
    apiVersion: { const: "rds-csi/v1" },
    kind: { const: "Diagnosis" },
    node: text,
    driverName: text,
    version: text,
    createdAt: { ...text, description: "RFC 3339, UTC" },
    durationMs: number,
    worst: { enum: [...SEVERITIES, null], description: "null: nothing was found" },
    counts: object(Object.fromEntries(SEVERITIES.map((severity) => [severity, number]))),
    findings: {
      ...list(
        object({
          id: one(FINDING_IDS),
          severity: one(SEVERITIES),
          title: text,
          subject,
          volume: { ...textOrNull, description: "handle; null: it concerns the whole node" },
          evidence: list(text),
          remedy: text,
          causedBy: {
            description: "the finding that explains this one; null: a cause",
            anyOf: [{ type: "null" }, object({ id: one(FINDING_IDS), subject })],
          },
        }),
      ),
      description: "the true cause first; what it explains follows it",
    },
    volumes: list(
      object({
        handle: text,
        persistentVolume: textOrNull,
        claim: { ...textOrNull, description: "namespace/name" },
        brokenAt: { enum: [...LINKS, null], description: "the first broken link" },
        links: list(
          object({
            link: one(LINKS),
            state: one(["ok", "broken", "none", "unknown", "not-asked"]),
            detail: text,
          }),
        ),
      }),
    ),
    checks: list(
      object({
        id: one(Object.keys(CHECK_TITLES)),
        title: text,
        state: one(["answered", "unanswered", "not-asked"]),
        detail: text,
        milliseconds: number,
      }),
    ),
    facts: {
      ...object(
        Object.fromEntries(
          Object.entries(CHECK_TITLES).map(([id, title]) => [
            id,
            {
              ...object({ state: one(["known", "unknown", "not-asked"]) }),
              description: `${title}: \`value\` if it is known, else \`reason\``,
            },
          ]),
        ),
      ),
      description: "everything that was asked and answered; the fields inside `value` may change",
    },
  }),
};
