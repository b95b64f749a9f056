import { ros } from "../../routeros/script.ts";
import type { Bench } from "../bench.ts";
import { type Answer, type Experiment, handled, shown, unsafe } from "../experiment.ts";
import { COMMENT, MIB, Scratch, SIZE } from "../scratch/scratch.ts";
import { Unanswered } from "../unanswered.ts";

const NAME = "reboot";
const NQN = "nqn.2000-02.com.mikrotik:csi-probe-reboot";
/** As long as a record of the driver may be. */
const TEXT = `${COMMENT} {"before":"a reboot"} `.padEnd(1_200, "0123456789abcdef");

/** Makes an exported disk with a long comment, which stays on the RDS. A person reboots it then. @throws Unanswered */
export async function prepareReboot(bench: Bench): Promise<void> {
  const scratch = await Scratch.on(bench);
  await scratch.clean();
  await scratch.requireRoom();
  await scratch.makeFolder();
  const slot = scratch.slot(NAME);
  const path = scratch.file(NAME);
  await scratch.run(scratch.adding(slot, path, SIZE, ros` nvme-tcp-server-nqn=${NQN}`, TEXT));
  await scratch.until("its size", async () => (await scratch.disk(slot))?.size === SIZE);
  await scratch.run(ros`/disk/set [/disk/find where slot=${slot}] nvme-tcp-export=yes`);
}

/** Longest time for which an export is waited for. Milliseconds. */
const BACK_MS = 120_000;

async function compare(bench: Bench): Promise<Answer> {
  const scratch = await Scratch.on(bench);
  const slot = scratch.slot(NAME);
  const uptime = await bench.value(ros`[/system/resource/get uptime]`);
  const found = await scratch.disk(slot);
  if (found === undefined)
    throw new Unanswered(`there is no disk ${slot}: run \`rds-csi probe --before-reboot\` first`);
  try {
    const wrong = [
      found.comment === TEXT ? "" : `its comment has ${found.comment.length} of ${TEXT.length} characters`,
      found.nqn === NQN ? "" : `its NQN is ${found.nqn}`,
      found.filePath === scratch.file(NAME) ? "" : `its file is ${found.filePath}`,
    ].filter((text) => text !== "");
    const up = `up for ${shown(uptime)}`;
    if (wrong.length > 0) return { answer: "changed", came: `${up}; ${wrong.join("; ")}` };
    if (!found.exported) {
      return {
        answer: "exports-lost",
        came: `${up}; the export is off`,
        switches: { "reboot-exports": "lost" },
      };
    }
    const begun = bench.clock.monotonic();
    while ((await scratch.disk(slot))?.size !== SIZE) {
      if (bench.clock.monotonic() - begun > BACK_MS) {
        return { answer: "no-device", came: `${up}; no size after ${BACK_MS / 1_000} s` };
      }
      await bench.sleep(500);
    }
    const waited = Math.round((bench.clock.monotonic() - begun) / 1_000);
    const came = `${up}; export, NQN, comment and ${SIZE / MIB} MiB as before, ${waited} s after the first look`;
    return { answer: "kept", came, switches: { "reboot-exports": "kept" } };
  } finally {
    await scratch.clean();
  }
}

/** What a reboot leaves. */
export const REBOOT: readonly Experiment[] = [
  {
    id: "after-reboot",
    stage: "reboot",
    question: "Are a disk, its comment and its export as before a reboot?",
    does: "compares the disk that `--before-reboot` has made, and removes it",
    answers: {
      kept: handled("Yes. Hosts reconnect by themselves."),
      "exports-lost": handled(
        "Exports are off after a reboot. The controller switches those of attached volumes on again.",
      ),
      changed: unsafe("No. Records do not survive. Do not use this device."),
      "no-device": unsafe("The disk does not come back. Do not use this device."),
    },
    settles: ["reboot-exports"],
    limitMs: 300_000,
    ask: compare,
  },
];
