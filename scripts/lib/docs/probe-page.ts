import { EXPERIMENTS } from "../../../src/probe/catalogue.ts";
import { STAGES, type Stage, type Weight } from "../../../src/probe/experiment.ts";

const HEAD: Readonly<Record<Stage, readonly string[]>> = {
  "read-only": [
    "## Stage 1: read-only",
    "",
    "`rds-csi probe` asks these by default. Nothing on the RDS changes. It logs in up to four times at once, and prints up to 3 MiB.",
  ],
  scratch: [
    "## Stage 2: scratch",
    "",
    "`--scratch` makes disks of 16 MiB, files and subvolumes on the pool of `--pool`. Each experiment removes what it has made, and each begins by removing what an earlier one has left.",
    "Disks are removed if their slot begins with `csi-probe`, their file lies in the folder `csi-probe` of the pool (or in a subvolume `csi-probe-…`), and their comment begins with `rds-csi probe`. Files and subvolumes go by these names: **give nothing of yours such a name**.",
    "If a disk of others, a volume or a snapshot of the driver lies there, for example with `--directory csi-probe`, nothing is made or removed, and the questions stay open. The same holds for a pool with less than 256 MiB left.",
  ],
  exported: ["## Stage 3: exported", "", "`--exported` also exports such disks. No host connects."],
  node: [
    "## Stage 4: with a node",
    "",
    "`--node` also connects this machine to such disks, under NQNs that begin with `nqn.2000-02.com.mikrotik:csi-probe`. It runs as root on a machine with nvme-cli and the module nvme-tcp, and needs the same SSH key. Connections are ended before their disks are removed.",
  ],
  reboot: [
    "## Stage 5: a reboot",
    "",
    "The probe never reboots the RDS. `rds-csi probe --before-reboot` makes an exported disk with a long comment. Reboot the RDS, then `rds-csi probe --after-reboot` compares the disk and removes it.",
  ],
};

const WEIGHTS: Readonly<Record<Weight, string>> = {
  unsafe: "**unsafe**",
  limits: "to know",
  handled: "handled",
  fact: "fact",
};

const cell = (text: string): string =>
  text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function stage(name: Stage): string[] {
  const sections = EXPERIMENTS.filter((experiment) => experiment.stage === name).flatMap((experiment) => {
    const { id, question, does, answers, settles } = experiment;
    const rows = Object.entries(answers).map(
      ([answer, { weight, driver }]) => `| ${answer} | ${WEIGHTS[weight]} | ${cell(driver)} |`,
    );
    const switches = settles.map((each) => `\`${each}\``).join(", ");
    return [
      `### ${id}`,
      "",
      `${question} The probe ${does}.${switches === "" ? "" : ` Switches of the simulator: ${switches}.`}`,
      "",
      "| answer | weight | meaning |",
      "| --- | --- | --- |",
      ...rows,
      "",
    ];
  });
  return [...HEAD[name], "", ...sections];
}

/** The page `docs/probe.md`: each experiment with its answers. */
export function probePage(): string {
  return [
    "# Know your RDS: rds-csi probe",
    "",
    "<!-- Generated from src/probe by scripts/docs; a test compares. Do not edit. -->",
    "",
    "The driver rests on assumptions about RouterOS that no hardware has shown ([status.md](status.md)). `rds-csi probe` asks your RDS, and says what each answer means for you. It takes two to four minutes.",
    "",
    "```sh",
    "rds-csi probe --config /etc/rds-csi/config.yaml",
    "rds-csi probe --config /etc/rds-csi/config.yaml --scratch --exported --save box.yaml",
    "```",
    "",
    "It takes the options of the RDS that the controller has. Experiments are announced on standard error as they begin, and have a limit each. The report begins with the answers that make the driver unsafe here; then the exit code is 4. `-o json` prints it for programs.",
    "",
    "## From the box to a simulator that behaves so",
    "",
    "Two commands; the second one runs anywhere.",
    "",
    "```sh",
    "rds-csi probe --config /etc/rds-csi/config.yaml --scratch --exported --save box.yaml",
    "rds-csi simulate --profile-file $PWD/box.yaml --dir /tmp/box --authorized-keys-file $HOME/.ssh/id_ed25519.pub",
    "```",
    "",
    "[simulator.md](simulator.md#switches) tells which switches the file settles. The others keep their default. The file holds version, board, the name of the user and of its group, and texts of RouterOS; it holds no key, no address and no name of a volume. [hardware.md](hardware.md) collects such files.",
    "",
    "## A controller that knows the answers",
    "",
    "`rds-csi controller --device-profile box.yaml` refuses the features whose premise failed, with the experiment and its answer: snapshots and clones (`snapshot`, `subvolume`), full copies (`disk-copy`, `file-that-exists`), growth (`grow`), growth of attached volumes (`growth-seen`). It does not start with `--fencing epoch+hosts` on an RDS without lists of hosts (`allow-list`), nor with any answer that is unsafe, nor with one that its version does not know. `rds-csi volumes convert` takes the option, too.",
    "",
    "A profile refuses only what an experiment has answered. At its start the controller logs the features that the file leaves open, and a device that answers otherwise by now.",
    "",
    ...STAGES.flatMap(stage),
  ].join("\n");
}
