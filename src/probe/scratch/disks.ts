import { ros } from "../../routeros/script.ts";
import { LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, handled, limits, shown, unclear, unsafe } from "../experiment.ts";
import { COMMENT, MIB, type Scratch, SIZE, scratched } from "./scratch.ts";

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

const made = scratched("scratch");

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
