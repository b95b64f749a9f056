import { createHash } from "node:crypto";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";

/**
 * Slots of the two disk items that a volume has beside its own while it moves into a subvolume: on the new file, and on the old one. They are no
 * handles, so that no list takes them for volumes. 32 characters.
 */
export function conversionSlots(id: VolumeId): { readonly fresh: string; readonly kept: string } {
  const digits = createHash("sha256").update(id).digest("hex").slice(0, 28);
  return { fresh: `new-${digits}`, kept: `old-${digits}` };
}

/** Slots of such items. */
const PATTERN = "^(new|old)-[0-9a-f]{28}$";

/** Condition of the items of all conversions. */
export const CONVERSION_ITEMS = ros`slot~${PATTERN}`;

/** Whether a slot is that of an item of a conversion. */
export function isConversionSlot(slot: string): boolean {
  return new RegExp(PATTERN).test(slot);
}

/** Statement: ends the command with `converting` while an item of a conversion holds the record of a volume whose own item is gone. */
export function requireNoConversion(id: VolumeId): Script {
  const { fresh, kept } = conversionSlots(id);
  return ros`:if ([:len [/disk/find where slot=${fresh} or slot=${kept}]] > 0) do={ :error "rds-csi:converting" }`;
}
