import { readFileSync } from "node:fs";
import { renderDiagnosis } from "../../../src/cli/diagnose/render.ts";
import { EXIT_CODE_DOCS } from "../../../src/cli/exit-codes.ts";
import { FINDING_IDS, findingCatalogue } from "../../../src/diagnose/catalogue/catalogue.ts";
import type { Diagnosis } from "../../../src/diagnose/diagnosis.ts";
import { CHECK_TITLES } from "../../../src/diagnose/facts.ts";
import { diagnosisSchema } from "./diagnosis-schema.ts";

/** A report that was recorded; `recorded/` beside this file. */
export function recordedDiagnosis(name: "healthy" | "broken"): Diagnosis {
  const text = readFileSync(
    new URL(`../../../src/diagnose/recorded/${name}.json`, (import.meta as { readonly url: string }).url),
    "utf8",
  );
  // JSON has no undefined, which the document writes as null.
  const report = JSON.parse(text, (_name, value) => value ?? undefined);
  return { ...report, createdAt: Date.parse(report.createdAt) } as Diagnosis;
}

/** What the command prints at a terminal of 80 columns. */
export function transcript(name: "healthy" | "broken", width = 80): string {
  return renderDiagnosis(recordedDiagnosis(name), { format: "table", width, colour: false });
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** `docs/diagnose.md`, complete; scripts/docs writes it. */
export function diagnosePage(): string {
  const rows = FINDING_IDS.map((id) => {
    const { severity, title, meaning, remedy } = findingCatalogue[id];
    return `| \`${id}\` | ${severity} | ${cell(`${title}. ${meaning}`.trim())} | ${cell(remedy)} |`;
  });
  return `${[
    "# Diagnose a node",
    "",
    "<!-- Generated from src/diagnose by scripts/docs; a test compares. Do not edit. -->",
    "",
    "`rds-csi diagnose` finds out what is wrong with the volumes of one node, and puts the true cause first. It runs in the node",
    "pod, or by hand as root on the node, and is of use with the API server, the RDS or both away.",
    "",
    "```sh",
    "kubectl exec -n rds-csi ds/rds-csi-node -c driver -- rds-csi diagnose",
    "rds-csi diagnose --config /etc/rds-csi/config.yaml --storage-address 192.0.2.1",
    "```",
    "",
    "It takes the node's options (the same configuration file serves), `--kubelet-dir` and `--storage-address`. With the options of",
    "the RDS (`--rds-address`, `--rds-key-file`, a pinned host key) it compares records and exports too; nodes have no such",
    'credentials, so without them that is "not asked", and never taken for "absent". With `--orchestrator kubernetes` it reads',
    "PersistentVolumes, VolumeAttachments, the CSINode object and the pods of the node, as far as its credentials allow.",
    "Those of a node pod allow pods only with the component `diagnose-pods` of the manifests.",
    "",
    "It changes nothing: it connects to no volume, mounts nothing, opens no device and loads no module; a TCP connection to the",
    "storage address is opened and closed. What may hang in the kernel is asked by a process of its own, which is left behind if",
    "it cannot be ended. A check that does not answer becomes a finding; the whole command ends within `--timeout` (8 s).",
    "",
    "| exit code | meaning |",
    "| --- | --- |",
    ...EXIT_CODE_DOCS.filter(([code]) => code !== 1).map(([code, text]) => `| ${code} | ${text} |`),
    "",
    "`-o json` and `-o yaml` print an object of `apiVersion: rds-csi/v1`, `kind: Diagnosis`, described by",
    "[diagnosis.schema.json](diagnosis.schema.json). `--bundle FILE` also writes everything that was asked and answered to a new",
    "file, to hand on: without keys, passphrases and paths of key files. Names of nodes, claims and processes and the addresses of",
    "the storage network are in it.",
    "",
    "## A node that is well",
    "",
    "```text",
    transcript("healthy").trimEnd(),
    "```",
    "",
    "## A node whose RDS has vanished",
    "",
    "What follows from a finding stands below it, indented, with the reason; only causes have a remedy.",
    "",
    "```text",
    transcript("broken").trimEnd(),
    "```",
    "",
    "## What is looked at",
    "",
    ...Object.values(CHECK_TITLES).map((title) => `- ${title}`),
    "",
    "## Findings",
    "",
    "Ids are stable. Of two findings the one that stands higher here may be the cause of the other.",
    "",
    "| id | severity | meaning | remedy |",
    "| --- | --- | --- | --- |",
    ...rows,
  ].join("\n")}\n`;
}

/** `docs/diagnosis.schema.json`. */
export function diagnosisSchemaText(): string {
  return `${JSON.stringify(diagnosisSchema, undefined, 2)}\n`;
}
