import { escapeRegex } from "../routeros/quote.ts";

/** A way to cut a list of slots into parts by single characters. */
interface Scheme {
  readonly alphabet: string;
  /** The number of characters that parts are cut by. */
  readonly depth: number;
  /** The regular expression of slots whose characters are in `classes`, in the order of cutting. */
  pattern(classes: readonly string[]): string;
}

/** Slots with the form of ours, by the hexadecimal digits behind their prefix, which are spread evenly. */
const behind = (prefix: string): Scheme => ({
  alphabet: "0123456789abcdef",
  depth: 4,
  pattern: (classes) => `^${prefix}${classes.join("")}`,
});
const OURS = behind("(csi|pvc)-");

/** Slots that others gave, by their last two digits: `vm-017`. */
const NUMBERED: Scheme = {
  alphabet: "0123456789",
  depth: 2,
  pattern: (classes) => `${classes.toReversed().join("")}$`,
};

/** Names of snapshots' subvolumes, behind the folder that they are in. */
const SNAPSHOTS: Scheme = {
  alphabet: "0123456789abcdef",
  depth: 4,
  pattern: (classes) => `(^|/)snap-${classes.join("")}`,
};

/** Names of volumes' subvolumes, behind the folder that they are in. */
const SUBVOLUMES: Scheme = {
  alphabet: "0123456789abcdef",
  depth: 4,
  pattern: (classes) => `(^|/)(csi|pvc)-${classes.join("")}`,
};

/** Slots that share their first characters, and have one of `chars` next. */
export interface SlotPart {
  readonly scheme: Scheme;
  readonly path: string;
  readonly chars: string;
}

/** All slots of ours as parts, in slot order, as are the parts that they are cut into. */
export const ORDERED_SLOTS: readonly { readonly prefix: string; readonly part: SlotPart }[] = [
  "csi-",
  "pvc-",
].map((prefix) => ({ prefix, part: { scheme: behind(prefix), path: "", chars: OURS.alphabet } }));

/** Whether all slots of a part that is cut from an ordered one come before `slot`, or are it. */
export function isBefore(prefix: string, { path, chars }: SlotPart, slot: string): boolean {
  const last = prefix + path + chars.at(-1);
  return last < slot.slice(0, last.length);
}

/** All slots of a scheme as one part. */
export const OUR_SLOTS: SlotPart = { scheme: OURS, path: "", chars: OURS.alphabet };
export const ALL_SNAPSHOTS: SlotPart = { scheme: SNAPSHOTS, path: "", chars: SNAPSHOTS.alphabet };
export const VOLUME_SUBVOLUMES: SlotPart = { scheme: SUBVOLUMES, path: "", chars: SUBVOLUMES.alphabet };
export const NUMBERED_SLOTS: SlotPart = { scheme: NUMBERED, path: "", chars: NUMBERED.alphabet };

/** The extended regular expression that the slots of a part meet, and no others. */
export function patternOf({ scheme, path, chars }: SlotPart): string {
  const { alphabet, depth } = scheme;
  const open = Array.from({ length: depth - path.length - 1 }, () => `[${alphabet}]`);
  return scheme.pattern([...[...path].map(escapeRegex), `[${chars}]`, ...open]);
}

/**
 * Cuts a part into at least `count` parts, where that is possible. Together they hold the same slots, each in one of them: a
 * slot never changes, so an item that exists the whole time is in one part, whenever each is read.
 * @returns the part itself when it cannot be cut
 */
export function cutPart(part: SlotPart, count: number): SlotPart[] {
  const { scheme, path, chars } = part;
  if (count <= 1) return [part];
  if (count <= chars.length) {
    const start = (at: number) => Math.floor((at * chars.length) / count);
    return Array.from({ length: count }, (_, at) => ({
      scheme,
      path,
      chars: chars.slice(start(at), start(at + 1)),
    }));
  }
  const each = Math.ceil(count / chars.length);
  return [...chars].flatMap((char) => {
    const longer = { scheme, path: path + char, chars: scheme.alphabet };
    return longer.path.length < scheme.depth ? cutPart(longer, each) : [{ scheme, path, chars: char }];
  });
}
