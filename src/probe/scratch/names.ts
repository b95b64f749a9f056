import { ros } from "../../routeros/script.ts";
import { type Answer, type Experiment, handled, limits, shown, unclear, unsafe } from "../experiment.ts";
import { COMMENT, type Scratch, SIZE, scratched } from "./scratch.ts";

async function slotTwice(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("twice");
  await scratch.add(slot, scratch.file("twice-1"));
  const text = await scratch.refusal(scratch.adding(slot, scratch.file("twice-2"), SIZE));
  if (text === undefined) return { answer: "accepted", came: "both were made" };
  const isFile = await scratch.exists(scratch.file("twice-2"));
  return {
    answer: isFile ? "file-left" : "refused",
    came: shown(text),
    switches: { "duplicate-slot-text": text },
  };
}

const LONGEST_SLOT = 64;

async function slotLength(scratch: Scratch): Promise<Answer> {
  const name = (length: number) => scratch.slot("").padEnd(length, "s");
  /** The slot that a disk gets; undefined if it is refused. */
  const given = async (length: number): Promise<string | undefined> => {
    const path = scratch.file(`length-${length}`);
    const text = await scratch.refusal(scratch.adding(name(length), path, SIZE));
    if (text !== undefined) return undefined;
    const slot = (await scratch.diskOn(path))?.slot ?? "";
    await scratch.removeDisk(slot);
    await scratch.refusal(ros`/file/remove [/file/find where name=${path}]`);
    return slot;
  };
  const longest = await given(LONGEST_SLOT);
  if (longest === name(LONGEST_SLOT)) {
    return { answer: "longer", came: `${LONGEST_SLOT} characters`, switches: { "slot-too-long": "accept" } };
  }
  if (longest !== undefined) {
    const came = `a slot of ${LONGEST_SLOT} characters is cut to ${longest.length}`;
    const switches = { "slot-too-long": "truncate", "slot-maximum": String(longest.length) };
    return { answer: longest.length < 32 ? "too-short" : "cut", came, switches };
  }
  let [least, most] = [scratch.slot("").length, LONGEST_SLOT];
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if ((await given(middle)) === name(middle)) least = middle;
    else most = middle;
  }
  const came = `${least} characters, ${least + 1} are refused`;
  const switches = { "slot-too-long": "error", "slot-maximum": String(least) };
  return { answer: least < 32 ? "too-short" : "refused", came, switches };
}

/** A record of the driver has up to about 1,200 characters. */
const COMMENTS = [255, 1_024, 1_500, 4_096];

async function comments(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("comment");
  await scratch.add(slot, scratch.file("comment"));
  const came: string[] = [];
  let exact = 0;
  for (const length of COMMENTS) {
    const comment = `${COMMENT} {"a":"b c","d":[1,2]} `.padEnd(length, "0123456789abcdef");
    const text = await scratch.refusal(ros`/disk/set [/disk/find where slot=${slot}] comment=${comment}`);
    const read = await scratch.bench.value(ros`[/disk/get [find where slot=${slot}] comment]`);
    const found = await scratch.bench.value(
      ros`[:len [/disk/find where slot=${slot} and comment=${comment}]]`,
    );
    const isExact = text === undefined && read === comment && found === "1";
    came.push(
      `${length}: ${isExact ? "exact, and found" : (text ?? `${read.length} characters, found ${found}`)}`,
    );
    if (!isExact) break;
    exact = length;
  }
  return { answer: exact >= 1_500 ? "long" : "short", came: came.join("; ") };
}

async function halfSet(scratch: Scratch): Promise<Answer> {
  const [slot, other] = [scratch.slot("half-1"), scratch.slot("half-2")];
  await scratch.add(slot, scratch.file("half-1"));
  await scratch.add(other, scratch.file("half-2"));
  const comment = `${COMMENT}: half`;
  const text = await scratch.refusal(
    ros`/disk/set [/disk/find where slot=${slot}] comment=${comment} slot=${other}`,
  );
  if (text === undefined) return unclear("two disks have the same slot");
  const after = await scratch.diskOn(scratch.file("half-1"));
  return { answer: after?.comment === comment ? "half" : "nothing", came: shown(text) };
}

const made = scratched("scratch");

/** Slots and comments of disks. */
export const NAMES: readonly Experiment[] = [
  made(
    "slot-twice",
    "What happens to a disk whose slot is taken?",
    "adds two disks with one slot",
    ["duplicate-slot-text"],
    {
      refused: handled("It is refused, and no file is made."),
      "file-left": limits(
        "It is refused, and its file stays. The driver looks before it adds; a file may be left after a crash.",
      ),
      accepted: unsafe("Two disks have one slot, which is the handle of a volume. Do not use this device."),
    },
    slotTwice,
  ),
  made(
    "slot-length",
    "How long may a slot be?",
    "adds disks with slots of up to 64 characters",
    ["slot-too-long", "slot-maximum"],
    {
      refused: handled("Slots of the driver have 32 characters, which fit."),
      cut: handled("Slots of the driver have 32 characters, which fit."),
      longer: handled("Slots of the driver have 32 characters, which fit."),
      "too-short": unsafe("Slots of the driver have 32 characters, which do not fit. No volume can be made."),
    },
    slotLength,
  ),
  made(
    "comments",
    "How long may a comment be, and is it found again?",
    "sets comments of 255 to 4,096 characters",
    [],
    {
      long: handled("Records of the driver have up to about 1,200 characters, which fit."),
      short: unsafe(
        "Records of the driver have up to about 1,200 characters, which do not fit. Do not use this device.",
      ),
    },
    comments,
  ),
  made(
    "half-set",
    "Does a `set` with a good and a bad argument do half of it?",
    "sets a comment and a slot that is taken",
    [],
    {
      nothing: handled("All or nothing."),
      half: handled(
        "Half of it. The driver sets a record in a command that has nothing which may fail besides it.",
      ),
    },
    halfSet,
  ),
];
