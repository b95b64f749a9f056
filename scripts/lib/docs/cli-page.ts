import type { Command } from "commander";
import { EXIT_CODE_DOCS } from "../../../src/cli/exit-codes.ts";
import type { Io } from "../../../src/cli/io.ts";
import { buildPlugin } from "../../../src/cli/kubectl/plugin.ts";
import { commandOptions } from "../../../src/cli/options.ts";
import { buildProgram } from "../../../src/cli/program.ts";
import type { OptionTable } from "../../../src/config/option.ts";

const configured = new Set(
  Object.values(commandOptions).flatMap((table: OptionTable) => Object.values(table).map(({ name }) => name)),
);

function section(command: Command, path: string): string[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).filter((each) => each.name() !== "help");
  if (subcommands.length > 0) return subcommands.flatMap((each) => section(each, `${path} ${each.name()}`));
  const own = help
    .visibleOptions(command)
    .filter((option) => !configured.has(option.name()) && option.name() !== "help");
  const rows = own.map((option) => {
    const choices = option.argChoices === undefined ? "" : ` (${option.argChoices.join(", ")})`;
    const fallback =
      option.defaultValue === undefined ? "" : `; default ${JSON.stringify(option.defaultValue)}`;
    return `| \`${option.flags}\` | ${option.description}${choices}${fallback} |`;
  });
  const all = command.options.some((option) => configured.has(option.name()))
    ? ["It also takes the options of [configuration.md](configuration.md).", ""]
    : [];
  return [
    `## \`${path} ${command.usage()}\``,
    "",
    `${command.description()}.`,
    "",
    ...all,
    ...(rows.length === 0 ? [] : ["| option | meaning |", "| --- | --- |", ...rows, ""]),
  ];
}

const VOLUME_FIELDS: readonly (readonly [string, string])[] = [
  ["handle", "slot on the RDS and CSI volume handle"],
  ["csiName", 'CSI volume name; "" for foreign disks'],
  [
    "state",
    "available, attached, migrating, copying (a full copy fills it, or it moves into a subvolume), broken (a finding is an error), foreign (not ours, never changed) or missing (no disk item)",
  ],
  ["sizeBytes", "bytes, a number; 0 when the RDS reports none"],
  ["pvc", "`{namespace, name}` or null: the claim in the cluster, else that of the record"],
  ["nodes", "`{node, since, accessMode, readonly}` in the order of attaching; at most two"],
  ["migration", "`{since, timeoutSeconds, overdue}` or null"],
  ["createdAt", "time or null"],
  ["nqn", 'NQN of the export; "" when it has none'],
  ["exported", "whether the RDS exports it now"],
  ["path", "backing file on the RDS"],
  [
    "layout",
    "subvolume (the file is in a Btrfs subvolume of its own, which can be snapshotted), plain, or null where the path tells neither",
  ],
  ["source", "handle of the snapshot or volume that it was made from, or null"],
  ["copy", "`{done, total}` in bytes while a full copy fills it, or null"],
  [
    "snapshots",
    "`{count, bytesAtMost}` or null (not known, and with `--watch` not asked for): its snapshots, and the sum of their sizes",
  ],
  ["problems", "the texts of the findings that are more than information; empty when nothing is wrong"],
  [
    "findings",
    "`{id, severity, text, node, remedy}`, the worst first; ids are those of [volumes.md](volumes.md#drift)",
  ],
];

const SNAPSHOT_FIELDS: readonly (readonly [string, string])[] = [
  ["handle", "CSI snapshot handle: the id, and the label of the filesystem that holds the snapshot"],
  [
    "state",
    "named (a VolumeSnapshotContent names it), unnamed (none does; never removed by the driver), missing (one names it, and no mounted pool has it) or unknown (the cluster was not asked, or did not answer)",
  ],
  ["source", "`{handle, exists}`: the volume that was cut, and whether it is still there"],
  ["pvc", "`{namespace, name}` or null: the claim of the source while that exists"],
  ["sizeBytes", "bytes of the source at the cut, a number: the least size of a volume that is made from it"],
  ["content", "ext4, xfs, block (the driver had made no filesystem on it) or null"],
  ["createdAt", "time of the cut by the clock of the RDS, or null"],
  ["pool", "`{slot, label}` or null; `slot` is null while no mounted disk has the label"],
  ["path", 'path of its subvolume in the filesystem; "" when it is missing'],
  [
    "contents",
    "the VolumeSnapshotContents that name it: `{name, handle, volume, snapshot: {namespace, name}, policy, ready, deleting, restoreBytes, error}`",
  ],
];

const ORPHAN_FIELDS: readonly (readonly [string, string])[] = [
  ["kind", "disk, file, subvolume or snapshot"],
  ["name", "slot of the volume, or handle of the snapshot"],
  ["pool", "slot of its pool, or null while that is not mounted"],
  ["path", "of the file; of a subvolume or snapshot that of its directory"],
  ["sizeBytes", "bytes, a number, or null; of a snapshot what it may hold at most"],
  ["since", "when it was made, of a file when it was last written; null where that is not known"],
  ["reason", "why it counts as an orphan"],
  ["deletable", "yes, named (only one that is named is deleted) or no"],
  ["why", "why it is deletable, or is not"],
];

/** What `kubectl rds --help` prints. */
function pluginHelp(io: Io): string {
  const never = () => Promise.reject(new Error("never called"));
  let text = "";
  const deps = { kubectl: never, attached: never, isTerminal: false };
  const out = (more: string): void => {
    text += more;
  };
  buildPlugin({ ...io, out }, deps, () => {}).outputHelp();
  return text.trimEnd();
}

/** `docs/cli.md`, complete. `scripts/docs` writes it, and a test compares the file with it. */
export function cliDocs(): string {
  const stop = new AbortController().signal;
  const io = { env: {}, out: () => {}, err: () => {}, columns: undefined, colour: false, stop };

  return `${[
    "# Command line",
    "",
    "<!-- Generated from src/cli by scripts/docs; a test compares. Do not edit. -->",
    "",
    "Results go to standard output, the log and errors to standard error. An error says what failed and what to do;",
    "stacks are shown with `--log-level debug` only. SIGTERM or SIGINT ends a service after its running calls, a second",
    "one ends it at once.",
    "",
    "| exit code | meaning |",
    "| --- | --- |",
    ...EXIT_CODE_DOCS.map(([code, text]) => `| ${code} | ${text} |`),
    "",
    ...section(
      buildProgram(io, () => {}),
      "rds-csi",
    ),
    "## `kubectl rds`",
    "",
    "The executable is also a plugin of kubectl: under the name `kubectl-rds` in a folder of PATH, as a copy or a link. It finds the driver's",
    "pods by your kubeconfig and runs the commands in them, where configuration, key and rights are. Your computer needs none of them.",
    "",
    "```sh",
    'ln -s "$PWD/dist/rds-csi" /usr/local/bin/kubectl-rds',
    "kubectl rds volumes list --problems",
    "```",
    "",
    "```text",
    pluginHelp(io),
    "```",
    "",
    "Your account needs the rights to list pods and to create `pods/exec` in the driver's namespace. Whoever has the latter may run anything with the",
    "driver's rights ([security.md](security.md)).",
    "",
    "## The list of volumes as JSON or YAML",
    "",
    "`rds-csi volumes list -o json` prints one object: `apiVersion` is `rds-csi/v1`, `kind` is `VolumeList`, `items` holds",
    "the selected volumes, sorted by handle unless `--sort` is given; `total` counts all volumes; `unknown` holds",
    "`{what, reason, remedy}` of a cluster that was asked and did not answer. Times are RFC 3339 in UTC. Fields are only ever",
    "added within `rds-csi/v1`.",
    "",
    "| field of an item | meaning |",
    "| --- | --- |",
    ...VOLUME_FIELDS.map(([name, text]) => `| \`${name}\` | ${text} |`),
    "",
    "With `--watch` each line is one object of kind `VolumeWatch`: `time`, `change` (added, changed, removed: with `volume`, an",
    "item as above; lost, back: with `side`, `since` and `reason`).",
    "",
    "## One volume as JSON or YAML",
    "",
    "`rds-csi volumes show NAME -o json` prints one object of kind `Volume`. Below `rds` and `kubernetes` each thing has",
    "`state`: `known` (with `value`), `absent` (confirmed) or `unknown` (with `reason`, and `remedy` if it is an error).",
    "",
    "| field | meaning |",
    "| --- | --- |",
    "| `handle`, `name`, `time` | the volume, its name as it was given, and when it was looked up; `handle` is null when the name is not found and a side does not answer |",
    "| `state` | available, attached, migrating, copying, broken, foreign, missing (no disk item) or unknown |",
    "| `rds` | `disk`, `record`, `file`, `pool`, `snapshots` |",
    "| `kubernetes` | `persistentVolume`, `otherPersistentVolumes`, `claim`, `storageClass`, `attachments`, `pods`, `machines`, `events` |",
    "| `drift` | `{id, severity, about, text, rds, kubernetes, node, remedy}`, the worst first |",
    "",
    "Exit code 1 when the RDS does not answer; what the cluster says is printed all the same.",
    "",
    "## Orphans as JSON or YAML",
    "",
    "`rds-csi volumes orphans -o json` prints one object of kind `OrphanList`: `items`, and `total`, which counts orphans of every kind and age. With",
    "`--delete` it is printed when all is done: `carriedOut` says whether `--yes` was given, and each item has `action` (delete or keep) and `outcome`:",
    "deleted, the reason why it was kept, or null where nothing was tried.",
    "",
    "| field of an item | meaning |",
    "| --- | --- |",
    ...ORPHAN_FIELDS.map(([name, text]) => `| \`${name}\` | ${text} |`),
    "",
    "## Snapshots as JSON or YAML",
    "",
    "`rds-csi snapshots list -o json` prints one object of kind `SnapshotList`: `items`, `total` and `unknown` as of the list of",
    "volumes, and `bytesAtMost`, the bytes that the selected snapshots may hold at most. `rds-csi snapshots show NAME -o json` prints",
    "one item as an object of kind `Snapshot`.",
    "",
    "| field of an item | meaning |",
    "| --- | --- |",
    ...SNAPSHOT_FIELDS.map(([name, text]) => `| \`${name}\` | ${text} |`),
    "",
    "`rds-csi snapshots prune -o json` prints one object of kind `SnapshotPrune` when it is done: `namespace`, `carriedOut` (whether",
    "`--yes` was given) and `items` of `{name, claim, createdAt, cutAt, action, why, outcome}`. `createdAt` is the time of the VolumeSnapshot by",
    "Kubernetes, `cutAt` that of the cut by the RDS; each is null where it is not known. `action` is delete or keep; `outcome` is null",
    "where nothing was deleted, else deleted, absent (it was gone already) or replaced (one of the same name was made anew, and kept).",
  ].join("\n")}\n`;
}
