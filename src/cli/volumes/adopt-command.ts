import type { OptionTable } from "../../config/option.ts";
import type { CliCommand } from "../command.ts";
import type { Io } from "../io.ts";

/** Adds `volumes adopt` to the command tree. @param options its configuration @param done is given the exit code */
export function addAdoptCommand(
  volumes: CliCommand,
  io: Io,
  options: OptionTable,
  done: (code: number) => void,
): void {
  const adopt: CliCommand = volumes
    .command("adopt")
    .description("plan or write the first record of volumes that the earlier Go driver made")
    .argument("[name]", "claim (namespace/name), PersistentVolume or volume handle; or --all")
    .option("-n, --namespace <namespace>", "the name is a claim in this namespace")
    .option("--all", "all such volumes that a PersistentVolume of this cluster names", false)
    .option("--undo", "plan to give adopted volumes back to the earlier driver", false)
    .option("--yes", "carry out the plan", false)
    .seconds("--timeout <seconds>", "limit for the whole command", 300)
    .configured(options)
    .examples(
      io,
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes adopt --all",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes adopt vms/database --yes",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes adopt --all --undo",
    )
    .action(async (text: string | undefined, options) => {
      const { all, undo, yes, namespace, timeout: timeoutSeconds } = options;
      if ((text === undefined) !== all) return adopt.error("error: expected a name, or --all");
      if (all && namespace !== undefined) return adopt.error("error: --namespace goes with a name");
      const name = text === undefined ? undefined : await adopt.nameOf(text, namespace);
      const chosen = { name, yes, timeoutSeconds };
      if (undo) {
        const { runVolumesAdoptUndo } = await import("./adopt-undo.ts");
        return done(await runVolumesAdoptUndo(adopt.input(io.env), chosen, io));
      }
      const { runVolumesAdopt } = await import("./adopt.ts");
      done(await runVolumesAdopt(adopt.input(io.env), chosen, io));
    });
}
