import { isIP } from "node:net";
import { failure } from "./errors/driver-error.ts";
import { FILESYSTEM_UUID } from "./filesystem-uuid.ts";
import { type ConnectionSettings, DEFAULT_SETTINGS } from "./record/volume-record.ts";

/**
 * The content of a volume when a node stages it:
 * - `new`: never attached for a filesystem before; mkfs is allowed on a blank device;
 * - `used`: an earlier node may have made the filesystem, as with each adopted volume; mkfs only after the deep blank check;
 * - `keep`: it holds data for sure (restored or cloned); mkfs is never allowed.
 */
export type FilesystemState = "new" | "used" | "keep";

/**
 * CSI `publish_context`, from ControllerPublishVolume to the node: static for the life of an attachment and free of secrets.
 */
export interface PublishContext extends ConnectionSettings {
  /** Subsystem NQN with the attachment's epoch. */
  readonly nqn: string;
  /** Storage address of the RDS: a literal IPv4 or IPv6 address. */
  readonly address: string;
  /** TCP port of the NVMe/TCP export. */
  readonly port: number;
  /** Host NQN that the export is restricted to; the node compares it with its own. */
  readonly hostNqn: string;
  /** Size of the volume in bytes, as measured on the RDS. */
  readonly sizeBytes: bigint;
  readonly filesystemState: FilesystemState;
  /** The UUID that the filesystem of a clone is to have; undefined for any other volume and for block access. */
  readonly filesystemUuid?: string | undefined;
  /** The controller attached the volume read-only (PUBLISH_READONLY): the node refuses writes whatever its own call says. */
  readonly readonly: boolean;
}

/**
 * Keys that came later, as did `readonly`. A key with its default is left out, so that the context of a volume that does not use it stays as it was. An
 * older node ignores unknown keys.
 */
const LATER = {
  fastIoFailTmo: { unset: DEFAULT_SETTINGS.fastIoFailTmo, min: -1, max: 86_400 * 365 },
  nrIoQueues: { unset: DEFAULT_SETTINGS.nrIoQueues, min: 1, max: 65_535 },
  queueSize: { unset: DEFAULT_SETTINGS.queueSize, min: 16, max: 1_024 },
} as const;
const LATER_KEYS = ["fastIoFailTmo", "nrIoQueues", "queueSize"] as const;

/** Encodes for the wire: a string map, CSI `publish_context`. */
export function encodePublishContext(context: PublishContext): Record<string, string> {
  const map: Record<string, string> = {
    nqn: context.nqn,
    address: context.address,
    port: String(context.port),
    hostNqn: context.hostNqn,
    sizeBytes: String(context.sizeBytes),
    filesystemState: context.filesystemState,
    ctrlLossTmo: String(context.ctrlLossTmo),
    reconnectDelay: String(context.reconnectDelay),
    keepAliveTmo: String(context.keepAliveTmo),
  };
  if (context.readonly) map.readonly = "true";
  for (const key of LATER_KEYS) {
    if (context[key] !== LATER[key].unset) map[key] = String(context[key]);
  }
  if (context.filesystemUuid !== undefined) map.filesystemUuid = context.filesystemUuid;
  return map;
}

const NQN = /^nqn\.[0-9]{4}-[0-9]{2}\.[A-Za-z0-9.-]+:[A-Za-z0-9._:-]+$/;

/**
 * Reads `publish_context` as the node received it, also from an older or newer controller.
 * @throws fieldMissing or fieldInvalid (INVALID_ARGUMENT) naming the key
 */
export function decodePublishContext(map: Readonly<Record<string, string>>): PublishContext {
  const invalid = (key: keyof PublishContext, reason: string): Error =>
    failure("fieldInvalid", { field: `publish_context.${key}`, reason });
  const text = (key: keyof PublishContext, pattern: RegExp): string => {
    const value = Object.hasOwn(map, key) ? map[key] : undefined;
    if (value === undefined || value === "")
      throw failure("fieldMissing", { field: `publish_context.${key}` });
    if (!pattern.test(value) || value.length > 223)
      throw invalid(key, `${JSON.stringify(value)} has the wrong form`);
    return value;
  };
  const integer = (key: keyof PublishContext, min: number, max: number): number => {
    const value = Number(text(key, /^(0|-?[1-9]\d{0,8})$/));
    if (value < min || value > max) throw invalid(key, `${value} is outside ${min}..${max}`);
    return value;
  };
  const later = (key: keyof typeof LATER): number => {
    const { unset, min, max } = LATER[key];
    return Object.hasOwn(map, key) ? integer(key, min, max) : unset;
  };
  const address = (): string => {
    const value = text("address", /./);
    if (isIP(value) === 0) throw invalid("address", `${JSON.stringify(value)} is not an IP address`);
    return value;
  };
  return {
    nqn: text("nqn", NQN),
    address: address(),
    port: integer("port", 1, 65_535),
    hostNqn: text("hostNqn", NQN),
    sizeBytes: BigInt(text("sizeBytes", /^[1-9]\d{0,18}$/)),
    filesystemState: text("filesystemState", /^(new|used|keep)$/) as FilesystemState,
    ctrlLossTmo: integer("ctrlLossTmo", -1, 86_400 * 365),
    reconnectDelay: integer("reconnectDelay", 1, 3_600),
    keepAliveTmo: integer("keepAliveTmo", 1, 3_600),
    fastIoFailTmo: later("fastIoFailTmo"),
    nrIoQueues: later("nrIoQueues"),
    queueSize: later("queueSize"),
    ...(Object.hasOwn(map, "filesystemUuid")
      ? { filesystemUuid: text("filesystemUuid", FILESYSTEM_UUID) }
      : {}),
    readonly: Object.hasOwn(map, "readonly") && text("readonly", /^(true|false)$/) === "true",
  };
}
