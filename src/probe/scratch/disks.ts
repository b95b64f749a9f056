import { ros } from "../../routeros/script.ts";
import { LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, type Meaning, shown, unclear } from "../experiment.ts";
import { COMMENT, MIB, type Scratch, SIZE, withScratch } from "./scratch.ts";

const handled = (driver: string): Meaning => ({ weight: "handled", driver });
const limits = (driver: string): Meaning => ({ weight: "limits", driver });
const unsafe = (driver: string): Meaning => ({ weight: "unsafe", driver });

/** The width at which a console breaks a value that has no blank. */
async function printed(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("print");
  const nqn = `nqn.2000-02.com.mikrotik:${scratch.slot("x".repeat(180))}`;
  await scratch.add(slot, scratch.file("print"), SIZE, ros` nvme-tcp-server-nqn=${nqn}`);
  const line = ros`/disk/print detail where slot=${slot}`.render("");
  const { stdout } = await scratch.bench.raw(line, LINE_MS);
  const lines = stdout.replace(/\r/g, "").split("\n");
  const comment = lines.find((text) => text.includes(`;;; ${COMMENT}`));
  const first = lines.findIndex((text) => /^ {0,3}\d+ /.test(text));
  if (comment === undefined || first < 0) return unclear(shown(stdout));
  const isOwn = /^;;;/.test(comment.trimStart()) && !/^ {0,3}\d+ /.test(comment);
  const record = lines.slice(Math.min(first, lines.indexOf(comment)));
  const width = Math.max(...record.map((text) => text.length));
  const isWhole = record.some((text) => text.includes(nqn));
  const answer = isWhole ? "whole" : "wrapped";
  return {
    answer,
    came: `${record.filter((text) => text.trim() !== "").length} lines of at most ${width} characters; the comment ${isOwn ? "before the record" : "behind its flags"}`,
    switches: {
      "detail-comment": isOwn ? "own-line" : "inline",
      "wrap-width": isWhole ? "0" : String(width),
    },
  };
}

async function properties(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("read");
  await scratch.add(slot, scratch.file("read"));
  const row = ros`([/disk/print as-value where slot=${slot}]->0)`;
  const path = await scratch.bench.value(ros`(${row}->"file-path")`);
  const size = await scratch.bench.value(ros`(${row}->"file-size")`);
  const exact = await scratch.bench.value(ros`(${row}->"size")`);
  const came = `file-path ${shown(path)}; file-size ${shown(size)}; size ${shown(exact)}`;
  if (exact.replace(/[^0-9]/g, "") !== String(SIZE)) return { answer: "size-inexact", came };
  const value = /^[\d ]+$/.test(size) ? "bytes" : "human";
  return {
    answer: "size-exact",
    came,
    switches: { "file-path-slash": path.startsWith("/") ? "with" : "without", "file-size-value": value },
  };
}

async function allocation(scratch: Scratch): Promise<Answer> {
  const before = await scratch.free();
  const readyMs = await scratch.add(scratch.slot("space"), scratch.file("space"));
  const took = before - (await scratch.free());
  const came = `a file of ${SIZE / MIB} MiB took ${(Number(took) / Number(MIB)).toFixed(1)} MiB; its size showed after ${Math.round(readyMs)} ms`;
  const answer = took >= (SIZE * 3n) / 4n ? "prealloc" : "sparse";
  // Someone else used the pool meanwhile.
  if (took > 2n * SIZE || took < -SIZE) return unclear(came);
  return { answer, came, switches: { allocation: answer, "ready-delay-ms": String(Math.round(readyMs)) } };
}

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

async function fileThatExists(scratch: Scratch): Promise<Answer> {
  const path = scratch.file("exists");
  await scratch.add(scratch.slot("exists"), path);
  await scratch.removeDisk(scratch.slot("exists"));
  if (!(await scratch.exists(path))) return { answer: "file-gone", came: "the file went with its disk" };
  const text = await scratch.refusal(scratch.adding(scratch.slot("exists"), path, 2n * SIZE));
  if (text !== undefined)
    return { answer: "error", came: shown(text), switches: { "existing-file": "error" } };
  await scratch.until("the size", async () => (await scratch.diskOn(path))?.size !== undefined);
  const size = (await scratch.diskOn(path))?.size;
  const answer = size === SIZE ? "keep" : "grow";
  return {
    answer,
    came: `of ${SIZE} and then ${2n * SIZE} bytes: ${size}`,
    switches: { "existing-file": answer },
  };
}

async function sharedFile(scratch: Scratch): Promise<Answer> {
  const path = scratch.file("shared");
  await scratch.add(scratch.slot("shared-1"), path);
  const text = await scratch.refusal(scratch.adding(scratch.slot("shared-2"), path, SIZE));
  const answer = text === undefined ? "shared" : "error";
  return {
    answer,
    came: text === undefined ? "both disks have it" : shown(text),
    switches: { "shared-file": answer },
  };
}

async function missingFolder(scratch: Scratch): Promise<Answer> {
  const path = `${scratch.folder}/none/file.img`;
  const text = await scratch.refusal(scratch.adding(scratch.slot("folder"), path, SIZE));
  const answer = text === undefined ? "create" : "error";
  return {
    answer,
    came: text === undefined ? "it was made" : shown(text),
    switches: { "parent-missing": answer },
  };
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

async function grow(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("grow");
  await scratch.add(slot, scratch.file("grow"));
  const set = (size: bigint) =>
    scratch.refusal(ros`/disk/set [/disk/find where slot=${slot}] file-size=${size}`);
  const text = await set(2n * SIZE);
  if (text !== undefined) return { answer: "refused", came: shown(text) };
  await scratch.until("the new size", async () => (await scratch.disk(slot))?.size === 2n * SIZE);
  const smaller = await set(SIZE);
  const size = (await scratch.disk(slot))?.size;
  const shrinks = smaller === undefined && size === SIZE;
  const came = `grows to ${2n * SIZE} bytes; smaller: ${smaller === undefined ? `${size} bytes` : shown(smaller)}`;
  return { answer: shrinks ? "shrinks" : "grows", came, switches: { shrink: shrinks ? "shrinks" : "error" } };
}

function made(
  id: string,
  question: string,
  does: string,
  settles: readonly string[],
  answers: Experiment["answers"],
  ask: (scratch: Scratch) => Promise<Answer>,
): Experiment {
  return { id, stage: "scratch", question, does, answers, settles, limitMs: 300_000, ask: withScratch(ask) };
}

/** Disks on files. */
export const DISKS: readonly Experiment[] = [
  made(
    "allocation",
    "How much space does a new file take, and when does its disk show its size?",
    "makes a disk of 16 MiB",
    ["allocation", "ready-delay-ms"],
    {
      prealloc: handled("All of it at once. The driver counts sizes and free space."),
      sparse: handled("As much as is written. The driver counts sizes, so that promised space is there."),
    },
    allocation,
  ),
  made(
    "disk-properties",
    "How do scripts see the size and the path of a disk?",
    "makes a disk of 16 MiB",
    ["file-path-slash", "file-size-value"],
    {
      "size-exact": handled("The driver reads `size`, which is exact."),
      "size-inexact": unsafe("The driver cannot tell a volume's size. Do not use this device."),
    },
    properties,
  ),
  made(
    "printed-disk",
    "At which width is `print detail` wrapped, and where does it show the comment?",
    "makes a disk with an NQN of 200 characters",
    ["wrap-width", "detail-comment"],
    {
      whole: handled("A record is one line."),
      wrapped: handled("The driver uses JSON first, and can read wrapped records too."),
    },
    printed,
  ),
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
    "file-that-exists",
    "Does a file stay when its disk is removed, and what does a disk do that is added on it?",
    "adds, removes and adds a disk on the same file",
    ["existing-file"],
    {
      keep: handled(
        "The file stays and keeps its size. The driver removes files itself, and never takes over one that it cannot prove.",
      ),
      grow: handled(
        "The file stays and grows. The driver removes files itself, and never takes over one that it cannot prove.",
      ),
      error: handled(
        "The file stays, and a disk on it is refused. A volume that was created in part waits for its deletion.",
      ),
      "file-gone": limits(
        "The file goes with its disk. The driver's own steps that keep a file and make its disk anew lose data: use no full copies and no `volumes convert`.",
      ),
    },
    fileThatExists,
  ),
  made(
    "shared-file",
    "May two disks have one file?",
    "adds two disks on one file",
    ["shared-file"],
    {
      error: handled("No."),
      shared: limits("Yes. The driver never does it; a person who adds a disk by hand can."),
    },
    sharedFile,
  ),
  made(
    "missing-folder",
    "What happens to a disk in a folder that does not exist?",
    "adds a disk in such a folder",
    ["parent-missing"],
    { error: handled("It is refused. The driver makes the folder."), create: handled("The folder is made.") },
    missingFolder,
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
  made(
    "grow",
    "Does a disk grow, and does it shrink?",
    "sets file sizes",
    ["shrink"],
    {
      grows: handled("It grows, and a smaller size is refused."),
      shrinks: limits("A smaller size cuts the file. The driver never asks for one."),
      refused: limits("It does not grow: volumes cannot be expanded on this device."),
    },
    grow,
  ),
];
