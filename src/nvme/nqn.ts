import { failure } from "../domain/errors/driver-error.ts";
import { isOfEarlierDriver, parseVolumeId, type VolumeId } from "../domain/volume-id.ts";

/**
 * An NQN of this driver, taken apart: `<prefix>:<slot>.<epoch>-<nonce>`. Version 0.1 gave no nonce; epoch 0 has no suffix.
 */
export interface VolumeNqn {
  readonly nqn: string;
  readonly slot: VolumeId;
  readonly epoch: number;
}

/** Takes an NQN apart. undefined: a foreign NQN, which must not be touched. */
export function parseVolumeNqn(prefix: string, nqn: string): VolumeNqn | undefined {
  if (prefix === "" || !nqn.startsWith(`${prefix}:`)) return undefined;
  const [slotText = "", epochText, ...more] = nqn.slice(prefix.length + 1).split(".");
  const slot = parseVolumeId(slotText);
  if (slot === undefined || more.length > 0) return undefined;
  if (epochText === undefined) return { nqn, slot, epoch: 0 };
  const [, epoch] = /^([1-9]\d{0,8})(?:-[0-9a-f]{8})?$/.exec(epochText) ?? [];
  return epoch === undefined ? undefined : { nqn, slot, epoch: Number(epoch) };
}

/**
 * Whether an NQN is one under which the earlier Go driver connects a volume. Its connections have a host NQN that nvme-cli found or made up.
 */
export function isEarlierNqn(nqn: string): boolean {
  const slot = parseVolumeId(nqn.slice(nqn.lastIndexOf(":") + 1));
  return slot !== undefined && isOfEarlierDriver(slot);
}

/**
 * As parseVolumeNqn, for an NQN that has to be ours, and that of `volume` if it is given.
 * @throws nqnForeign (FAILED_PRECONDITION)
 */
export function requireVolumeNqn(prefix: string, nqn: string, volume?: string): VolumeNqn {
  const parsed = parseVolumeNqn(prefix, nqn);
  if (parsed === undefined || (volume !== undefined && parsed.slot !== volume)) {
    throw failure("nqnForeign", { nqn, volume: volume ?? "(any)", prefix });
  }
  return parsed;
}
