import type { DiskItem, Setting } from "./disk-item.ts";
import type { FileEntry } from "./files.ts";
import type { ManagementState } from "./management.ts";
import type { Pool } from "./pools.ts";
import type { Subvolume } from "./subvolumes.ts";

/** The state that survives a restart of the simulator. */
export interface DeviceState {
  readonly nextId: number;
  readonly identity: string;
  readonly pools: readonly Pool[];
  readonly files: readonly FileEntry[];
  readonly disks: readonly DiskItem[];
  readonly subvolumes: readonly Subvolume[];
  /** Absent in states of earlier versions. */
  readonly management?: ManagementState;
}

/** JSON has no bigint and no Map: they become `{"$bigint": "5"}` and `{"$map": [[key, value]]}`. */
export function encodeState(state: DeviceState): string {
  return JSON.stringify(
    state,
    (_key, value: unknown) => {
      if (typeof value === "bigint") return { $bigint: String(value) };
      if (value instanceof Map) return { $map: [...value] };
      return value;
    },
    1,
  );
}

/** The inverse of `encodeState`. @throws SyntaxError when `text` is no JSON */
export function decodeState(text: string): DeviceState {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    if ("$bigint" in value) return BigInt(String(value.$bigint));
    if ("$map" in value) return new Map(value.$map as [string, Setting][]);
    return value;
  }) as DeviceState;
}
