import { failure } from "../domain/errors/driver-error.ts";
import { DEFAULT_SETTINGS, type VolumeSettings } from "../domain/record/volume-record.ts";

/** StorageClass parameters, read. */
export interface Parameters {
  /** Slot of the pool; undefined means the driver's default. */
  readonly pool: string | undefined;
  readonly settings: VolumeSettings;
  readonly claim: { readonly namespace: string; readonly name: string } | undefined;
}

/** Keys that a StorageClass may have, with what they expect; also the text of docs and errors. */
export const PARAMETER_DOCS: Readonly<Record<string, string>> = {
  pool: "slot of the pool on the RDS, 1-32 characters of [A-Za-z0-9._-]",
  migrationTimeoutSeconds:
    "a whole number of seconds, 30-3600 (default 300), or auto (KubeVirt's own deadline for the machine)",
  migrationGuard: "enforce, warn or off (default enforce)",
  ctrlLossTmo: "a whole number of seconds, -1 (never give up, default) to 86400",
  reconnectDelay: "a whole number of seconds, 1-300 (default 5)",
  keepAliveTmo: "a whole number of seconds, 1-300 (default 5)",
};

/** What external-provisioner adds with --extra-create-metadata. */
const METADATA_PREFIX = "csi.storage.k8s.io/";

const POOL = /^[A-Za-z0-9._-]{1,32}$/;

/**
 * Reads the parameters of a StorageClass. `mutable` values (VolumeAttributesClass) win over `parameters`.
 * @throws parameterUnknown, parameterInvalid (INVALID_ARGUMENT)
 */
export function readParameters(
  parameters: Readonly<Record<string, string>>,
  mutable: Readonly<Record<string, string>> = {},
): Parameters {
  const all = new Map(Object.entries({ ...parameters, ...mutable }));
  for (const key of all.keys()) {
    if (!Object.hasOwn(PARAMETER_DOCS, key) && !key.startsWith(METADATA_PREFIX)) {
      throw failure("parameterUnknown", { key, known: Object.keys(PARAMETER_DOCS) });
    }
  }
  const invalid = (key: string, value: string): Error =>
    failure("parameterInvalid", { key, value, expected: PARAMETER_DOCS[key] ?? "" });
  const seconds = (
    key: keyof VolumeSettings & string,
    fallback: number,
    min: number,
    max: number,
  ): number => {
    const value = all.get(key);
    if (value === undefined) return fallback;
    const parsed = /^-?\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
    if (!(parsed >= min && parsed <= max)) throw invalid(key, value);
    return parsed;
  };
  const pool = all.get("pool");
  if (pool !== undefined && !POOL.test(pool)) throw invalid("pool", pool);
  const guard = all.get("migrationGuard") ?? DEFAULT_SETTINGS.migrationGuard;
  if (guard !== "enforce" && guard !== "warn" && guard !== "off") throw invalid("migrationGuard", guard);
  return {
    pool,
    settings: {
      migrationTimeoutSeconds:
        all.get("migrationTimeoutSeconds") === "auto"
          ? "auto"
          : seconds("migrationTimeoutSeconds", DEFAULT_SETTINGS.migrationTimeoutSeconds, 30, 3_600),
      migrationGuard: guard,
      ctrlLossTmo: seconds("ctrlLossTmo", DEFAULT_SETTINGS.ctrlLossTmo, -1, 86_400),
      reconnectDelay: seconds("reconnectDelay", DEFAULT_SETTINGS.reconnectDelay, 1, 300),
      keepAliveTmo: seconds("keepAliveTmo", DEFAULT_SETTINGS.keepAliveTmo, 1, 300),
    },
    claim: claimFrom(all.get(`${METADATA_PREFIX}pvc/namespace`), all.get(`${METADATA_PREFIX}pvc/name`)),
  };
}

function claimFrom(namespace: string | undefined, name: string | undefined): Parameters["claim"] {
  return namespace === undefined || name === undefined || name === "" ? undefined : { namespace, name };
}
