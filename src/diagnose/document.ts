import type { Unknown } from "../inspect/fact.ts";
import { redactText } from "../observability/redact.ts";
import type { Diagnosis } from "./diagnosis.ts";

/**
 * The machine-readable form, `rds-csi/v1`; docs/diagnosis.schema.json describes it, and its fields are only ever added to.
 * Free of bigints, and of private keys in whatever text.
 */
export function diagnosisDocument(diagnosis: Diagnosis): object {
  const { findings, volumes } = diagnosis;
  const document = {
    apiVersion: "rds-csi/v1",
    kind: "Diagnosis",
    ...diagnosis,
    createdAt: new Date(diagnosis.createdAt).toISOString(),
    worst: diagnosis.worst ?? null,
    findings: findings.map(({ id, severity, title, subject, volume, evidence, remedy, causedBy }) => ({
      id,
      severity,
      title,
      subject,
      volume: volume ?? null,
      evidence,
      remedy,
      causedBy: causedBy ?? null,
    })),
    volumes: volumes.map((chain) => ({
      ...chain,
      persistentVolume: chain.persistentVolume ?? null,
      claim: chain.claim ?? null,
      brokenAt: chain.brokenAt ?? null,
    })),
  };
  return JSON.parse(JSON.stringify(document, plain)) as object;
}

/** Texts without keys; of errors only what is shown anyway; no bigints. */
function plain(name: string, value: unknown): unknown {
  if (name === "error" && value instanceof Error) return undefined;
  if (typeof value === "bigint") return Number(value);
  if (isNotAsked(value)) return { state: "not-asked", reason: redactText(value.reason) };
  return typeof value === "string" ? redactText(value) : value;
}

function isNotAsked(value: unknown): value is Unknown {
  return typeof value === "object" && value !== null && "notAsked" in value;
}
