import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import process from "node:process";
import { Cluster, NODES, THIRD } from "./cluster.ts";
import { runE2e } from "./e2e.ts";
import type { Place } from "./machine.ts";
import { addSums, allFiles, runOf, runTests } from "./phases.ts";

/**
 * What scripts/cluster runs once everything is built. RDS_CSI_CLUSTER_PROGRAMS: what build.sh made. RDS_CSI_CLUSTER: directory of the
 * cluster.
 */
const repository = resolve(import.meta.dirname, "../..");
const place: Place = {
  state: resolve(process.env.RDS_CSI_CLUSTER ?? join(repository, ".cache/cluster")),
  programs: process.env.RDS_CSI_CLUSTER_PROGRAMS ?? "",
};
const say = (text: string): void => console.error(`cluster: ${text}`);

/** Whether this process starts a cluster, or has started one that it is to end. */
let owns = false;
/** Runs the files that have a cluster of their own. */
let second: ChildProcess | undefined;

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, async () => {
    if (second?.kill(signal)) await once(second, "close");
    if (owns) {
      say(`${signal}: ends the cluster`);
      await Cluster.down(place);
    }
    process.exit(status);
  });
}

function usage(cluster: Cluster): void {
  console.log(`export KUBECONFIG=${cluster.kubeconfig} PATH=${join(place.programs, "bin")}:$PATH
kubectl get pods -A
kubectl exec -n rds-csi deploy/rds-csi-controller -- rds-csi volumes list`);
}

/** A cluster, and whether it was there before. @param names nodes of a cluster that is started for this */
async function provide(names: readonly string[] = NODES): Promise<readonly [Cluster, boolean]> {
  const found = await Cluster.find(place);
  if (found !== undefined) return [found, true];
  await Cluster.down(place);
  owns = true;
  try {
    return [await Cluster.up(place, say, names), false];
  } catch (error) {
    const logs = `${place.state}-failed`;
    await Cluster.down(place, logs);
    say(`logs are in ${logs}`);
    throw error;
  }
}

/** A shell, in the machine of that name or on this computer, with kubectl at hand. */
async function shell(name: string | undefined): Promise<number> {
  const [cluster] = await provide();
  const env = {
    ...process.env,
    KUBECONFIG: cluster.kubeconfig,
    PATH: `${join(place.programs, "bin")}:${process.env.PATH}`,
  };
  const inside = name === "control" ? cluster.control : name === undefined ? undefined : cluster.node(name);
  const program = process.env.SHELL ?? "/bin/sh";
  const [command, ...args] = inside === undefined ? [program] : ["nsenter", ...inside.entering(program)];
  return spawnSync(command ?? "", args, { stdio: "inherit", env }).status ?? 1;
}

/**
 * Runs tests, in the cluster that is up or in one of three nodes of their own; all tests in two clusters, as they mostly wait. The last line
 * has the sums of all.
 */
async function test(args: readonly string[]): Promise<number> {
  const given = runOf(args);
  const isUp = (await Cluster.find(place)) !== undefined;
  const [most, apart] = await allFiles();
  const files = given.files.length > 0 ? given.files : isUp ? [...most, ...apart] : most;
  const other = given.files.length > 0 || isUp ? undefined : runApart([...apart, ...given.options]);
  const [, wasThere] = await provide([...NODES, THIRD]);
  const sums = await runTests(place, { ...given, files });
  const status = await finish(sums.failed > 0 ? 1 : 0, wasThere);
  const [output = "", code = 0] = (await other) ?? [];
  if (other !== undefined) {
    process.stdout.write(output);
    addSums(sums, output, code);
  }
  console.log(`${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
  return sums.failed > 0 ? 1 : status;
}

/** Runs files in a cluster of their own. @returns their output and exit code */
async function runApart(args: readonly string[]): Promise<readonly [output: string, code: number]> {
  const child = spawn(process.execPath, [import.meta.filename, "test", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, RDS_CSI_CLUSTER: `${place.state}-2` },
  });
  second = child;
  let [errors, output] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const [code] = await once(child, "close");
  second = undefined;
  return [`${errors}${output}`, code ?? 128];
}

/** Names of `count` nodes; undefined if there cannot be so many. */
function nodesOf(count: string | undefined): readonly string[] | undefined {
  if (count === undefined || count === "2") return NODES;
  return count === "3" ? [...NODES, THIRD] : undefined;
}

async function up(count: string | undefined): Promise<number> {
  const names = nodesOf(count);
  if (names === undefined) {
    console.error(`cluster: ${count} is no number of nodes; a cluster has 2 or 3`);
    return 2;
  }
  usage((await provide(names))[0]);
  return 0;
}

/** Ends a cluster that this process has started, and keeps its logs after a failure. @returns status */
async function finish(status: number, wasThere: boolean): Promise<number> {
  if (wasThere) return status;
  const logs = status === 0 ? undefined : `${place.state}-failed`;
  await Cluster.down(place, logs);
  if (logs !== undefined) say(`logs are in ${logs}`);
  return status;
}

/** Kubernetes' own storage tests, in the cluster that is up or in one of their own. */
async function e2e(focus: string | undefined): Promise<number> {
  const [cluster, wasThere] = await provide();
  const status = await runE2e(cluster, focus);
  return await finish(status, wasThere);
}

const [command = "", ...args] = process.argv.slice(2);
switch (command) {
  case "up":
    process.exitCode = await up(args[0]);
    break;
  case "down":
    await Cluster.down(place);
    break;
  case "shell":
    process.exitCode = await shell(args[0]);
    break;
  case "test":
    process.exitCode = await test(args);
    break;
  case "e2e":
    process.exitCode = await e2e(args[0]);
    break;
  default:
    console.error(
      `cluster: ${command} is none of up, down, shell, test, e2e; nodes are ${[...NODES, THIRD].join(", ")}`,
    );
    process.exitCode = 2;
}
