import type { OptionTable } from "../../config/option.ts";
import { pruneOptions } from "../../config/options.ts";
import type { CliCommand } from "../command.ts";
import type { Io } from "../io.ts";
import { SNAPSHOT_STATES } from "./model.ts";
import { SNAPSHOT_SORT_KEYS } from "./select.ts";

/** Most VolumeSnapshots of a claim that `snapshots prune` can keep. */
const MOST_KEPT = 10_000;

/** Adds `snapshots …` to the command tree. @param options of the commands that ask the RDS @param done is given the exit code */
export function addSnapshotCommands(
  program: CliCommand,
  io: Io,
  options: OptionTable,
  done: (code: number) => void,
): void {
  const snapshots = program
    .command("snapshots")
    .description("show the snapshots on the RDS, or prune VolumeSnapshots of a schedule");
  addList(snapshots, io, options, done);
  addShow(snapshots, io, options, done);
  // Without options of the configuration for another command, as `buildProgram` says.
  addPrune(snapshots, io, Object.keys(options).length === 0 ? {} : pruneOptions, done);
}

type Add = (snapshots: CliCommand, io: Io, options: OptionTable, done: (code: number) => void) => void;

const addList: Add = (snapshots, io, options, done) => {
  const list: CliCommand = snapshots
    .command("list")
    .description("list every snapshot on the RDS, and the VolumeSnapshots that name them")
    .choice("-o, --output <format>", "form of the list", ["table", "wide", "json", "yaml"])
    .names(
      "-n, --namespace <names>",
      "only snapshots of claims, or named by VolumeSnapshots, in these namespaces",
    )
    .names("--source <names>", "only snapshots of these volumes: volume handles, or claims as namespace/name")
    .names("--state <states>", "only snapshots in these states", SNAPSHOT_STATES)
    .choice(
      "--sort <key>",
      "order of the table; JSON and YAML go by handle unless it is given",
      SNAPSHOT_SORT_KEYS,
    )
    .option(
      "--fail-on-problems",
      "exit with code 3 when a listed snapshot is missing or unnamed, with 1 when the cluster does not answer",
      false,
    )
    .seconds("--timeout <seconds>", "limit for the whole command", 30)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi snapshots list",
      "rds-csi snapshots list --state unnamed,missing -o wide",
      "rds-csi snapshots list --source vms/database -o json | jq '.items[].createdAt'",
    )
    .action(async (given) => {
      const { output, failOnProblems, timeout: timeoutSeconds } = given;
      const { namespace: namespaces = [], source: sources = [], state: states = [] } = given;
      const sort = list.getOptionValueSource("sort") === "default" ? undefined : given.sort;
      const selection = { namespaces, sources, states };
      const { runSnapshotsList } = await import("./list.ts");
      const chosen = { output, failOnProblems, timeoutSeconds, selection, sort };
      done(await runSnapshotsList(list.input(io.env), chosen, io));
    });
};

const addShow: Add = (snapshots, io, options, done) => {
  const show: CliCommand = snapshots
    .command("show")
    .description("show one snapshot: its source, size and age, and the objects that name it")
    .argument(
      "<name>",
      "snapshot handle, VolumeSnapshot (namespace/name), VolumeSnapshotContent, or its beginning",
    )
    .option("-n, --namespace <namespace>", "the name is a VolumeSnapshot in this namespace")
    .choice("-o, --output <format>", "form of the answer", ["table", "json", "yaml"])
    .option(
      "--fail-on-problems",
      "exit with code 3 when it is missing or unnamed, with 1 when the cluster does not answer",
      false,
    )
    .seconds("--timeout <seconds>", "limit for the whole command", 30)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi snapshots show vms/database-monday",
    )
    .action(async (text: string, given) => {
      const name = await show.nameOf(text, given.namespace);
      const { runSnapshotsShow } = await import("./show.ts");
      const { output, failOnProblems, timeout: timeoutSeconds } = given;
      const chosen = { name, output, failOnProblems, timeoutSeconds };
      done(await runSnapshotsShow(show.input(io.env), chosen, io));
    });
};

const addPrune: Add = (snapshots, io, options, done) => {
  const prune: CliCommand = snapshots
    .command("prune")
    .description("plan which VolumeSnapshots of a schedule to delete, or delete them; asks Kubernetes only")
    .count(
      "--keep <count>",
      "so many ready VolumeSnapshots of this driver stay of each claim, the newest; those on whose age the clocks of Kubernetes and the RDS disagree stay as well",
      1,
      MOST_KEPT,
    )
    .duration("--older-than <duration>", "delete only those that are older by both clocks, such as 36h or 7d")
    .option(
      "-n, --namespace <namespace>",
      "namespace of the VolumeSnapshots; default: that of the pod or kubeconfig",
    )
    .option("-l, --selector <labels>", "only VolumeSnapshots with these labels, such as schedule=nightly")
    .names("--source <claims>", "only VolumeSnapshots of these claims")
    .choice("-o, --output <format>", "form of the plan", ["table", "json"])
    .option("--yes", "delete the VolumeSnapshots of the plan", false)
    .seconds("--timeout <seconds>", "limit for the whole command", 60)
    .configured(options)
    .examples(
      io,
      "rds-csi snapshots prune --keep 7 -n vms --selector schedule=nightly --orchestrator kubernetes --kubeconfig ~/.kube/config",
      "rds-csi snapshots prune --keep 7 --older-than 7d -n vms --source database --orchestrator kubernetes --kubeconfig ~/.kube/config --yes",
    )
    .action(async (given) => {
      const { keep, olderThan: olderThanSeconds, namespace, selector, source: sources = [] } = given;
      // All snapshots of a namespace are more than one schedule has made. An empty selector, as of an unset variable, would select them.
      if ((selector ?? "").trim() === "" && sources.length === 0)
        return prune.error(
          "error: --selector or --source must say which VolumeSnapshots the schedule has made",
        );
      const { output, yes, timeout: timeoutSeconds } = given;
      const { runSnapshotsPrune } = await import("./prune.ts");
      const chosen = { keep, olderThanSeconds, namespace, selector, sources, output, yes, timeoutSeconds };
      done(await runSnapshotsPrune(prune.input(io.env), chosen, io));
    });
};
