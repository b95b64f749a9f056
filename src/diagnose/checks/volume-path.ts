import { hostIdentity } from "../../domain/host-identity.ts";
import { isLive } from "../../host/data-path.ts";
import { ifKnown, valueOr } from "../../inspect/fact.ts";
import { describeUse } from "../../mount/processes.ts";
import { isGoing } from "../../nvme/controller-state.ts";
import { endpointText, sameEndpoint } from "../../nvme/endpoint.ts";
import { isEarlierNqn } from "../../nvme/nqn.ts";
import type { FindingId } from "../catalogue/catalogue.ts";
import type { DiagnoseConfig } from "../context.ts";
import type { ConnectionFacts } from "../probes/connections.ts";
import type { HungTask } from "../probes/hung-tasks.ts";
import { historyOf, type KernelMessage } from "../probes/kernel-log.ts";
import { type Draft, draftIf, volumeDraft } from "../rank.ts";
import type { VolumeCase } from "../volume-case.ts";

/** So many mounts at one path are more than a retry leaves. */
const STACKED = 4;

/** Findings about the connections of a volume. */
export function* checkConnections(
  config: DiagnoseConfig,
  log: readonly KernelMessage[],
  volume: VolumeCase,
): Iterable<Draft> {
  const { handle, connections } = volume;
  const { clusterId, nodeId } = config;
  const own = clusterId === undefined ? undefined : hostIdentity(clusterId, nodeId);
  for (const connection of connections) {
    const { nqn, controllers, devices, state } = connection;
    const address = controllers.flatMap(({ endpoint }) => (endpoint ? [endpointText(endpoint)] : []))[0];
    const draft = (id: FindingId, ...evidence: readonly string[]): Draft => ({
      ...volumeDraft(handle, id, ...evidence),
      address,
    });
    const present = controllers.filter((controller) => !isGoing(controller));
    for (const { name, hostNqn: host, hostId: id } of config.dataPath === "loop" ? [] : present) {
      // A connection of the earlier driver has a host NQN of its own, and is used as it is.
      if (own === undefined || isEarlierNqn(nqn)) break;
      const { hostNqn, hostId } = own;
      if ((host === "" || host === hostNqn) && (id === "" || id.toLowerCase() === hostId)) continue;
      const assumed = config.nodeIdAssumed ? " (of the host's name, as no --node-id was given)" : "";
      const seen = `${name}: ${host}, host ID ${id}`;
      yield draft("connected-as-other-host", seen, `this node is ${hostNqn}${assumed}`);
    }
    if (connections[0] !== undefined && connection !== connections[0]) {
      yield draft("epoch-superseded", `connected: ${nqn} (${state})`, `newer: ${connections[0].nqn}`);
    }
    if (!isLive(connection)) yield* notLive(connection, log, draft);
    else if (devices.length === 0)
      yield draft("connection-no-namespace", `${nqn} is live, without a namespace`);
    const held = devices.flatMap(({ name, holders }) =>
      (holders ?? []).map((holder) => `${name} is held by ${holder}`),
    );
    if (held.length > 0) yield draft("device-held-by-host", ...held);
    if (devices.length > 1) yield draft("device-ambiguous", devices.map(({ path }) => path).join(", "));
    const attachment = ifKnown(volume.attachment);
    const { address: to, port } = attachment?.attached === true ? attachment.metadata : {};
    const elsewhere = present.filter(
      ({ endpoint }) =>
        endpoint !== undefined &&
        to !== undefined &&
        !sameEndpoint(
          { address: endpoint.address, port: String(endpoint.port) },
          { address: to, port: port ?? String(endpoint.port) },
        ),
    );
    if (elsewhere.length > 0 && to !== undefined) {
      yield draft(
        "connected-elsewhere",
        `connected to ${address}`,
        `its VolumeAttachment says ${to}:${port}`,
      );
    }
  }
}

function* notLive(
  { nqn, state, controllers }: ConnectionFacts,
  log: readonly KernelMessage[],
  draft: (id: FindingId, ...evidence: readonly string[]) => Draft,
): Iterable<Draft> {
  const histories = controllers.map(({ name }) => historyOf(name, log));
  const lost = histories.flatMap(({ lostSeconds }) => lostSeconds ?? [])[0];
  const since = lost === undefined ? "" : ` for ${Math.round(lost)} s`;
  yield draft("connection-not-live", `${nqn} is ${state}${since}`);
  const refusal = histories.find((history) => history.refusal !== undefined)?.refusal;
  if (refusal === "host")
    yield draft("host-not-allowed", "the target said so to the kernel (Connect … is not allowed)");
  if (refusal === "nqn")
    yield draft(
      "target-refuses-connection",
      `the target does not know ${nqn} (Connect Invalid Data Parameter)`,
    );
  for (const { name, ctrlLossTmo } of controllers) {
    if (ctrlLossTmo === undefined || ctrlLossTmo < 0) continue;
    const left =
      lost === undefined
        ? "at a time that is not known"
        : `in ${Math.max(0, Math.round(ctrlLossTmo - lost))} s`;
    yield draft("connection-gives-up-soon", `${name} gives up ${left} (ctrl_loss_tmo is ${ctrlLossTmo} s)`);
  }
}

/** Findings about mounts, processes and filesystems of a volume, and about a connection that should be there. */
export function checkUse(volume: VolumeCase, now: number): readonly Draft[] {
  const { handle, mounts, connections, answer, hungTasks } = volume;
  const devices = connections.flatMap((connection) => connection.devices);
  const numbers = new Set(devices.map(({ number }) => number));
  const vanished = mounts.filter(({ dead }) => dead);
  const alive = mounts.filter(
    ({ dead, deviceNode, device }) => !dead && !deviceNode && !device.startsWith("0:"),
  );
  const wanted = devices.map((device) => device.path).join(", ") || "not connected";
  const isWaiting = connections.length > 0 && !connections.some(isLive);
  const silent = answer?.answer === "silent" ? [`${answer.path}: ${answer.detail}`] : [];
  // A dead mount says it already.
  const isMissing = volume.connectionsKnown && connections.length === 0 && vanished.length === 0;
  const seen: Partial<Record<FindingId, readonly string[]>> = {
    "mount-device-vanished": vanished.map(
      ({ path, source, device }) => `${path} is mounted from ${source} (${device}), which is gone`,
    ),
    "mount-other-device": alive
      .filter(({ device }) => !numbers.has(device))
      .map(({ path, source }) => `${path} is mounted from ${source}, the volume is ${wanted}`),
    "filesystem-read-only": alive.filter((mount) => mount.wentReadOnly).map(({ path }) => path),
    "filesystem-errors": alive
      .filter(({ errors }) => errors > 0)
      .map(({ path, errors }) => `${path}: ${errors} errors`),
    "mounts-stacked": mounts
      .filter(({ layers }) => layers > STACKED)
      .map(({ path, layers }) => `${path}: ${layers} mounts`),
    "io-waits": isWaiting
      ? [
          ...mounts.filter(({ dead }) => !dead).map(({ path }) => `mounted at ${path}`),
          ...valueOr(volume.users, []).map((user) => `${describeUse(user)} uses it`),
        ]
      : [],
    "mount-not-answering": silent,
    "hung-tasks": hungTasks.map(hungText),
    "volume-not-connected": isMissing ? missingConnection(volume, now) : [],
  };
  return Object.entries(seen)
    .filter(([, evidence]) => evidence.length > 0)
    .map(([id, evidence]) => volumeDraft(handle, id as FindingId, ...evidence));
}

function hungText({ pid, command, because, waitsIn }: HungTask): string {
  return `process ${pid} (${command}) ${because}${waitsIn === undefined ? "" : `, waits in ${waitsIn}`}`;
}

/** A stage takes its time; only after so long nothing comes any more, seconds. */
const STAGE_SECONDS = 180;

/** Why the volume should be connected; empty: nobody waits for it. */
function missingConnection(volume: VolumeCase, now: number): readonly string[] {
  const attachment = ifKnown(volume.attachment);
  const own = ifKnown(volume.attached);
  if (own === undefined && attachment === undefined) return [];
  const pods = valueOr(volume.pods, []).map(
    ({ namespace, name, phase }) => `pod ${namespace}/${name} uses it (${phase})`,
  );
  const old = own !== undefined && now / 1000 - own.since > STAGE_SECONDS && volume.pods.state !== "known";
  if (pods.length === 0 && volume.mounts.length === 0 && volume.staging.length === 0 && !old) return [];
  return [
    ...(own === undefined ? [] : ["the record attaches this node"]),
    ...(attachment === undefined ? [] : [`VolumeAttachment ${attachment.name}`]),
    ...pods,
  ];
}

/** Connections that look like ours, messages of the kernel about ours, and processes that hang on one of them. */
export function checkAround(
  connections: readonly ConnectionFacts[],
  log: readonly KernelMessage[],
  hung: readonly HungTask[],
): readonly Draft[] {
  const foreign = connections.filter(({ volume }) => volume === undefined);
  const anywhere = hung.filter(({ volume }) => volume === undefined).map(hungText);
  const bad = log
    .filter(
      ({ ageSeconds, text }) => ageSeconds <= RECENT_SECONDS && ERROR.test(text) && !SUPPRESSED.test(text),
    )
    .map(({ ageSeconds, text }) => `${Math.round(ageSeconds)} s ago: ${text}`);
  const ofNode = (id: FindingId, name: string, evidence: readonly string[]) =>
    draftIf(evidence.length > 0, id, { kind: "node", name }, ...evidence);
  return [
    ...foreign.flatMap(({ nqn, state }) =>
      draftIf(true, "connection-lookalike", { kind: "connection", name: nqn }, `it is ${state}`),
    ),
    ...ofNode("hung-tasks", "processes", anywhere),
    ...ofNode("nvme-kernel-errors", "kernel", bad.slice(-5)),
  ];
}

const RECENT_SECONDS = 900;
/** How many messages the kernel left out, after the name of the function that says them: it is no error by itself. */
const SUPPRESSED = /\d+ callbacks suppressed$/;
const ERROR = /fail|time(d )?out|error|Reconnecting|not allowed|Invalid|blocked for more/i;
