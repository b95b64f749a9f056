import { ACCESS_MODES, type AccessMode, type Capability } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { VolumeCapability_AccessMode_Mode as Mode, type VolumeCapability } from "./gen/csi_pb.ts";

const MODE_NAMES: ReadonlyMap<number, AccessMode> = new Map(ACCESS_MODES.map((name) => [Mode[name], name]));

/**
 * Reads a required capability (CSI specification, VolumeCapability).
 * @param field how errors name it, e.g. `volume_capability` or `volume_capabilities[1]`
 * @throws fieldMissing or fieldInvalid (INVALID_ARGUMENT) naming the exact field
 */
export function capabilityFromWire(
  wire: VolumeCapability | undefined,
  field = "volume_capability",
): Capability {
  if (wire === undefined) throw failure("fieldMissing", { field });
  if (wire.accessType.case === undefined) {
    throw failure("fieldInvalid", {
      field: `${field}.access_type`,
      reason: "neither block nor mount is set",
    });
  }
  const accessMode = accessModeFromWire(wire, field);
  if (wire.accessType.case === "block") {
    return { accessMode, accessType: "block", fsType: "", mountFlags: [] };
  }
  const { fsType, mountFlags, volumeMountGroup } = wire.accessType.value;
  if (volumeMountGroup !== "") {
    throw failure("fieldInvalid", {
      field: `${field}.mount.volume_mount_group`,
      reason: "the node service does not offer VOLUME_MOUNT_GROUP",
    });
  }
  return { accessMode, accessType: "mount", fsType, mountFlags: [...mountFlags] };
}

/** As capabilityFromWire for a field that a request may leave out. */
export function optionalCapabilityFromWire(wire: VolumeCapability | undefined): Capability | undefined {
  return wire === undefined ? undefined : capabilityFromWire(wire);
}

/** Reads a list of capabilities; errors name the element, e.g. `volume_capabilities[1].access_mode`. */
export function listedCapabilitiesFromWire(wire: readonly VolumeCapability[]): readonly Capability[] {
  return wire.map((each, index) => capabilityFromWire(each, `volume_capabilities[${index}]`));
}

/** As listedCapabilitiesFromWire for a required list. @throws fieldMissing (INVALID_ARGUMENT) when the list is empty */
export function capabilitiesFromWire(wire: readonly VolumeCapability[]): readonly Capability[] {
  if (wire.length === 0) throw failure("fieldMissing", { field: "volume_capabilities" });
  return listedCapabilitiesFromWire(wire);
}

function accessModeFromWire(wire: VolumeCapability, field: string): AccessMode {
  if (wire.accessMode === undefined) throw failure("fieldMissing", { field: `${field}.access_mode` });
  const name = MODE_NAMES.get(wire.accessMode.mode);
  if (name !== undefined) return name;
  const reason =
    wire.accessMode.mode === Mode.UNKNOWN
      ? "UNKNOWN is not an access mode"
      : `${wire.accessMode.mode} is not an access mode that this driver knows`;
  throw failure("fieldInvalid", { field: `${field}.access_mode.mode`, reason });
}
