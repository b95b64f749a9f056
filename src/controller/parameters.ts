import { failure } from "../domain/errors/driver-error.ts";
import { isPrintable } from "../domain/printable.ts";
import { DEFAULT_SETTINGS, type VolumeSettings } from "../domain/record/volume-record.ts";
import type { FileLayout } from "../rds/layout.ts";

/** StorageClass parameters, read. */
export interface Parameters {
  /** Slot of the pool; undefined means the driver's default. */
  readonly pool: string | undefined;
  readonly layout: FileLayout | "auto";
  readonly settings: VolumeSettings;
  readonly claim: { readonly namespace: string; readonly name: string } | undefined;
}

/** Keys of a StorageClass and the values that each takes; the text of docs and errors. */
export const PARAMETER_DOCS: Readonly<Record<string, string>> = {
  pool: "slot of the pool on the RDS, 1-32 characters of [A-Za-z0-9._-]",
  layout:
    "auto (default: subvolume where the pool is Btrfs, else plain), plain, or subvolume (each volume in a Btrfs subvolume of its own, so that it can be snapshotted and cloned)",
  migrationTimeoutSeconds:
    "a whole number of seconds, 30-3600 (default 300), or auto (KubeVirt's own deadline for the VirtualMachineInstance)",
  migrationGuard: "enforce, warn or off (default enforce)",
  ctrlLossTmo: "a whole number of seconds, -1 (never give up, default) to 86400",
  reconnectDelay: "a whole number of seconds, 1-300 (default 5), at most ctrlLossTmo unless that is -1 or 0",
  keepAliveTmo: "a whole number of seconds, 1-300 (default 5)",
  fastIoFailTmo:
    "a whole number of seconds, -1 (off, default) to 86399, less than ctrlLossTmo unless that is -1",
  nrIoQueues: "a whole number, 1-1024 (default: one per CPU of the node)",
  queueSize: "a whole number, 16-1024 (default: the kernel's own, 128)",
};

/** Start of the keys that external-provisioner adds with --extra-create-metadata. */
export const METADATA_PREFIX = "csi.storage.k8s.io/";

const POOL = /^[A-Za-z0-9._-]{1,32}$/;

/**
 * Reads the parameters of a StorageClass. `mutable` values (CSI's mutable_parameters) win over `parameters`.
 * Kubernetes sends none, as MODIFY_VOLUME is not offered.
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
  const integer = (
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
  const layout = all.get("layout") ?? "auto";
  if (layout !== "auto" && layout !== "plain" && layout !== "subvolume") throw invalid("layout", layout);
  const guard = all.get("migrationGuard") ?? DEFAULT_SETTINGS.migrationGuard;
  if (guard !== "enforce" && guard !== "warn" && guard !== "off") throw invalid("migrationGuard", guard);
  const settings: VolumeSettings = {
    migrationTimeoutSeconds:
      all.get("migrationTimeoutSeconds") === "auto"
        ? "auto"
        : integer("migrationTimeoutSeconds", DEFAULT_SETTINGS.migrationTimeoutSeconds, 30, 3_600),
    migrationGuard: guard,
    ctrlLossTmo: integer("ctrlLossTmo", DEFAULT_SETTINGS.ctrlLossTmo, -1, 86_400),
    reconnectDelay: integer("reconnectDelay", DEFAULT_SETTINGS.reconnectDelay, 1, 300),
    keepAliveTmo: integer("keepAliveTmo", DEFAULT_SETTINGS.keepAliveTmo, 1, 300),
    fastIoFailTmo: integer("fastIoFailTmo", DEFAULT_SETTINGS.fastIoFailTmo, -1, 86_399),
    nrIoQueues: integer("nrIoQueues", DEFAULT_SETTINGS.nrIoQueues, 1, 1_024),
    queueSize: integer("queueSize", DEFAULT_SETTINGS.queueSize, 16, 1_024),
  };
  requireOrder(settings);
  return {
    pool,
    layout,
    settings,
    claim: claimFrom(all.get(`${METADATA_PREFIX}pvc/namespace`), all.get(`${METADATA_PREFIX}pvc/name`)),
  };
}

/**
 * The times of a connection have to make sense together. The kernel only warns when fast_io_fail_tmo is the larger one
 * (drivers/nvme/host/fabrics.c, nvmf_parse_options), and rounds ctrl_loss_tmo up to a multiple of reconnect_delay.
 * @throws parameterInvalid
 */
function requireOrder({ ctrlLossTmo, reconnectDelay, fastIoFailTmo }: VolumeSettings): void {
  if (ctrlLossTmo === -1) return;
  const refuse = (key: string, value: number, rule: string): never => {
    const expected = `${PARAMETER_DOCS[key]}; ctrlLossTmo is ${ctrlLossTmo}, ${rule}`;
    throw failure("parameterInvalid", { key, value: String(value), expected });
  };
  if (ctrlLossTmo > 0 && reconnectDelay > ctrlLossTmo) {
    refuse("reconnectDelay", reconnectDelay, "so no reconnect would be tried in time");
  }
  if (fastIoFailTmo >= ctrlLossTmo) {
    refuse("fastIoFailTmo", fastIoFailTmo, "so the controller would be gone before");
  }
}

function claimFrom(namespace: string | undefined, name: string | undefined): Parameters["claim"] {
  if (namespace === undefined || name === undefined || name === "") return undefined;
  // The record takes no other names: the volume would be lost as soon as it is made.
  for (const [key, value] of [
    ["namespace", namespace],
    ["name", name],
  ] as const) {
    if (isPrintable(value)) continue;
    const expected = "a name without control and format characters";
    throw failure("parameterInvalid", { key: `${METADATA_PREFIX}pvc/${key}`, value, expected });
  }
  return { namespace, name };
}
