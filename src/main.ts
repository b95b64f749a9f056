import { basename } from "node:path";
import process from "node:process";
import { refusalText, refusedVariables } from "./cli/runtime-variables.ts";

const args = process.argv.slice(2);
const refused = refusedVariables(process.env);

if (refused.length > 0) {
  const { writeAll } = await import("./observability/log-sink.ts");
  writeAll(2, refusalText(refused));
  process.exit(2);
} else if (basename(process.argv0) === "kubectl-rds") {
  const { pluginMain } = await import("./cli/kubectl/main.ts");
  process.exit(await pluginMain(args));
} else if (args[0] === "node-helper") {
  // A short-lived child of `rds-csi node`; it must start fast and needs nothing else.
  const { startNodeHelper } = await import("./node/helper-main.ts");
  process.exitCode = startNodeHelper(args.slice(1));
} else if (args.length === 1 && (args[0] === "version" || args[0] === "--version" || args[0] === "-V")) {
  // Probes and scripts ask this often: it needs neither the command line parser nor the options.
  const { versionText } = await import("./observability/build-info.ts");
  const { printed } = await import("./cli/io.ts");
  process.exitCode = printed(versionText("text"));
} else {
  const { main } = await import("./cli/main.ts");
  const { processIo } = await import("./cli/io.ts");
  // Open handles, e.g. a socket that does not close, must not keep the process.
  process.exit(await main(args, processIo()));
}
