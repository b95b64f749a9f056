import { Command, InvalidArgumentError, Option } from "commander";
import { commandOptions } from "../config/options.ts";
import { SHELLS, type Shell } from "./completion.ts";
import { addOptions, inputOf } from "./configured-options.ts";
import { EXIT_CODE_DOCS, ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { versionText } from "./version.ts";
import { addListOptions, listSelection } from "./volumes/list-options.ts";
import { addRecordCommand } from "./volumes/record-command.ts";

const EXIT_CODES = `\nExit codes:\n${EXIT_CODE_DOCS.map(([code, text]) => `  ${code}  ${text}`).join("\n")}`;

const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;

function seconds(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 3_600) throw new InvalidArgumentError("Expected a whole number from 1 to 3600.");
  return value;
}

/**
 * The command tree. Each action imports what it needs when it runs, so that small commands load nothing heavy.
 * @param done is given the exit code of the command that ran
 */
export function buildProgram(io: Io, done: (code: number) => void): Command {
  const program = new Command("rds-csi")
    .description(
      "Kubernetes CSI driver for the MikroTik ROSE Data Server: NVMe/TCP volumes, managed over SSH",
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      getOutHelpWidth: () => io.columns ?? 100,
      getErrHelpWidth: () => io.columns ?? 100,
    })
    .showHelpAfterError("Run the command with --help for its options.")
    .helpCommand(true)
    .addHelpText("afterAll", EXIT_CODES)
    .version(versionText("text").trimEnd(), "-V, --version", "print the version");

  const controller = addOptions(
    program.command("controller").description("serve the CSI Identity and Controller services (Deployment)"),
    commandOptions.controller,
  )
    .addHelpText(
      "after",
      examples(
        "rds-csi controller --rds-address 192.0.2.1 --rds-key-file /etc/rds/key \\",
        "  --rds-host-key SHA256:… --nodes node-a,node-b",
        "rds-csi controller --config /etc/rds-csi/config.yaml",
      ),
    )
    .action(async () => {
      const { loadControllerConfig } = await import("../config/load.ts");
      const config = await loadControllerConfig(inputOf(controller, commandOptions.controller, io.env));
      const { runController } = await import("./controller.ts");
      await runController(config, { stop: io.stop });
      done(ExitCode.ok);
    });

  const node = addOptions(
    program.command("node").description("serve the CSI Identity and Node services (DaemonSet, as root)"),
    commandOptions.node,
  )
    .addHelpText(
      "after",
      examples('rds-csi node --node-id "$NODE_NAME"', "rds-csi node --config /etc/rds-csi/config.yaml"),
    )
    .action(async () => {
      const { loadNodeConfig } = await import("../config/load.ts");
      const config = await loadNodeConfig(inputOf(node, commandOptions.node, io.env));
      const { runNode } = await import("./node.ts");
      await runNode(config, { stop: io.stop });
      done(ExitCode.ok);
    });

  const simulate = addOptions(
    program.command("simulate").description("run an RDS in software that answers RouterOS commands over SSH"),
    commandOptions.simulate,
  )
    .addHelpText(
      "after",
      `\nPrints one line "ready <host>:<port> <fingerprint>" on standard output once SSH is answered.\n${examples(
        "rds-csi simulate --dir /tmp/rds --authorized-keys-file ~/.ssh/id_ed25519.pub --host-key-file /tmp/rds.pub",
        "rds-csi simulate --dir /tmp/rds --authorized-keys-file /tmp/k.pub --profile hostile --switch ready-delay-ms=500",
      )}`,
    )
    .action(async () => {
      const { loadSimulateConfig } = await import("../config/load.ts");
      const config = await loadSimulateConfig(inputOf(simulate, commandOptions.simulate, io.env));
      const { runSimulate } = await import("./simulate.ts");
      await runSimulate(config, io);
      done(ExitCode.ok);
    });

  const diagnose = addOptions(
    program
      .command("diagnose")
      .description("find out what is wrong with this node's volumes; on a node, as root; changes nothing"),
    commandOptions.diagnose,
  )
    .addOption(
      new Option("-o, --output <format>", "form of the report")
        .choices(["table", "wide", "json", "yaml"])
        .default("table"),
    )
    .addOption(new Option("--timeout <seconds>", "limit for the whole command").argParser(seconds).default(8))
    .option("--volume <name>", "only this volume: its handle, PersistentVolume or claim (namespace/name)")
    .option("--bundle <file>", "also write everything, without secrets, to a new file, to hand on")
    .addHelpText(
      "after",
      examples(
        "kubectl exec -n rds-csi ds/rds-csi-node -c driver -- rds-csi diagnose",
        "rds-csi diagnose --config /etc/rds-csi/config.yaml --storage-address 192.0.2.1",
        "rds-csi diagnose -o json | jq '.findings[0]'",
      ),
    )
    .action(async (options) => {
      const { runDiagnose } = await import("./diagnose/command.ts");
      const { output, volume, bundle, timeout: timeoutSeconds } = options;
      const input = inputOf(diagnose, commandOptions.diagnose, io.env);
      done(await runDiagnose(input, { output, volume, bundle, timeoutSeconds }, io));
    });

  const volumes = program
    .command("volumes")
    .description("look at the volumes on the RDS, and put a lost record back");
  const list = addListOptions(
    addOptions(
      volumes.command("list").description("list the volumes on the RDS with their problems"),
      commandOptions.volumes,
    ),
  )
    .addOption(
      new Option("-o, --output <format>", "form of the list")
        .choices(["table", "wide", "json", "yaml"])
        .default("table"),
    )
    .option("--fail-on-problems", "exit with code 3 when a listed volume has a problem", false)
    .addOption(
      new Option(
        "--watch",
        "repeat until SIGINT or SIGTERM: a terminal is redrawn, a pipe gets one line for each change",
      )
        .default(false)
        .conflicts("failOnProblems"),
    )
    .addOption(
      new Option("--interval <seconds>", "pause between two looks of --watch").argParser(seconds).default(2),
    )
    .addOption(
      new Option("--timeout <seconds>", "limit for the whole command, with --watch for each look")
        .argParser(seconds)
        .default(30),
    )
    .addHelpText(
      "after",
      examples(
        "rds-csi volumes list --config /etc/rds-csi/config.yaml",
        "rds-csi volumes list --problems",
        "rds-csi volumes list -n vms,shop --node worker-1 --sort size",
        "rds-csi volumes list --watch --interval 5",
        "rds-csi volumes list -o json | jq '.items[] | select(.state == \"broken\")'",
        "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes list",
      ),
    )
    .action(async (options) => {
      const { output, failOnProblems, watch, interval: intervalSeconds, timeout: timeoutSeconds } = options;
      const input = inputOf(list, commandOptions.volumes, io.env);
      const chosen = listSelection(options);
      if (watch) {
        if (output === "yaml") return list.error("error: --watch has the forms table, wide and json");
        const { runVolumesWatch } = await import("./volumes/watch.ts");
        return done(await runVolumesWatch(input, { output, intervalSeconds, timeoutSeconds, ...chosen }, io));
      }
      const { runVolumesList } = await import("./volumes/list.ts");
      done(await runVolumesList(input, { output, failOnProblems, timeoutSeconds, ...chosen }, io));
    });

  const show = addOptions(
    volumes
      .command("show")
      .description("show everything about one volume, RDS and cluster side by side, with what disagrees")
      .argument("<name>", "claim (namespace/name), PersistentVolume, volume handle or CSI volume name"),
    commandOptions.volumes,
  )
    .option("-n, --namespace <namespace>", "the name is that of a claim in this namespace")
    .addOption(
      new Option("-o, --output <format>", "form of the answer")
        .choices(["table", "json", "yaml"])
        .default("table"),
    )
    .option(
      "--fail-on-problems",
      "exit with code 3 when errors or warnings are found, with 1 when the cluster does not answer",
      false,
    )
    .addOption(
      new Option("--timeout <seconds>", "limit for the whole command").argParser(seconds).default(30),
    )
    .addHelpText(
      "after",
      examples(
        "rds-csi volumes show vms/database --orchestrator kubernetes --kubeconfig ~/.kube/config",
        "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes show -n vms database",
      ),
    )
    .action(async (text: string, options) => {
      const { parseVolumeName } = await import("../inspect/resolve.ts");
      const name = parseVolumeName(text, options.namespace);
      if (name === undefined)
        return show.error("error: expected namespace/name, or a name and maybe --namespace");
      const { runVolumesShow } = await import("./volumes/show.ts");
      const { output, failOnProblems, timeout: timeoutSeconds } = options;
      const input = inputOf(show, commandOptions.volumes, io.env);
      done(await runVolumesShow(input, { name, output, failOnProblems, timeoutSeconds }, io));
    });

  addRecordCommand(volumes, io, done);

  program
    .command("version")
    .description("print version, commit and runtime")
    .addOption(
      new Option("-o, --output <format>", "form of the answer").choices(["text", "json"]).default("text"),
    )
    .action(({ output }) => {
      io.out(versionText(output));
      done(ExitCode.ok);
    });

  program
    .command("completion")
    .description("print a completion script for a shell")
    .addHelpText(
      "after",
      examples(
        "source <(rds-csi completion bash)",
        "rds-csi completion fish > ~/.config/fish/completions/rds-csi.fish",
      ),
    )
    .argument("<shell>", SHELLS.join(", "), (text): Shell => {
      const shell = SHELLS.find((known) => known === text);
      if (shell === undefined) throw new InvalidArgumentError(`Expected one of ${SHELLS.join(", ")}.`);
      return shell;
    })
    .action(async (shell: Shell) => {
      const { completionScript } = await import("./completion.ts");
      io.out(completionScript(program, shell));
      done(ExitCode.ok);
    });

  return program;
}
