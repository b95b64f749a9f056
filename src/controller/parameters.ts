import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { isPrintable } from "../domain/printable.ts";
import { DEFAULT_SETTINGS, type VolumeSettings } from "../domain/record/volume-record.ts";
import type { FileLayout } from "../rds/layout.ts";

/** StorageClass parameters, read. */
export interface Parameters {
  /** Slot of the pool; undefined means the driver's default. */
  readonly pool: string | undefined;
  readonly layout: FileLayout | "auto";
  /** How a volume is made from another volume. */
  readonly cloneMode: "snapshot" | "copy";
  readonly settings: VolumeSettings;
  readonly claim: { readonly namespace: string; readonly name: string } | undefined;
}

/** Keys of a StorageClass and the values that each takes; the text of docs and errors. */
export const PARAMETER_DOCS: Readonly<Record<string, string>> = {
  pool: "slot of the pool on the RDS, 1-32 characters of [A-Za-z0-9._-]",
  layout:
    "auto (default: subvolume where the pool is Btrfs, else plain), plain, or subvolume (each volume in a Btrfs subvolume of its own, so that it can be snapshotted and cloned)",
  cloneMode:
    "snapshot (default: a volume from a volume shares its blocks, which needs the layout subvolume), or copy (a full copy by the RDS, of a volume that is not attached, on any pool)",
  migrationTimeoutSeconds:
    "a whole number of seconds, 30-3600 (default 300), or auto (KubeVirt's own deadline for the VirtualMachineInstance)",
  migrationGuard: "enforce, warn or off (default enforce)",
  ctrlLossTmo: "a whole number of seconds, -1 (never give up, default) to 86400",
  reconnectDelay: "a whole number of seconds, 1-300 (default 5), at most ctrlLossTmo unless that is -1 or 0",
  keepAliveTmo: "a whole number of seconds, 1-300 (default 5)",
  fastIoFailTmo:
    "a whole number of seconds, -1 (off, default) to 86399, less than ctrlLossTmo unless that is -1",
  nrIoQueues: "a whole number, 1-1024, or default (one per CPU of the node)",
  queueSize: "a whole number, 16-1024, or default (the kernel's own, 128)",
};

type SettingKey = keyof VolumeSettings;

/** Keys that a VolumeAttributesClass may have too (CSI's mutable_parameters), and when a change takes effect; the text of docs. */
export const MUTABLE_DOCS: Readonly<Record<SettingKey, string>> = {
  migrationTimeoutSeconds: "the next migration; `auto` counts for one that runs, too",
  migrationGuard: "the next attachment of a second node",
  ctrlLossTmo: "the next attachment of a node",
  reconnectDelay: "the next attachment of a node",
  keepAliveTmo: "the next attachment of a node",
  fastIoFailTmo: "the next attachment of a node",
  nrIoQueues: "the next attachment of a node",
  queueSize: "the next attachment of a node",
};
const SETTING_KEYS = Object.keys(MUTABLE_DOCS) as readonly SettingKey[];

/** Bounds of the settings that are numbers. */
const BOUNDS: Readonly<Record<Exclude<SettingKey, "migrationGuard">, readonly [min: number, max: number]>> = {
  migrationTimeoutSeconds: [30, 3_600],
  ctrlLossTmo: [-1, 86_400],
  reconnectDelay: [1, 300],
  keepAliveTmo: [1, 300],
  fastIoFailTmo: [-1, 86_399],
  nrIoQueues: [1, 1_024],
  queueSize: [16, 1_024],
};

/** Start of the keys that external-provisioner adds with --extra-create-metadata. */
export const METADATA_PREFIX = "csi.storage.k8s.io/";

const POOL = /^[A-Za-z0-9._-]{1,32}$/;

type StringMap = Readonly<Record<string, string>>;
/** The error for a value. */
type Invalid = (key: string, value: string, expected?: string) => DriverError;

/**
 * Reads the parameters of a StorageClass. `mutable` values, those of a VolumeAttributesClass (CSI's mutable_parameters), win over
 * `parameters`.
 * @throws parameterUnknown, parameterInvalid, attributeUnknown, attributeFixed, attributeInvalid (INVALID_ARGUMENT)
 */
export function readParameters(parameters: StringMap, mutable: StringMap = {}): Parameters {
  for (const key of Object.keys(parameters)) {
    if (!Object.hasOwn(PARAMETER_DOCS, key) && !key.startsWith(METADATA_PREFIX)) {
      throw failure("parameterUnknown", { key, known: Object.keys(PARAMETER_DOCS) });
    }
  }
  requireMutable(mutable);
  const all = new Map(Object.entries({ ...parameters, ...mutable }));
  const invalid: Invalid = (key, value, expected = PARAMETER_DOCS[key] ?? "") =>
    failure(Object.hasOwn(mutable, key) ? "attributeInvalid" : "parameterInvalid", { key, value, expected });
  const pool = all.get("pool");
  if (pool !== undefined && !POOL.test(pool)) throw invalid("pool", pool);
  const layout = all.get("layout") ?? "auto";
  if (layout !== "auto" && layout !== "plain" && layout !== "subvolume") throw invalid("layout", layout);
  const cloneMode = all.get("cloneMode") ?? "snapshot";
  if (cloneMode !== "snapshot" && cloneMode !== "copy") throw invalid("cloneMode", cloneMode);
  return {
    pool,
    layout,
    cloneMode,
    settings: merged(DEFAULT_SETTINGS, all, invalid),
    claim: claimFrom(all.get(`${METADATA_PREFIX}pvc/namespace`), all.get(`${METADATA_PREFIX}pvc/name`)),
  };
}

/**
 * The settings of a volume after a change (CSI's mutable_parameters of ControllerModifyVolume): keys that the change does not have stay.
 * @throws attributeUnknown, attributeFixed, attributeInvalid (INVALID_ARGUMENT)
 */
export function changedSettings(settings: VolumeSettings, mutable: StringMap): VolumeSettings {
  requireMutable(mutable);
  const invalid: Invalid = (key, value, expected = PARAMETER_DOCS[key] ?? "") =>
    failure("attributeInvalid", { key, value, expected });
  return merged(settings, new Map(Object.entries(mutable)), invalid);
}

/** @throws attributeUnknown, attributeFixed */
function requireMutable(mutable: StringMap): void {
  for (const key of Object.keys(mutable)) {
    if (Object.hasOwn(MUTABLE_DOCS, key)) continue;
    const isFixed = Object.hasOwn(PARAMETER_DOCS, key) || key.startsWith(METADATA_PREFIX);
    throw failure(isFixed ? "attributeFixed" : "attributeUnknown", { key, known: SETTING_KEYS });
  }
}

function merged(
  before: VolumeSettings,
  given: ReadonlyMap<string, string>,
  invalid: Invalid,
): VolumeSettings {
  const settings: Record<SettingKey, string | number> = { ...before };
  for (const key of SETTING_KEYS) {
    const text = given.get(key);
    if (text === undefined) continue;
    const value = settingFrom(key, text);
    if (value === undefined) throw invalid(key, text);
    settings[key] = value;
  }
  const after = settings as unknown as VolumeSettings;
  requireOrder(after, given, invalid);
  return after;
}

/** undefined for a text that is no value of this setting. */
function settingFrom(key: SettingKey, text: string): string | number | undefined {
  if (key === "migrationGuard") return /^(enforce|warn|off)$/.test(text) ? text : undefined;
  if (key === "migrationTimeoutSeconds" && text === "auto") return text;
  // A change has to find the way back.
  if ((key === "nrIoQueues" || key === "queueSize") && text === "default") return DEFAULT_SETTINGS[key];
  const [min, max] = BOUNDS[key];
  const parsed = /^-?\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  return parsed >= min && parsed <= max ? parsed : undefined;
}

/**
 * The times of a connection have to make sense together. The kernel only warns when fast_io_fail_tmo is the larger one
 * (drivers/nvme/host/fabrics.c, nvmf_parse_options), and rounds ctrl_loss_tmo up to a multiple of reconnect_delay.
 * @throws the error of `invalid`, for a parameter that was given
 */
function requireOrder(
  { ctrlLossTmo, reconnectDelay, fastIoFailTmo }: VolumeSettings,
  given: ReadonlyMap<string, string>,
  invalid: Invalid,
): void {
  if (ctrlLossTmo === -1) return;
  const refuse = (key: string, value: number, rule: string): never => {
    const [blamed, text, other] = given.has(key)
      ? [key, String(value), `ctrlLossTmo is ${ctrlLossTmo}`]
      : ["ctrlLossTmo", String(ctrlLossTmo), `${key} is ${value}`];
    throw invalid(blamed, text, `${PARAMETER_DOCS[blamed]}; ${other}, ${rule}`);
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
