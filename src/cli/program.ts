import { Argument, Option } from "commander";
import type { OptionTable } from "../config/option.ts";
import { versionText } from "../observability/build-info.ts";
import { CliCommand } from "./command.ts";
import { SHELLS, type Shell } from "./completion.ts";
import { wrap } from "./diagnose/wrap.ts";
import { EXIT_CODE_DOCS, ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { type ConfiguredCommand, commandOptions } from "./options.ts";
import { addSnapshotCommands } from "./snapshots/command.ts";
import { addAdoptCommand } from "./volumes/adopt-command.ts";
import { addConvertCommand } from "./volumes/convert-command.ts";
import { addOrphansCommand } from "./volumes/orphans-command.ts";
import { addRecordCommand } from "./volumes/record-command.ts";
import { LISTED_STATES, SORT_KEYS } from "./volumes/select.ts";

/** Columns of help that goes to no terminal. */
const DEFAULT_WIDTH = 100;

const READY_LINE =
  'Prints one line "ready <host>:<port> <fingerprint>" on standard output once SSH is answered.';

/**
 * The command tree. Each action imports what it needs when it runs, so that small commands load nothing heavy.
 * @param done is given the exit code of the command that ran
 * @param first the first word of the command line: a command that it does not name gets no configuration options, which are a tenth
 * of a service's start
 */
export function buildProgram(io: Io, done: (code: number) => void, first = ""): CliCommand {
  const optionsOf = (name: ConfiguredCommand): OptionTable =>
    Object.hasOwn(commandOptions, first) && name !== first ? {} : commandOptions[name];
  const exitCodes = EXIT_CODE_DOCS.map(([code, text]) => `  ${code}  ${text}`);
  const program = new CliCommand("rds-csi")
    .description(
      "Kubernetes CSI driver for the MikroTik ROSE Data Server: NVMe/TCP volumes, managed over SSH",
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      getOutHelpWidth: () => io.columns ?? DEFAULT_WIDTH,
      getErrHelpWidth: () => io.columns ?? DEFAULT_WIDTH,
    })
    .showHelpAfterError("Run the command with --help for its options.")
    .helpCommand(true)
    .addHelpText(
      "afterAll",
      () => `\nExit codes:\n${exitCodes.flatMap((line) => wrap(line, io.columns, "     ")).join("\n")}`,
    )
    .version(versionText("text").trimEnd(), "-V, --version", "print the version");

  const controller: CliCommand = program
    .command("controller")
    .description("serve the CSI Identity and Controller services (Deployment)")
    .configured(optionsOf("controller"))
    .examples(
      io,
      "rds-csi controller --rds-address 192.0.2.1 --rds-key-file /etc/rds/key --rds-host-key SHA256:… --nodes node-a,node-b",
      "rds-csi controller --config /etc/rds-csi/config.yaml",
    )
    .action(async () => {
      const { loadControllerConfig } = await import("../config/load.ts");
      const config = await loadControllerConfig(controller.input(io.env));
      const { runController } = await import("./controller.ts");
      await runController(config, { stop: io.stop });
      done(ExitCode.ok);
    });

  const node: CliCommand = program
    .command("node")
    .description("serve the CSI Identity and Node services (DaemonSet, as root)")
    .configured(optionsOf("node"))
    .examples(io, 'rds-csi node --node-id "$NODE_NAME"', "rds-csi node --config /etc/rds-csi/config.yaml")
    .action(async () => {
      const { loadNodeConfig } = await import("../config/load.ts");
      const config = await loadNodeConfig(node.input(io.env));
      const { runNode } = await import("./node.ts");
      await runNode(config, { stop: io.stop });
      done(ExitCode.ok);
    });

  const simulate: CliCommand = program
    .command("simulate")
    .description("run an RDS in software that answers RouterOS commands over SSH")
    .configured(optionsOf("simulate"))
    .addHelpText("after", () => `\n${wrap(READY_LINE, io.columns).join("\n")}`)
    .examples(
      io,
      "rds-csi simulate --dir /tmp/rds --authorized-keys-file ~/.ssh/id_ed25519.pub --host-key-file /tmp/rds.pub",
      "rds-csi simulate --dir /tmp/rds --authorized-keys-file /tmp/k.pub --profile hostile --switch ready-delay-ms=500",
    )
    .action(async () => {
      const { loadSimulateConfig, runSimulate } = await import("./simulate.ts");
      await runSimulate(await loadSimulateConfig(simulate.input(io.env)), io);
      done(ExitCode.ok);
    });

  const diagnose: CliCommand = program
    .command("diagnose")
    .description(
      "find the causes of problems with this node's volumes; on the node, as root; changes nothing",
    )
    .choice("-o, --output <format>", "form of the report", ["table", "wide", "json", "yaml"])
    .seconds("--timeout <seconds>", "limit for the whole command", 8)
    .option("--volume <name>", "only this volume: handle, PersistentVolume or claim (namespace/name)")
    .option("--bundle <file>", "also write all facts, without secrets, to a new file, for support")
    .configured(optionsOf("diagnose"))
    .examples(
      io,
      "kubectl exec -n rds-csi ds/rds-csi-node -c driver -- rds-csi diagnose",
      "rds-csi diagnose --config /etc/rds-csi/config.yaml --storage-address 192.0.2.1",
      "rds-csi diagnose -o json | jq '.findings[0]'",
    )
    .action(async (options) => {
      const { runDiagnose } = await import("./diagnose/command.ts");
      const { output, volume, bundle, timeout: timeoutSeconds } = options;
      done(await runDiagnose(diagnose.input(io.env), { output, volume, bundle, timeoutSeconds }, io));
    });

  const probe: CliCommand = program
    .command("probe")
    .description("find out how this RDS answers, before the driver relies on it; by default it only reads")
    .option("--read-only", "ask only questions that change nothing, as without any of the next flags", false)
    .option("--scratch", "also make disks, files and subvolumes named csi-probe…, and remove them", false)
    .option("--exported", "also export such disks, without a host", false)
    .option("--node", "also connect this machine to such disks; as root, on a node without the driver", false)
    .option(
      "--before-reboot",
      "only make a disk that a reboot is to leave as it is; the person reboots",
      false,
    )
    .option("--after-reboot", "only compare that disk, and remove it", false)
    .choice("-o, --output <format>", "form of the report", ["text", "json"])
    .option(
      "--save <file>",
      "also write the answers to a new file, for simulate --profile-file and controller --device-profile",
    )
    .option(
      "--bundle <file>",
      "also write the report and every line that was sent to a new file, redacted, for an issue",
    )
    .seconds("--idle <seconds>", "how long a connection is left alone in the experiment about that", 90)
    .configured(optionsOf("probe"))
    .examples(
      io,
      "rds-csi probe --config /etc/rds-csi/config.yaml",
      "rds-csi probe --config /etc/rds-csi/config.yaml --scratch --exported --save box.yaml",
    )
    .action(async (options) => {
      const { runProbe } = await import("./probe.ts");
      const {
        output,
        save,
        bundle,
        idle: idleSeconds,
        readOnly,
        scratch,
        exported,
        node,
        beforeReboot,
        afterReboot,
      } = options;
      const chosen = { scratch, exported, node, reboot: afterReboot };
      const given = { output, save, bundle, idleSeconds, readOnly, chosen, beforeReboot };
      done(await runProbe(probe.input(io.env), given, io));
    });

  const check: CliCommand = program
    .command("check")
    .description(
      "look whether the RDS is ready for the driver: login, version, rights, clock, pool, port; changes nothing",
    )
    .choice("-o, --output <format>", "form of the report", ["text", "json"])
    .seconds("--timeout <seconds>", "limit for the whole command", 30)
    .configured(optionsOf("check"))
    .examples(io, "rds-csi check --config /etc/rds-csi/config.yaml")
    .action(async ({ output, timeout: timeoutSeconds }) => {
      const { runCheck } = await import("./check.ts");
      done(await runCheck(check.input(io.env), { output, timeoutSeconds }, io));
    });

  const volumes = program
    .command("volumes")
    .description(
      "show the volumes on the RDS, adopt those of the earlier driver, restore a record, move a volume into a subvolume, or clear orphans",
    );
  const list: CliCommand = volumes
    .command("list")
    .description("list every volume on the RDS, with its problems")
    .choice("-o, --output <format>", "form of the list", ["table", "wide", "json", "yaml"])
    .names("-n, --namespace <names>", "only volumes of claims in these namespaces")
    .names("--node <names>", "only volumes attached to these nodes")
    .names("--state <states>", "only volumes in these states", LISTED_STATES)
    .option("--problems", "only volumes with a problem: an error or a warning", false)
    .choice("--sort <key>", "order of the table; JSON and YAML go by handle unless it is given", SORT_KEYS)
    .option(
      "--fail-on-problems",
      "exit with code 3 when a listed volume has a problem, with 1 when the cluster does not answer",
      false,
    )
    .addOption(
      new Option(
        "--watch",
        "repeat until SIGINT or SIGTERM: a terminal is redrawn, a pipe gets one line for each change",
      )
        .default(false)
        .conflicts("failOnProblems"),
    )
    .seconds("--interval <seconds>", "pause between two looks of --watch", 2)
    .seconds("--timeout <seconds>", "limit for the whole command, with --watch for each look", 30)
    .configured(optionsOf("volumes"))
    .examples(
      io,
      "rds-csi volumes list --config /etc/rds-csi/config.yaml",
      "rds-csi volumes list --problems",
      "rds-csi volumes list -n vms,shop --node worker-1 --sort size",
      "rds-csi volumes list --watch --interval 5",
      "rds-csi volumes list -o json | jq '.items[] | select(.state == \"broken\")'",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes list",
    )
    .action(async (options) => {
      const { output, failOnProblems, watch, interval: intervalSeconds, timeout: timeoutSeconds } = options;
      const input = list.input(io.env);
      const { namespace: namespaces = [], node: nodes = [], state: states = [], problems } = options;
      const sort = list.getOptionValueSource("sort") === "default" ? undefined : options.sort;
      const chosen = { selection: { namespaces, nodes, states, problems }, sort };
      if (watch) {
        if (output === "yaml") return list.error("error: --watch has the forms table, wide and json");
        const { runVolumesWatch } = await import("./volumes/watch.ts");
        return done(await runVolumesWatch(input, { output, intervalSeconds, timeoutSeconds, ...chosen }, io));
      }
      const { runVolumesList } = await import("./volumes/list.ts");
      done(await runVolumesList(input, { output, failOnProblems, timeoutSeconds, ...chosen }, io));
    });

  const show: CliCommand = volumes
    .command("show")
    .description("show one volume, RDS and cluster side by side, with their differences")
    .argument(
      "<name>",
      "claim (namespace/name), PersistentVolume, volume handle, CSI volume name, or its beginning",
    )
    .option("-n, --namespace <namespace>", "the name is a claim in this namespace")
    .choice("-o, --output <format>", "form of the answer", ["table", "json", "yaml"])
    .option(
      "--fail-on-problems",
      "exit with code 3 when errors or warnings are found, with 1 when the cluster does not answer",
      false,
    )
    .seconds("--timeout <seconds>", "limit for the whole command", 30)
    .configured(optionsOf("volumes"))
    .examples(
      io,
      "rds-csi volumes show vms/database --orchestrator kubernetes --kubeconfig ~/.kube/config",
      "kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes show -n vms database",
    )
    .action(async (text: string, options) => {
      const name = await show.nameOf(text, options.namespace);
      const { runVolumesShow } = await import("./volumes/show.ts");
      const { output, failOnProblems, timeout: timeoutSeconds } = options;
      done(await runVolumesShow(show.input(io.env), { name, output, failOnProblems, timeoutSeconds }, io));
    });

  addAdoptCommand(volumes, io, optionsOf("volumes"), done);
  addRecordCommand(volumes, io, optionsOf("volumes"), done);
  addConvertCommand(volumes, io, optionsOf("volumes"), done);
  addOrphansCommand(volumes, io, optionsOf("volumes"), done);
  addSnapshotCommands(program, io, optionsOf("snapshots"), done);

  const version: CliCommand = program
    .command("version")
    .description("print version, commit and runtime")
    .choice("-o, --output <format>", "form of the answer", ["text", "json"])
    .action(({ output }) => {
      version.check();
      io.out(versionText(output));
      done(ExitCode.ok);
    });

  program
    .command("completion")
    .description("print a completion script for a shell")
    .examples(
      io,
      "source <(rds-csi completion bash)",
      "rds-csi completion fish > ~/.config/fish/completions/rds-csi.fish",
    )
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .action(async (shell: Shell) => {
      const { completionScript } = await import("./completion.ts");
      io.out(completionScript(program, shell));
      done(ExitCode.ok);
    });

  return program;
}
