import { type FileHandle, open, rm } from "node:fs/promises";
import { printableJson } from "../domain/printable.ts";
import { isSecretName, REDACTED, redactText } from "../observability/redact.ts";
import type { DiagnoseConfig } from "./context.ts";
import type { Diagnosis } from "./diagnosis.ts";
import { diagnosisDocument } from "./document.ts";

/**
 * The report for somebody else: the diagnosis with all facts and messages of the kernel, and the configuration. Of the RDS
 * link only address, user, number of pinned keys and whether a file has more; paths of key files are left out, and their contents are never read here.
 */
export function bundleOf(diagnosis: Diagnosis, config: DiagnoseConfig): string {
  const { rds, ...rest } = config;
  const link =
    rds.state === "known"
      ? {
          host: rds.value.host,
          port: rds.value.port,
          user: rds.value.user,
          pins: rds.value.hostKeys.length,
          hasPinFile: rds.value.hostKeyFile !== undefined,
        }
      : rds;
  const bundle = {
    apiVersion: "rds-csi/v1",
    kind: "DiagnosisBundle",
    config: { ...rest, rds: link },
    diagnosis: diagnosisDocument(diagnosis),
  };
  const clean = (name: string, value: unknown): unknown => {
    if (typeof value === "bigint") return Number(value);
    if (typeof value !== "string") return value;
    return isSecretName(name) ? REDACTED : redactText(value);
  };
  return `${printableJson(JSON.stringify(bundle, clean, 2))}\n`;
}

/** A new file that waits for its report. */
export type BundleFile = Awaited<ReturnType<typeof createBundle>>;

/**
 * Makes the file, for this user's eyes only. `close` removes it if nothing was written.
 * @throws the error of the operating system: EEXIST if the file exists (nothing is overwritten), ENOENT, EACCES and others
 */
export async function createBundle(path: string) {
  let file: FileHandle | undefined = await open(path, "wx", 0o600);
  return {
    write: async (text: string) => {
      await file?.writeFile(text);
      await file?.close();
      file = undefined;
    },
    close: async () => {
      if (file === undefined) return;
      await file.close();
      await rm(path, { force: true });
    },
  };
}
