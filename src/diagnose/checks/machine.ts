import { counted } from "../../domain/sentence.ts";
import { ifKnown, isUnanswered, valueOr } from "../../inspect/fact.ts";
import type { Subject } from "../../inspect/finding.ts";
import { CHECK_TITLES, type CheckId, type Gathered } from "../facts.ts";
import type { PluginFacts } from "../probes/plugin.ts";
import { type Draft, draftIf } from "../rank.ts";

/** Findings about kernel, programs, rights and identity. */
export function checkMachine({ config, facts }: Gathered): readonly Draft[] {
  const node: Subject = { kind: "node", name: config.nodeId };
  const kernel = config.dataPath === "nvme-tcp" ? ifKnown(facts.kernel) : undefined;
  const { modules, fabricsDevice, multipath, release = "unknown" } = kernel ?? {};
  const { hostPid, hostNetwork, hiddenProcesses = 0, hidingMount } = ifKnown(facts.access) ?? {};
  const { etcHostNqn = "", etcHostId, hostNqn, hostId } = ifKnown(facts.identity) ?? {};
  const isZero = /uuid:0{8}-0{4}-0{4}-0{4}-0{12}$/.test(etcHostNqn);
  const isHalf = hostNqn !== undefined && (etcHostNqn === hostNqn) !== (etcHostId?.toLowerCase() === hostId);
  const fabrics = `module nvme_fabrics is ${modules?.nvmeFabrics ? "" : "not "}loaded`;
  const identity = [
    `/etc/nvme/hostnqn: ${etcHostNqn || "missing"}`,
    `/etc/nvme/hostid: ${etcHostId ?? "missing"}`,
  ];
  const log = facts.kernelLog;
  const on = (is: boolean, id: Draft["id"], ...evidence: readonly string[]) =>
    draftIf(is, id, node, ...evidence);
  return [
    ...on(
      modules?.nvmeTcp === false,
      "nvme-tcp-module-missing",
      "/sys/module/nvme_tcp does not exist",
      `kernel ${release}`,
    ),
    ...on(fabricsDevice === false, "nvme-fabrics-missing", fabrics, `kernel ${release}`),
    ...on(multipath === false, "multipath-off", "nvme_core.multipath is N"),
    ...valueOr(facts.tools, []).flatMap(({ name, package: from, why, path }) =>
      draftIf(
        path === undefined,
        "tool-missing",
        { kind: "tool", name },
        `${name} ${why}`,
        `Debian package ${from}`,
      ),
    ),
    ...on(
      hidingMount !== undefined,
      "mount-propagation-off",
      `${hidingMount} is not shared in this mount namespace`,
    ),
    ...on(hostPid === false, "host-pid-off", "/proc/self/ns/pid"),
    ...on(hostNetwork === false, "host-network-off", "the network namespace differs from that of process 1"),
    ...on(
      hiddenProcesses > 0,
      "processes-hidden",
      `${counted(hiddenProcesses, "process", "processes")} may not be looked into`,
    ),
    ...on(isZero || isHalf, "host-identity-shared", ...identity),
    ...on(isUnanswered(log), "kernel-log-unreadable", isUnanswered(log) ? log.reason : ""),
  ];
}

/** Findings about the plugin's socket and its registration at kubelet. */
export function checkPlugin({ config, facts }: Gathered): readonly Draft[] {
  const node: Subject = { kind: "node", name: config.nodeId };
  return [
    ...checkSocket(node, config.driverName, ifKnown(facts.plugin)),
    ...checkKubelet(node, { config, facts }),
  ];
}

function checkSocket(node: Subject, driver: string, plugin: PluginFacts | undefined): readonly Draft[] {
  if (plugin === undefined) return [];
  const { looked, socket, name, ready, problem } = plugin;
  const at = `socket ${socket}`;
  if (socket === undefined)
    return draftIf(true, "plugin-socket-missing", node, ...looked.map((path) => `${path} does not exist`));
  if (name === undefined) return draftIf(true, "plugin-not-answering", node, at, problem ?? "no answer");
  return [
    ...draftIf(name !== driver, "plugin-other-driver", node, at, `it is ${name}, --driver-name is ${driver}`),
    ...draftIf(ready === false, "plugin-not-ready", node, at),
  ];
}

function checkKubelet(
  node: Subject,
  { config, facts }: Pick<Gathered, "config" | "facts">,
): readonly Draft[] {
  const kubelet = ifKnown(facts.kubelet);
  if (kubelet === undefined) return [];
  const { directory, present, registered, others } = kubelet;
  // Without an orchestrator there is a kubelet only if others have registered at it.
  const expected = config.orchestrator === "kubernetes" || others.length > 0;
  const seen = others.length === 0 ? "no driver at all is registered" : `registered: ${others.join(", ")}`;
  const evidence = present ? `${directory}/plugins_registry: ${seen}` : `${directory} does not exist`;
  return draftIf(expected && registered.length === 0, "plugin-registration-missing", node, evidence);
}

/** Findings about the API server's answers, and the questions that it did not answer. */
export function checkCluster({ config, facts }: Gathered): readonly Draft[] {
  const { cluster } = facts;
  const subject: Subject = { kind: "cluster", name: "Kubernetes" };
  if (cluster.state !== "known")
    return isUnanswered(cluster) ? draftIf(true, "kubernetes-unreachable", subject, cluster.reason) : [];
  const unknown = Object.values(cluster.value).filter(isUnanswered);
  const forbidden = unknown.filter(({ error }) => error?.id === "kubernetesForbidden");
  const failed = unknown.filter((each) => !forbidden.includes(each));
  const reasons = (answers: typeof unknown) => [...new Set(answers.map(({ reason }) => reason))];
  const node: Subject = { kind: "node", name: config.nodeId };
  const { exists = true, nodeId = config.nodeId } = ifKnown(cluster.value.csiNode) ?? {};
  const isNamed = ifKnown(cluster.value.csiNode)?.nodeId !== undefined;
  const missing = exists
    ? `spec.drivers of CSINode ${config.nodeId} has no ${config.driverName}`
    : `there is no CSINode ${config.nodeId}`;
  const other = `CSINode says ${nodeId}, --node-id is ${config.nodeId}`;
  return [
    ...draftIf(failed.length > 0, "kubernetes-unreachable", subject, ...reasons(failed)),
    ...draftIf(forbidden.length > 0, "kubernetes-forbidden", subject, ...reasons(forbidden)),
    ...draftIf(cluster.value.csiNode.state === "known" && !isNamed, "csinode-driver-missing", node, missing),
    ...draftIf(nodeId !== config.nodeId, "csinode-other-id", node, other),
  ];
}

/** Those whose failure is a finding of another id. */
const REPORTED_ELSEWHERE: readonly CheckId[] = ["cluster", "rds", "kernelLog"];

/** Checks without an answer. */
export function checkUnanswered({ facts }: Gathered): readonly Draft[] {
  return (Object.keys(CHECK_TITLES) as CheckId[]).flatMap((id): readonly Draft[] => {
    const answer = facts[id];
    if (!isUnanswered(answer) || REPORTED_ELSEWHERE.includes(id)) return [];
    return draftIf(true, "check-unanswered", { kind: "check", name: CHECK_TITLES[id] }, answer.reason);
  });
}
