import type { OptionTable } from "../../config/option.ts";
import { ORPHAN_KINDS } from "../../inspect/orphan.ts";
import type { CliCommand } from "../command.ts";
import type { Io } from "../io.ts";

/** Adds `volumes orphans` to the command tree. @param options its configuration @param done is given the exit code */
export function addOrphansCommand(
  volumes: CliCommand,
  io: Io,
  options: OptionTable,
  done: (code: number) => void,
): void {
  const orphans: CliCommand = volumes
    .command("orphans")
    .description(
      "list disks, files, subvolumes and snapshots on the RDS that nothing in this cluster names, or delete some",
    )
    .argument("[names...]", "with --delete: volume handles or snapshot handles, in full")
    .choice("-o, --output <format>", "form of the list or plan", ["table", "wide", "json", "yaml"])
    .names("--kind <kinds>", "only orphans of these kinds", ORPHAN_KINDS)
    .duration("--older-than <duration>", "only orphans that are known to be older, such as 36h or 7d")
    .option("--delete", "plan to delete the named orphans with their data, or those of --all", false)
    .option(
      "--all",
      "with --delete: every listed orphan whose record proves that it is this cluster's",
      false,
    )
    .option("--yes", "carry out the plan of --delete", false)
    .seconds("--timeout <seconds>", "limit for the list, and for each deletion", 60)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -c driver -- rds-csi volumes orphans",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -c driver -- rds-csi volumes orphans --delete csi-3f5a4531819003c5bfbfc10c036d",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -c driver -- rds-csi volumes orphans --kind snapshot --older-than 30d --delete --all --yes",
    )
    .action(async (names: string[], given) => {
      const { output, delete: isDeletion, all, yes, timeout: timeoutSeconds } = given;
      const { kind: kinds = [], olderThan: olderThanSeconds } = given;
      if (!isDeletion && (all || yes || names.length > 0))
        return orphans.error("error: names, --all and --yes go with --delete");
      if (isDeletion && all === names.length > 0)
        return orphans.error("error: --delete takes either names or --all");
      const { runVolumesOrphans } = await import("./orphans.ts");
      const deletion = isDeletion ? { names, yes } : undefined;
      const chosen = { output, kinds, olderThanSeconds, deletion, timeoutSeconds };
      done(await runVolumesOrphans(orphans.input(io.env), chosen, io));
    });
}
