import type { SnapshotId } from "../domain/snapshot-id.ts";
import { payload, type Reply } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";
import type { Subvolume } from "./subvolume.ts";

/** The last component of a path. */
export function lastOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Condition of the subvolumes whose last component begins with a snapshot's id. */
export function named(id: SnapshotId): Script {
  return ros`fullname~${`(^|/)${id}[.]`}`;
}

/** Statements: put the names of the living subvolumes with a snapshot's id under `names`, whether they are read-only, and the labels of their filesystems. */
export function namesOf(id: SnapshotId): Script {
  const get = (property: Script) => ros`[/disk/btrfs/subvolume/get $i ${property}]`;
  const access = ros`:local a ">rw>"; :if (${get(ros`read-only`)} = true) do={ :set a ">ro>" }`;
  const each = ros`:if (${get(ros`dead`)} != true) do={ ${access}; :set names ($names . "|" . ${get(ros`fullname`)} . $a . ${get(ros`fs`)}) }`;
  return ros`:local names ""; :foreach i in=[/disk/btrfs/subvolume/find where ${named(id)}] do={ ${each} }; ${payload("names", ros`$names`)}`;
}

const NAME = /^\/*(?<name>[^>]+)>(?<access>ro|rw)>(?<label>.*)$/;

/** The subvolumes that `namesOf` put; undefined: the reply is cut off. */
export function namesIn(reply: Reply): Subvolume[] | undefined {
  const parts = reply.flat("names")?.trim().split("|");
  return parts?.flatMap((part) => {
    const { name, access, label = "" } = NAME.exec(part.trim())?.groups ?? {};
    return name === undefined ? [] : [{ name, label, readOnly: access === "ro", dead: false }];
  });
}
