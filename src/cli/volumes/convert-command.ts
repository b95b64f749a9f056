import type { OptionTable } from "../../config/option.ts";
import type { CliCommand } from "../command.ts";
import type { Io } from "../io.ts";

/** Adds `volumes convert` to the command tree. @param options its configuration @param done is given the exit code */
export function addConvertCommand(
  volumes: CliCommand,
  io: Io,
  options: OptionTable,
  done: (code: number) => void,
): void {
  const convert: CliCommand = volumes
    .command("convert")
    .description("move a volume that is not attached into a Btrfs subvolume, so that it can be snapshotted")
    .argument("<name>", "claim (namespace/name), PersistentVolume, volume handle or CSI volume name")
    .option("-n, --namespace <namespace>", "the name is a claim in this namespace")
    .option("--yes", "carry out the plan, or go on with it", false)
    .option("--abort", "plan to give up a conversion that was begun, before its step switch", false)
    .seconds("--timeout <seconds>", "limit for finding the volume and making the plan", 30)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes convert vms/database",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes convert vms/database --yes",
    )
    .action(async (text: string, options) => {
      const { parseVolumeName } = await import("../../inspect/resolve.ts");
      const name = parseVolumeName(text, options.namespace);
      if (name === undefined)
        return convert.error("error: expected namespace/name, or a name and maybe --namespace");
      const { runVolumesConvert } = await import("./convert.ts");
      const { yes, abort, timeout: timeoutSeconds } = options;
      done(await runVolumesConvert(convert.input(io.env), { name, yes, abort, timeoutSeconds }, io));
    });
}
