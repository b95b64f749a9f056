import { isUnanswered, valueOr } from "../../inspect/fact.ts";
import type { Subject } from "../../inspect/finding.ts";
import { CHECK_TITLES, type CheckId, type Gathered } from "../facts.ts";
import type { Draft } from "../rank.ts";

/** Findings about kernel, programs, rights and identity. */
export function checkMachine({ config, facts }: Gathered): readonly Draft[] {
  const drafts: Draft[] = [];
  const node: Subject = { kind: "node", name: config.nodeId };
  const nvme = config.dataPath === "nvme-tcp";
  if (nvme && facts.kernel.state === "known") {
    const { modules, fabricsDevice, multipath, release } = facts.kernel.value;
    const evidence = [`kernel ${release ?? "unknown"}`];
    if (!modules.nvmeTcp) {
      drafts.push({
        id: "nvme-tcp-module-missing",
        subject: node,
        evidence: ["/sys/module/nvme_tcp does not exist", ...evidence],
      });
    }
    if (!fabricsDevice) {
      const loaded = `module nvme_fabrics is ${modules.nvmeFabrics ? "" : "not "}loaded`;
      drafts.push({ id: "nvme-fabrics-missing", subject: node, evidence: [loaded, ...evidence] });
    }
    if (multipath === false) {
      drafts.push({ id: "multipath-off", subject: node, evidence: ["nvme_core.multipath is N"] });
    }
  }
  for (const { name, package: from, why, path } of valueOr(facts.tools, [])) {
    if (path !== undefined) continue;
    const evidence = [`${name} ${why}`, `Debian package ${from}`];
    drafts.push({ id: "tool-missing", subject: { kind: "tool", name }, evidence });
  }
  if (facts.access.state === "known") {
    const { hostPid, hostNetwork, hiddenProcesses, hidingMount } = facts.access.value;
    if (hidingMount !== undefined) {
      const evidence = [`${hidingMount} is not shared in this mount namespace`];
      drafts.push({ id: "mount-propagation-off", subject: node, evidence });
    }
    if (!hostPid) drafts.push({ id: "host-pid-off", subject: node, evidence: ["/proc/self/ns/pid"] });
    if (!hostNetwork) {
      const evidence = ["the network namespace differs from that of process 1"];
      drafts.push({ id: "host-network-off", subject: node, evidence });
    }
    if (hiddenProcesses > 0) {
      const evidence = [`${hiddenProcesses} processes may not be looked into`];
      drafts.push({ id: "processes-hidden", subject: node, evidence });
    }
  }
  if (facts.identity.state === "known") {
    const { etcHostNqn, etcHostId, hostNqn, hostId } = facts.identity.value;
    const zero = /uuid:0{8}-0{4}-0{4}-0{4}-0{12}$/.test(etcHostNqn ?? "");
    const half = hostNqn !== undefined && (etcHostNqn === hostNqn) !== (etcHostId?.toLowerCase() === hostId);
    if (zero || half) {
      const evidence = [`/etc/nvme/hostnqn: ${etcHostNqn}`, `/etc/nvme/hostid: ${etcHostId ?? "missing"}`];
      drafts.push({ id: "host-identity-shared", subject: node, evidence });
    }
  }
  if (facts.kernelLog.state === "unknown") {
    drafts.push({ id: "kernel-log-unreadable", subject: node, evidence: [facts.kernelLog.reason] });
  }
  return drafts;
}

/** Findings about the plugin's socket and its registration at kubelet. */
export function checkPlugin({ config, facts }: Gathered): readonly Draft[] {
  const drafts: Draft[] = [];
  const node: Subject = { kind: "node", name: config.nodeId };
  if (facts.plugin.state === "known") {
    const { looked, socket, name, ready, problem } = facts.plugin.value;
    const at = `socket ${socket}`;
    if (socket === undefined) {
      const evidence = looked.map((path) => `${path} does not exist`);
      drafts.push({ id: "plugin-socket-missing", subject: node, evidence });
    } else if (name === undefined) {
      drafts.push({ id: "plugin-not-answering", subject: node, evidence: [at, problem ?? "no answer"] });
    } else {
      if (name !== config.driverName) {
        const evidence = [at, `it is ${name}, --driver-name is ${config.driverName}`];
        drafts.push({ id: "plugin-other-driver", subject: node, evidence });
      }
      if (ready === false) drafts.push({ id: "plugin-not-ready", subject: node, evidence: [at] });
    }
  }
  if (facts.kubelet.state === "known") {
    const { directory, present, registered, others } = facts.kubelet.value;
    // Without an orchestrator there is a kubelet only if others have registered at it.
    const expected = config.orchestrator === "kubernetes" || others.length > 0;
    if (expected && registered.length === 0) {
      const seen =
        others.length === 0 ? "no driver at all is registered" : `registered: ${others.join(", ")}`;
      const evidence = [present ? `${directory}/plugins_registry: ${seen}` : `${directory} does not exist`];
      drafts.push({ id: "plugin-registration-missing", subject: node, evidence });
    }
  }
  return drafts;
}

/** Findings about what Kubernetes says of the node, or does not. */
export function checkCluster({ config, facts }: Gathered): readonly Draft[] {
  const drafts: Draft[] = [];
  const { cluster } = facts;
  const subject: Subject = { kind: "cluster", name: "Kubernetes" };
  if (cluster.state !== "known")
    return isUnanswered(cluster)
      ? [{ id: "kubernetes-unreachable", subject, evidence: [cluster.reason] }]
      : [];
  const { attachments, persistentVolumes, csiNode, pods } = cluster.value;
  const unknown = [attachments, persistentVolumes, csiNode, pods].flatMap((answer) =>
    answer.state === "unknown" ? [answer] : [],
  );
  const forbidden = unknown.filter(({ error }) => error?.id === "kubernetesForbidden");
  const failed = unknown.filter((each) => !forbidden.includes(each));
  const reasons = (answers: readonly { reason: string }[]) => [
    ...new Set(answers.map(({ reason }) => reason)),
  ];
  if (failed.length > 0) drafts.push({ id: "kubernetes-unreachable", subject, evidence: reasons(failed) });
  if (forbidden.length > 0) {
    drafts.push({ id: "kubernetes-forbidden", subject, evidence: reasons(forbidden) });
  }
  if (csiNode.state === "known") {
    const node: Subject = { kind: "node", name: config.nodeId };
    const { exists, nodeId } = csiNode.value;
    if (nodeId === undefined) {
      const evidence = exists
        ? `spec.drivers of CSINode ${config.nodeId} has no ${config.driverName}`
        : `there is no CSINode ${config.nodeId}`;
      drafts.push({ id: "csinode-driver-missing", subject: node, evidence: [evidence] });
    } else if (nodeId !== config.nodeId) {
      const evidence = [`CSINode says ${nodeId}, --node-id is ${config.nodeId}`];
      drafts.push({ id: "csinode-other-id", subject: node, evidence });
    }
  }
  return drafts;
}

/** Those whose failure is a finding of another id. */
const REPORTED_ELSEWHERE: readonly CheckId[] = ["cluster", "rds", "kernelLog"];

/** Checks without an answer. */
export function checkUnanswered({ facts }: Gathered): readonly Draft[] {
  return (Object.keys(CHECK_TITLES) as CheckId[]).flatMap((id): readonly Draft[] => {
    const answer = facts[id];
    if (!isUnanswered(answer) || REPORTED_ELSEWHERE.includes(id)) return [];
    const subject: Subject = { kind: "check", name: CHECK_TITLES[id] };
    return [{ id: "check-unanswered", subject, evidence: [answer.reason] }];
  });
}
