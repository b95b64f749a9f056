import { failure } from "../../domain/errors/driver-error.ts";
import { versionText } from "../../observability/build-info.ts";
import { CliCommand } from "../command.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { findPod, type Kubectl, type Wanted } from "./pods.ts";

/** Starts kubectl with the terminal of this process. @returns its exit code */
export type Attached = (args: readonly string[]) => Promise<number>;

export interface PluginDeps {
  readonly kubectl: Kubectl;
  readonly attached: Attached;
  /** Whether standard input and output are terminals. */
  readonly isTerminal: boolean;
}

/** Options that name a file: it would be one of the pod. */
const FILES: readonly string[] = ["--bundle"];

/**
 * `kubectl rds …`: the executable under the name `kubectl-rds`. It runs the commands in the driver's pods, which have configuration, key and
 * rights, so that none of them is needed here: kubectl finds the pods and starts the command.
 * @param done is given the exit code of the command that ran
 */
export function buildPlugin(io: Io, deps: PluginDeps, done: (code: number) => void): CliCommand {
  const plugin = new CliCommand("kubectl rds")
    .description("look at rds-csi through the pods of a cluster; needs neither key nor configuration here")
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .enablePositionalOptions()
    .passThroughOptions()
    .option(
      "--namespace <namespace>",
      "where rds-csi is installed; default: rds-csi, else wherever its pods are",
    )
    .option("--context <name>", "of the kubeconfig, as for kubectl")
    .option("--kubeconfig <path>", "as for kubectl")
    .showHelpAfterError("Run `kubectl rds --help`.")
    .version(versionText("text").trimEnd(), "-V, --version", "print the version");

  const run = async (component: Wanted["component"], node: string | undefined, args: readonly string[]) => {
    const { namespace, context, kubeconfig } = plugin.opts<Record<string, string | undefined>>();
    const file = args.find((word) => FILES.some((each) => word === each || word.startsWith(`${each}=`)));
    if (file !== undefined) throw failure("pluginFile", { option: file.replace(/=.*$/s, "") });
    const to = [
      ...(context === undefined ? [] : ["--context", context]),
      ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
    ];
    const pod = await findPod((words) => deps.kubectl([...to, ...words]), { component, node, namespace });
    const terminal = deps.isTerminal ? ["-i", "-t"] : [];
    const where = ["-n", pod.namespace, pod.name, "-c", "driver"];
    done(await deps.attached([...to, "exec", ...terminal, ...where, "--", "rds-csi", ...args]));
  };

  for (const [name, description] of [
    ["volumes", "`rds-csi volumes …` in a controller pod"],
    ["snapshots", "`rds-csi snapshots …` in a controller pod"],
  ] as const)
    plugin
      .command(name)
      .description(description)
      .argument("[words...]", "its words and options")
      .helpOption(false)
      .passThroughOptions()
      .allowUnknownOption()
      .action((words: readonly string[]) => run("controller", undefined, [name, ...words]));
  plugin
    .command("diagnose")
    .description("`rds-csi diagnose …` in the pod of a node")
    .argument("<node>", "name of the node")
    .argument("[words...]", "its options")
    .passThroughOptions()
    .allowUnknownOption()
    .action((node: string, words: readonly string[]) => run("node", node, ["diagnose", ...words]));
  plugin
    .command("version")
    .description("print the version of this plugin, and that of the controller")
    .action(async () => {
      io.out(versionText("text"));
      await run("controller", undefined, ["version"]);
    });
  plugin.addHelpText(
    "after",
    `
Examples:
  kubectl rds volumes list --problems
  kubectl rds volumes show vms/database
  kubectl rds snapshots list
  kubectl rds diagnose worker-1
  kubectl rds --context lab --namespace storage volumes list --watch

The exit code is that of the command; ${ExitCode.failure} when no pod can run it.`,
  );
  return plugin;
}
