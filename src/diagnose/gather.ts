import { type Fact, known, mapFact, notAsked, unknownBecause, valueOr } from "../inspect/fact.ts";
import type { DiagnoseContext } from "./context.ts";
import type { CheckId, Facts, Gathered } from "./facts.ts";
import { answerFacts } from "./probes/answering.ts";
import { askCluster } from "./probes/cluster.ts";
import { type ConnectionFacts, connectionFacts } from "./probes/connections.ts";
import { hungTasks } from "./probes/hung-tasks.ts";
import { kernelMessages } from "./probes/kernel-log.ts";
import { accessFacts, identityFacts, kernelFacts, toolFacts } from "./probes/machine.ts";
import { mountFacts } from "./probes/mounts.ts";
import { kubeletFacts, pluginFacts } from "./probes/plugin.ts";
import { askRds } from "./probes/rds.ts";
import { mergeAddresses, type StorageAddress, type StorageFacts, storageFacts } from "./probes/storage.ts";

/** Parts of the time that the first checks, and those that build on them, may take. */
const FIRST = 0.6;
const SECOND = 0.92;

/**
 * Runs every check at the same time, each with a deadline. A check that fails or does not answer is `unknown`, and never
 * holds up another one longer than its deadline. Changes nothing on this node, in the cluster or on the RDS.
 * @param limitMs for everything, milliseconds
 */
export async function gather(
  context: DiagnoseContext,
  limitMs: number,
  stop: AbortSignal,
): Promise<Gathered> {
  const { clock } = context.system;
  const begun = clock.monotonic();
  const took: Partial<Record<CheckId, number>> = {};
  const end = new AbortController();

  /** Asks one question; `until` is the part of the whole time by which it has to answer. */
  const ask = async <T>(
    id: CheckId,
    until: number,
    run: (signal: AbortSignal, leftMs: number) => Promise<Fact<T>>,
  ): Promise<Fact<T>> => {
    const from = clock.monotonic();
    const leftMs = Math.max(1, until * limitMs - (from - begun));
    const ended = new AbortController();
    const signal = AbortSignal.any([stop, end.signal, ended.signal]);
    const late: Fact<T> = {
      state: "unknown",
      reason: `not answered within ${Math.round(leftMs / 100) / 10} s`,
      late: true,
    };
    const done = new AbortController();
    const deadline = clock.sleep(leftMs, AbortSignal.any([done.signal, stop])).then(
      () => late,
      () => late,
    );
    const answer = (async () => await run(signal, leftMs))().catch(
      (error: unknown): Fact<T> => unknownBecause(error),
    );
    const result = await Promise.race([answer, deadline]);
    done.abort();
    ended.abort();
    took[id] = Math.round(clock.monotonic() - from);
    return result;
  };
  const first = <T>(id: CheckId, run: (signal: AbortSignal) => Promise<T>): Promise<Fact<T>> =>
    ask(id, FIRST, async (signal) => known(await run(signal)));
  const second = <T>(id: CheckId, run: (signal: AbortSignal) => Promise<Fact<T>>): Promise<Fact<T>> =>
    ask(id, SECOND, run);

  const connections = first("connections", () => connectionFacts(context));
  const cluster = ask("cluster", FIRST, (signal) => askCluster(context, signal));
  const mounts = connections.then((found) => first("mounts", () => mountFacts(context, valueOr(found, []))));
  const asked: { readonly [K in CheckId]: Promise<Facts[K]> } = {
    kernel: first("kernel", () => kernelFacts(context)),
    tools: first("tools", (signal) => toolFacts(context, signal)),
    access: first("access", () => accessFacts(context)),
    identity: first("identity", () => identityFacts(context)),
    connections,
    mounts,
    kernelLog: first("kernelLog", () => kernelMessages(context)),
    plugin: first("plugin", () => pluginFacts(context)),
    kubelet: first("kubelet", () => kubeletFacts(context)),
    cluster,
    rds: ask("rds", FIRST, (signal, leftMs) => askRds(context, signal, leftMs)),
    storage: Promise.all([connections, cluster]).then(([found, answer]) =>
      second<readonly StorageFacts[]>("storage", async (signal) => {
        const targets = mergeAddresses([
          ...context.config.storageAddresses,
          ...connectedAddresses(valueOr(found, [])).map((each) => ({ ...each, source: "connections" })),
          ...attachedAddresses(context, answer).map((each) => ({ ...each, source: "VolumeAttachments" })),
        ]);
        if (targets.length === 0) return notAsked("no storage address is known");
        return known(await Promise.all(targets.map((target) => storageFacts(context, target, signal))));
      }),
    ),
    users: connections.then((found) =>
      second("users", async (signal) => {
        // Nobody can be looked for while it is not known on what.
        if (found.state !== "known") return found;
        const ours = found.value.filter(({ volume }) => volume !== undefined);
        const numbers = ours.flatMap(({ devices }) => devices.map(({ number }) => number));
        return known(await context.system.helper.users(numbers, signal));
      }),
    ),
    hungTasks: Promise.all([connections, mounts]).then(([found, mounted]) =>
      second("hungTasks", async (signal) => {
        const own = valueOr(mounted, { mounts: [] }).mounts;
        return known(await hungTasks(context, valueOr(found, []), own, signal));
      }),
    ),
    answering: mounts.then((mounted) =>
      second("answering", async (signal) =>
        mounted.state === "known" ? known(await answerFacts(context, mounted.value.mounts, signal)) : mounted,
      ),
    ),
  };
  try {
    const answers = Object.entries(asked).map(async ([id, answer]) => [id, await answer] as const);
    const facts = Object.fromEntries(await Promise.all(answers)) as unknown as Facts;
    return { config: context.config, facts, took: took as Record<CheckId, number> };
  } finally {
    end.abort();
  }
}

/** Storage addresses that connections of volumes lead to. */
function connectedAddresses(connections: readonly ConnectionFacts[]): readonly StorageAddress[] {
  return connections.flatMap(({ volume, controllers }) =>
    volume === undefined ? [] : controllers.flatMap(({ endpoint }) => endpoint ?? []),
  );
}

/** Storage addresses in the publish contexts of this node. */
function attachedAddresses(
  { config }: DiagnoseContext,
  cluster: Facts["cluster"],
): readonly StorageAddress[] {
  const attachments = valueOr(
    mapFact(cluster, (answer) => answer.attachments),
    [],
  );
  return attachments.flatMap(({ node, metadata: { address, port = "" } }) =>
    node === config.nodeId && address !== undefined && /^\d+$/.test(port)
      ? [{ address, port: Number(port) }]
      : [],
  );
}
