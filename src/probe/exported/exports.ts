import { ros } from "../../routeros/script.ts";
import { type Answer, type Experiment, handled, shown, unclear, unsafe } from "../experiment.ts";
import { type Scratch, scratched } from "../scratch/scratch.ts";

const NQN = "nqn.2000-02.com.mikrotik:csi-probe";

/** Exports a disk. @returns the error text of RouterOS, if any */
function exporting(scratch: Scratch, slot: string, nqn: string | undefined): Promise<string | undefined> {
  const named = nqn === undefined ? ros`` : ros` nvme-tcp-server-nqn=${nqn}`;
  return scratch.refusal(ros`/disk/set [/disk/find where slot=${slot}]${named} nvme-tcp-export=yes`);
}

async function ownNqn(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("default");
  await scratch.add(slot, scratch.file("default"));
  const refused = await exporting(scratch, slot, undefined);
  if (refused !== undefined) return { answer: "refused", came: shown(refused) };
  const nqn = (await scratch.disk(slot))?.nqn ?? "";
  const known = { [slot]: "slot", [`nqn.2000-02.com.mikrotik:${slot}`]: "mikrotik" }[nqn];
  if (known === undefined) return unclear(shown(nqn) || "no NQN is shown");
  return { answer: known, came: nqn, switches: { "default-nqn": known } };
}

async function twice(scratch: Scratch): Promise<Answer> {
  const slots = ["nqn-1", "nqn-2"].map((name) => scratch.slot(name));
  const refusals: (string | undefined)[] = [];
  for (const slot of slots) {
    await scratch.add(slot, scratch.file(slot));
    refusals.push(await exporting(scratch, slot, NQN));
  }
  const [first, second] = refusals;
  if (first !== undefined) return unclear(shown(first));
  const answer = second === undefined ? "allowed" : "error";
  return { answer, came: shown(second ?? "both have it"), switches: { "duplicate-nqn": answer } };
}

async function renamed(scratch: Scratch): Promise<Answer> {
  const slot = scratch.slot("renamed");
  await scratch.add(slot, scratch.file("renamed"));
  const first = await exporting(scratch, slot, `${NQN}-1`);
  if (first !== undefined) return unclear(shown(first));
  const item = ros`[/disk/find where slot=${slot}]`;
  const refused = await scratch.refusal(
    ros`/disk/set ${item} nvme-tcp-export=no; /disk/set ${item} nvme-tcp-server-nqn=${`${NQN}-2`} nvme-tcp-export=yes`,
  );
  if (refused !== undefined) return { answer: "refused", came: shown(refused) };
  const found = await scratch.disk(slot);
  const came = `export ${found?.exported ? "on" : "off"}, NQN ${found?.nqn}`;
  return { answer: found?.exported === true && found.nqn === `${NQN}-2` ? "renamed" : "not-renamed", came };
}

const made = scratched("exported");

/** Exports without a host. */
export const EXPORTS: readonly Experiment[] = [
  made(
    "default-nqn",
    "Which NQN has an export that was given none?",
    "exports a disk of 16 MiB",
    ["default-nqn"],
    {
      slot: handled("Its slot. The driver always gives one."),
      mikrotik: handled("MikroTik's prefix and its slot. The driver always gives one."),
      refused: handled("It is refused. The driver always gives one."),
    },
    ownNqn,
  ),
  made(
    "nqn-twice",
    "May two exports have one NQN?",
    "exports two disks under one NQN",
    ["duplicate-nqn"],
    {
      allowed: handled("Yes. NQNs of the driver hold a random nonce, and no two are equal."),
      error: handled("No. NQNs of the driver hold a random nonce, and no two are equal."),
    },
    twice,
  ),
  made(
    "nqn-changed",
    "Can an export get another NQN, off and on in one line?",
    "exports a disk, and again under another NQN",
    [],
    {
      renamed: handled("Yes. Each attachment has an NQN of its own."),
      "not-renamed": unsafe("No: an earlier node would keep its access. Do not use this device."),
      refused: unsafe("No: no volume can be attached a second time. Do not use this device."),
    },
    renamed,
  ),
];
