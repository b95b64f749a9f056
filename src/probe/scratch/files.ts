import { text } from "../../routeros/reply/row.ts";
import { ros } from "../../routeros/script.ts";
import { LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, handled, limits, shown, unclear, unsafe } from "../experiment.ts";
import { isAnswered } from "../session.ts";
import { type Scratch, SIZE, scratched } from "./scratch.ts";

async function fileInUse(scratch: Scratch): Promise<Answer> {
  const path = scratch.file("used");
  await scratch.add(scratch.slot("used"), path);
  const refused = await scratch.refusal(ros`/file/remove [/file/find where name=${path}]`);
  const isThere = await scratch.exists(path);
  if (!isThere)
    return { answer: "allowed", came: "it is gone", switches: { "file-remove-in-use": "allowed" } };
  return { answer: "error", came: shown(refused ?? "it stays"), switches: { "file-remove-in-use": "error" } };
}

async function folderTwice(scratch: Scratch): Promise<Answer> {
  const path = `${scratch.folder}/twice`;
  await scratch.run(ros`/file/add name=${path} type=directory`);
  const refused = await scratch.refusal(ros`/file/add name=${path} type=directory`);
  if (refused === undefined) return { answer: "accepted", came: "no error" };
  return { answer: "refused", came: shown(refused), switches: { "directory-exists-text": refused } };
}

async function fileSeen(scratch: Scratch): Promise<Answer> {
  const path = scratch.file("seen");
  const told = await scratch.run(
    ros`${scratch.adding(scratch.slot("seen"), path, SIZE)}; :put ("~seen~" . [:len [/file/find where name=${path}]] . "~")`,
  );
  const seen = told.ok ? /~seen~(\d)~/.exec(told.reply.raw)?.[1] : undefined;
  if (seen === undefined) return unclear("no count");
  if (seen === "1") return { answer: "at-once", came: "in the same line" };
  await scratch.until("the file", () => scratch.exists(path));
  return { answer: "later", came: "in a later line" };
}

/** Milliseconds that a line waits before it makes its file. */
const HOLD_MS = 1_000;

async function clientLeaves(scratch: Scratch): Promise<Answer> {
  const path = `${scratch.folder}/left`;
  const line = ros`:delay 1s; /file/add name=${path} type=directory`.render("");
  await scratch.bench.withSession(async (session) => {
    await new Promise<void>((resolve) => {
      session.exec(line, LINE_MS, resolve).then(() => resolve());
    });
    session.drop();
  });
  const end = scratch.bench.clock.monotonic() + 4 * HOLD_MS;
  while (scratch.bench.clock.monotonic() < end) {
    if (await scratch.exists(path)) {
      return {
        answer: "completes",
        came: "the folder is made",
        switches: { "client-disconnect": "completes" },
      };
    }
    await scratch.bench.sleep(HOLD_MS / 4);
  }
  return { answer: "aborted", came: "the folder is not made", switches: { "client-disconnect": "aborted" } };
}

async function copied(scratch: Scratch): Promise<Answer> {
  const [from, to] = [scratch.slot("copy-1"), scratch.slot("copy-2")];
  await scratch.add(from, scratch.file("copy-1"));
  await scratch.add(to, scratch.file("copy-2"));
  const before = await scratch.free();
  const line = ros`/disk/copy src=[/disk/find where slot=${from}] dst=[/disk/find where slot=${to}]`;
  const answer = await (await scratch.bench.main()).exec(line.render(""), 120_000);
  if (!isAnswered(answer)) return unclear(answer.reason);
  const output = shown(answer.stdout);
  const took = Number(before - (await scratch.free())) / 1_048_576;
  const came = `${Math.round(answer.tookMs)} ms, ${output === "" ? "no output" : output}; the pool has ${took.toFixed(1)} MiB less`;
  if (/bad command|syntax error|expected/i.test(output)) return { answer: "missing", came };
  if (/failure|not enough|no such item/i.test(output)) return unclear(came);
  const status = /\d[.]\d+MiB/.test(output) ? "human" : /\d+ \/ \d+/.test(output) ? "bytes" : "none";
  return { answer: "works", came, switches: { "copy-status": status } };
}

async function subvolumeLife(scratch: Scratch): Promise<Answer> {
  const [name, label] = [scratch.subvolume("life"), scratch.label];
  const adding = ros`/disk/btrfs/subvolume/add fs=${label} name=${name}`;
  const refused = await scratch.refusal(adding);
  if (refused !== undefined) return { answer: "missing", came: shown(refused) };
  const rows = () =>
    scratch.bench.rows({
      label: "subvolumes",
      menu: ros`/disk/btrfs/subvolume`,
      where: ros`fs=${label}`,
      properties: [".id", "name", "fullname", "dead"],
    });
  const row = (await rows()).find((one) => text(one, "fullname").replace(/^\/+/, "") === name);
  if (row === undefined) return unclear("the new subvolume is not listed");
  const twice = await scratch.refusal(adding);
  await scratch.run(
    ros`/disk/btrfs/subvolume/remove [/disk/btrfs/subvolume/find where fs=${label} and (fullname=${name} or fullname=${`/${name}`})]`,
  );
  // A dead one may have no name any more.
  const dead = (await rows()).find((one) => text(one, ".id") === text(row, ".id"));
  const again = dead === undefined ? undefined : await scratch.refusal(adding);
  const slash = text(row, "fullname").startsWith("/");
  return {
    answer: dead === undefined ? "at-once" : "dead",
    came: `${shown(twice ?? "two of one name")}; after its removal ${dead === undefined ? "it is not listed" : `it is listed as dead, its name ${again === undefined ? "free" : "taken"}`}`,
    switches: {
      "fullname-slash": slash ? "with" : "without",
      ...(twice === undefined ? {} : { "subvolume-exists-text": twice }),
      "subvolume-removal": dead === undefined ? "at-once" : "dead",
      ...(dead === undefined
        ? {}
        : {
            "dead-name": again === undefined ? "free" : "taken",
            "dead-fullname": text(dead, "fullname") === "" ? "absent" : "kept",
          }),
    },
  };
}

async function subvolumeInUse(scratch: Scratch): Promise<Answer> {
  const [name, label] = [scratch.subvolume("used"), scratch.label];
  await scratch.run(ros`/disk/btrfs/subvolume/add fs=${label} name=${name}`);
  await scratch.add(scratch.slot("inside"), `${scratch.directory("used")}/disk.img`);
  const found = ros`[/disk/btrfs/subvolume/find where fs=${label} and (fullname=${name} or fullname=${`/${name}`})]`;
  const refused = await scratch.refusal(ros`/disk/btrfs/subvolume/remove ${found}`);
  const isThere = await scratch.exists(`${scratch.directory("used")}/disk.img`);
  const answer = isThere ? "error" : "allowed";
  return { answer, came: shown(refused ?? "no error"), switches: { "subvolume-in-use": answer } };
}

async function snapshots(scratch: Scratch): Promise<Answer> {
  const [outer, label] = [scratch.subvolume("outer"), scratch.label];
  const inner = `${outer}/${scratch.subvolume("inner")}`;
  const add = (name: string, parent?: string) =>
    scratch.refusal(
      ros`/disk/btrfs/subvolume/add fs=${label} name=${name}${parent === undefined ? ros`` : ros` parent=${parent} read-only=yes`}`,
    );
  for (const name of [outer, inner]) {
    const refused = await add(name);
    if (refused !== undefined) return unclear(shown(refused));
  }
  await scratch.add(scratch.slot("source"), `${scratch.pool.mountPoint}/${inner}/disk.img`);
  const byPath = await add(scratch.subvolume("by-path"), inner);
  const byName = await add(scratch.subvolume("by-name"), scratch.subvolume("inner"));
  const came = `by path: ${shown(byPath ?? "made")}; by name: ${shown(byName ?? "made")}`;
  if (byPath !== undefined && byName !== undefined) return { answer: "none", came };
  const made = scratch.directory(byPath === undefined ? "by-path" : "by-name");
  if (!(await scratch.exists(`${made}/disk.img`))) return { answer: "empty", came };
  // A clone is a snapshot that can be written, of a snapshot.
  const snapshot = scratch.subvolume(byPath === undefined ? "by-path" : "by-name");
  const clone = scratch.subvolume("clone");
  const cloned = await scratch.refusal(
    ros`/disk/btrfs/subvolume/add fs=${label} name=${clone} parent=${snapshot}`,
  );
  if (cloned !== undefined) return { answer: "no-clone", came: `${came}; a clone: ${shown(cloned)}` };
  const disk = scratch.adding(scratch.slot("clone"), `${scratch.directory("clone")}/disk.img`, undefined);
  const onClone = await scratch.refusal(disk);
  if (onClone !== undefined)
    return { answer: "no-clone", came: `${came}; a disk on a clone: ${shown(onClone)}` };
  const how = byPath !== undefined ? "name" : byName !== undefined ? "fullname" : "any";
  return { answer: "works", came, switches: { "snapshot-parent": how } };
}

const made = scratched("scratch");

/** `ask` on a pool with subvolumes. */
function onBtrfs(ask: (scratch: Scratch) => Promise<Answer>): (scratch: Scratch) => Promise<Answer> {
  return async (scratch) =>
    scratch.isBtrfs
      ? await ask(scratch)
      : {
          answer: "no-btrfs",
          came: `the pool ${scratch.pool.slot} is ${scratch.pool.fs || "without a filesystem"}`,
        };
}

const NO_BTRFS = limits("The pool is no Btrfs with a label: volumes cannot have snapshots there.");

/** Files, copies and subvolumes. */
export const FILES: readonly Experiment[] = [
  made(
    "file-in-use",
    "Can the file of a disk be removed?",
    "removes such a file",
    ["file-remove-in-use"],
    {
      error: handled("No. The driver removes the disk first."),
      allowed: limits(
        "Yes. The driver removes the disk first; a person who removes a file by hand destroys a volume.",
      ),
    },
    fileInUse,
  ),
  made(
    "folder-twice",
    "Which text comes for a folder that exists?",
    "makes a folder twice",
    ["directory-exists-text"],
    {
      refused: handled("The driver looks before it makes one."),
      accepted: handled("None. The driver looks before it makes one."),
    },
    folderTwice,
  ),
  made(
    "file-seen",
    "Is the file of a new disk seen at once?",
    "makes a disk and looks for its file in one line",
    [],
    {
      "at-once": handled("The driver's look at a file is true."),
      later: unsafe("A look may miss a file, and a deletion leave it. Watch for files without a disk."),
    },
    fileSeen,
  ),
  made(
    "client-leaves",
    "Does a line run on when its client has gone?",
    "cuts the connection of a line that waits a second",
    ["client-disconnect"],
    {
      completes: handled("Yes. The driver counts a lost reply as a change that may come yet."),
      aborted: handled("No. The driver counts a lost reply as a change that may come yet."),
    },
    clientLeaves,
  ),
  made(
    "disk-copy",
    "Does `/disk/copy` work, and what does it print?",
    "copies a disk of 16 MiB",
    ["copy-status"],
    {
      works: handled("Full copies and `volumes convert` can work."),
      missing: limits("Full copies and `volumes convert` do not work on this device."),
    },
    copied,
  ),
  made(
    "subvolume",
    "What becomes of a subvolume that is removed, and of its name?",
    "makes and removes a subvolume",
    ["subvolume-exists-text", "subvolume-removal", "dead-name", "dead-fullname", "fullname-slash"],
    {
      "at-once": handled("It is gone."),
      dead: handled("It is listed for a while. The driver looks for its directory, and waits for its name."),
      missing: limits("Subvolumes cannot be made: volumes cannot have snapshots there."),
      "no-btrfs": NO_BTRFS,
    },
    onBtrfs(subvolumeLife),
  ),
  made(
    "subvolume-in-use",
    "Can a subvolume be removed that has the file of a disk?",
    "removes such a subvolume",
    ["subvolume-in-use"],
    {
      error: handled("No. The driver removes the disk first."),
      allowed: limits("Yes. The driver removes the disk first, and refuses while a disk uses the subvolume."),
      "no-btrfs": NO_BTRFS,
    },
    onBtrfs(subvolumeInUse),
  ),
  made(
    "snapshot",
    "By which name does a snapshot know its source, and are the source's files in it?",
    "makes subvolumes and snapshots of one",
    ["snapshot-parent"],
    {
      works: handled("The driver tries both names."),
      none: limits("Snapshots cannot be made on this device."),
      "no-clone": limits(
        "A snapshot can be made, but no volume from it. Do not rely on snapshots on this device.",
      ),
      empty: unsafe("A snapshot is made without the source's files. Do not use snapshots on this device."),
      "no-btrfs": NO_BTRFS,
    },
    onBtrfs(snapshots),
  ),
];
