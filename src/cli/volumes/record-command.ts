import { type Command, InvalidArgumentError, Option } from "commander";
import { commandOptions } from "../../config/options.ts";
import { addOptions, inputOf } from "../configured-options.ts";
import type { Io } from "../io.ts";

function seconds(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 3_600) throw new InvalidArgumentError("Expected a whole number from 1 to 3600.");
  return value;
}

/** Adds `volumes record` to the command tree. @param done is given the exit code */
export function addRecordCommand(volumes: Command, io: Io, done: (code: number) => void): void {
  const record = addOptions(
    volumes
      .command("record")
      .description("show a volume's record on the RDS, or put it back after it was damaged")
      .argument("<name>", "claim (namespace/name), PersistentVolume, volume handle or CSI volume name"),
    commandOptions.volumes,
  )
    .option("-n, --namespace <namespace>", "the name is that of a claim in this namespace")
    .addOption(
      new Option("-o, --output <format>", "form of the record").choices(["text", "json"]).default("text"),
    )
    .addOption(
      new Option("--restore", "put back the copy that the controller kept; shows what it would do")
        .default(false)
        .conflicts("rebuild"),
    )
    .option(
      "--rebuild",
      "make a record from the PersistentVolume and its VolumeAttachments; shows what it would do",
      false,
    )
    .option("--yes", "write what --restore or --rebuild shows", false)
    .option("--replace-readable", "also if the present record can be read", false)
    .addOption(
      new Option("--timeout <seconds>", "limit for the whole command").argParser(seconds).default(30),
    )
    .addHelpText(
      "after",
      `\nExamples:\n${[
        "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database",
        "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database --restore",
        "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes record vms/database --restore --yes",
      ]
        .map((line) => `  ${line}`)
        .join("\n")}`,
    )
    .action(async (text: string, options) => {
      const { parseVolumeName } = await import("../../inspect/resolve.ts");
      const name = parseVolumeName(text, options.namespace);
      if (name === undefined)
        return record.error("error: expected namespace/name, or a name and maybe --namespace");
      const { restore, rebuild, yes, replaceReadable, output, timeout: timeoutSeconds } = options;
      const action = restore ? "restore" : rebuild ? "rebuild" : undefined;
      if (action === undefined && (yes || replaceReadable))
        return record.error("error: --yes and --replace-readable go with --restore or --rebuild");
      const { runVolumesRecord } = await import("./record.ts");
      const input = inputOf(record, commandOptions.volumes, io.env);
      done(await runVolumesRecord(input, { name, output, action, yes, replaceReadable, timeoutSeconds }, io));
    });
}
