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
    "The driver rests on assumptions about RouterOS that no hardware has shown ([status.md](status.md)). `rds-csi probe` asks your RDS, and says what each answer means for you. **Nobody has run it on a real RDS yet**; tests run it on the simulator, and the stage with a node in the [lab](lab.md).",
    "",
    "## Run it",
    "",
    "On your own machine, in a clone of the repository: `scripts/build` makes `dist/rds-csi`. The probe logs in as the driver's user, so make that user first ([rds-setup.md](rds-setup.md)). Its options are those of the controller. A file with four of them is enough; `config.yaml` of an installation works too:",
    "",
    "```yaml",
    "rds-address: 192.0.2.10",
    "rds-key-file: /srv/rds/rds-csi-key",
    "rds-host-key-file: /srv/rds/known_hosts",
    "pool: storage-pool",
    "```",
    "",
    "```sh",
    "dist/rds-csi probe --config rds.yaml",
    "dist/rds-csi probe --config rds.yaml --scratch --exported --save box.yaml",
    "```",
    "",
    "| stage | flag | on the RDS |",
    "| --- | --- | --- |",
    "| [read-only](probe.md#stage-1-read-only) | none | nothing changes |",
    "| [scratch](probe.md#stage-2-scratch) | `--scratch` | small disks, files and subvolumes come and go |",
    "| [exported](probe.md#stage-3-exported) | `--exported` | such disks are exported for a moment |",
    "| [with a node](probe.md#stage-4-with-a-node) | `--node` | this machine connects to such disks |",
    "| [a reboot](probe.md#stage-5-a-reboot) | `--before-reboot`, then `--after-reboot` | a disk stays over a reboot that you make |",
    "",
    "The read-only stage is always made, and the stages of several flags in one run. It takes two to four minutes; 90 seconds of them are one idle connection (`--idle`). Ctrl-C ends it; the next run of the same stages removes what an interrupted one has left. Run one probe at a time: two on one RDS remove each other's disks, and their answers are wrong.",
    "",
    "Standard error announces each experiment. Standard output has the report. `-o json` prints it for programs, `--save` writes the answers, and `--bundle` writes the report with each line that was sent, for an issue: without addresses, serial numbers and the name of the user (but `csi` and `admin`).",
    "",
    "## Read the report",
    "",
    "| part | meaning | what to do |",
    "| --- | --- | --- |",
    "| UNSAFE HERE | the driver must not run on this RDS as it is | follow the text; else do not use the driver there |",
    "| TO KNOW | a feature does not work, or a person must take care; or a question stays open | read each, and decide |",
    "| HANDLED BY THE DRIVER | the driver works with this answer | nothing |",
    "| FACTS | the driver does not need it | nothing |",
    "",
    "`came` is the answer with its evidence, `means` the consequence. The exit code is 4 after an unsafe answer, else 0; 1 if the RDS or the pool cannot be reached. The last lines name the stages that were not asked: **no unsafe answer in one stage says nothing about the others.**",
    "",
    "## From the box to a simulator that behaves so",
    "",
    "Two commands; the second one runs anywhere.",
    "",
    "```sh",
    "dist/rds-csi probe --config rds.yaml --scratch --exported --save box.yaml",
    "dist/rds-csi simulate --profile-file $PWD/box.yaml --dir /tmp/box --authorized-keys-file $HOME/.ssh/id_ed25519.pub",
    "```",
    "",
    "The simulator prints `ready` with its address and host key. [The README](../README.md#by-hand) shows a controller and a node on one. [simulator.md](simulator.md#switches) tells which switches the file settles. The others keep their default. The file holds version, board, the name of the user and of its group, and texts of RouterOS; it holds no key, no address and no name of a volume. [hardware.md](hardware.md) collects such files.",
    "",
    "A file that was cut, or whose answers are damaged, is refused. A file of another version can be used if its `format` is 1: a controller and `rds-csi check` name the answers that they do not know. The simulator refuses switches that it does not know. The file of `--after-reboot` holds that one answer, so give the controller the file of the other stages.",
    "",
    "## A controller that knows the answers",
    "",
    "With `device-profile` a controller refuses the features whose premise failed, with the experiment and its answer (`devicePremise`):",
    "",
    "| answers | refused |",
    "| --- | --- |",
    "| `snapshot`, `subvolume` | snapshots and clones |",
    "| `disk-copy`, `file-that-exists` | full copies |",
    "| `grow`, `growth-seen` | growth; growth of an attached volume |",
    "| `allow-list` | the start with `--fencing epoch+hosts` |",
    "| any that is **unsafe**, or that the version does not know | the start |",
    "",
    "A profile refuses only what an experiment has answered. At its start the controller logs the features that the file leaves open, and a device that answers otherwise by now. `rds-csi volumes convert` takes the option, too.",
    "",
    "Without the file the controller goes by what it assumes. Probe again after each upgrade of RouterOS: `rds-csi check` compares some answers, the version and the board, and names those that differ.",
    "",
    "### Into the pod",
    "",
    "The file goes into the ConfigMap of the configuration, which the pods mount as `/etc/rds-csi`. With [kustomize](install.md), in your folder:",
    "",
    "```sh",
    "cp box.yaml manifests/sites/home/device-profile.yaml",
    "echo 'device-profile: /etc/rds-csi/device-profile.yaml' >>manifests/sites/home/config.yaml",
    "sed -i 's/# - device-profile.yaml/- device-profile.yaml/' manifests/sites/home/kustomization.yaml",
    "```",
    "",
    "The last command takes the file into `configMapGenerator`. `kubectl apply -k manifests/sites/home` then restarts the pods. With [Helm](helm.md) the chart does the same; give the file at each upgrade:",
    "",
    "```sh",
    "helm upgrade rds-csi manifests/chart -n rds-csi -f values.yaml --set-file deviceProfile=box.yaml --wait",
    "```",
    "",
    "See whether it arrived. The first command prints a line `profile`, with the features that are ruled out; the second one the line of the log:",
    "",
    "```sh",
    "kubectl -n rds-csi exec deployment/rds-csi-controller -c driver -- rds-csi check",
    "kubectl -n rds-csi logs deployment/rds-csi-controller -c driver | grep 'device profile'",
    "```",
    "",
    'With an unsafe answer the new pods do not start, and the old ones go on; their log names the answer. On your own machine `config.yaml` names a path that is not there: add `--device-profile "$PWD/box.yaml"` to `rds-csi check`.',
    "",
    ...STAGES.flatMap(stage),
  ].join("\n");
}
