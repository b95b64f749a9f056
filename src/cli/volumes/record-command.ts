import { Option } from "commander";
import type { OptionTable } from "../../config/option.ts";
import type { CliCommand } from "../command.ts";
import type { Io } from "../io.ts";

/** Adds `volumes record` to the command tree. @param options its configuration @param done is given the exit code */
export function addRecordCommand(
  volumes: CliCommand,
  io: Io,
  options: OptionTable,
  done: (code: number) => void,
): void {
  const record: CliCommand = volumes
    .command("record")
    .description("show a volume's record on the RDS, or restore a damaged one")
    .argument("<name>", "claim (namespace/name), PersistentVolume, volume handle or CSI volume name")
    .option("-n, --namespace <namespace>", "the name is a claim in this namespace")
    .choice("-o, --output <format>", "form of the record", ["text", "json"])
    .addOption(
      new Option("--restore", "plan to put back the copy that the controller kept")
        .default(false)
        .conflicts("rebuild"),
    )
    .option("--rebuild", "plan a record from the PersistentVolume and its VolumeAttachments", false)
    .option("--yes", "carry out the plan of --restore or --rebuild", false)
    .option("--replace-readable", "replace also a record that can be read", false)
    .seconds("--timeout <seconds>", "limit for the whole command", 30)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database --restore",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database --restore --yes",
    )
    .action(async (text: string, options) => {
      const name = await record.nameOf(text, options.namespace);
      const { restore, rebuild, yes, replaceReadable, output, timeout: timeoutSeconds } = options;
      const action = restore ? "restore" : rebuild ? "rebuild" : undefined;
      if (action === undefined && (yes || replaceReadable))
        return record.error("error: --yes and --replace-readable go with --restore or --rebuild");
      const { runVolumesRecord } = await import("./record.ts");
      const input = record.input(io.env);
      done(await runVolumesRecord(input, { name, output, action, yes, replaceReadable, timeoutSeconds }, io));
    });
}
