import { toDriverError } from "../domain/errors/driver-error.ts";
import type { DiagnoseContext } from "./context.ts";
import type { CheckId, Facts, Gathered } from "./facts.ts";
import { type Known, known, notAsked, valueOr } from "./known.ts";
import { answerFacts } from "./probes/answering.ts";
import { clusterFacts } from "./probes/cluster.ts";
import { connectionFacts } from "./probes/connections.ts";
import { hungTasks } from "./probes/hung-tasks.ts";
import { kernelMessages } from "./probes/kernel-log.ts";
import { accessFacts, identityFacts, kernelFacts, toolFacts } from "./probes/machine.ts";
import { mountFacts } from "./probes/mounts.ts";
import { kubeletFacts, pluginFacts } from "./probes/plugin.ts";
import { rdsFacts } from "./probes/rds.ts";
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
    run: (signal: AbortSignal, leftMs: number) => Promise<Known<T>>,
  ): Promise<Known<T>> => {
    const from = clock.monotonic();
    const leftMs = Math.max(1, until * limitMs - (from - begun));
    const ended = new AbortController();
    const signal = AbortSignal.any([stop, end.signal, ended.signal]);
    const late: Known<T> = {
      state: "unknown",
      reason: `not answered within ${Math.round(leftMs / 100) / 10} s`,
      late: true,
    };
    const done = new AbortController();
    const deadline = clock.sleep(leftMs, AbortSignal.any([done.signal, stop])).then(
      () => late,
      () => late,
    );
    const answer = (async () => await run(signal, leftMs))().catch((error: unknown): Known<T> => {
      const failed = toDriverError(error);
      return { state: "unknown", reason: failed.summary, error: failed };
    });
    const result = await Promise.race([answer, deadline]);
    done.abort();
    ended.abort();
    took[id] = Math.round(clock.monotonic() - from);
    return result;
  };
  const first = <T>(id: CheckId, run: (signal: AbortSignal) => Promise<T>): Promise<Known<T>> =>
    ask(id, FIRST, async (signal) => known(await run(signal)));

  const kernel = first("kernel", () => kernelFacts(context));
  const tools = first("tools", (signal) => toolFacts(context, signal));
  const access = first("access", () => accessFacts(context));
  const identity = first("identity", () => identityFacts(context));
  const connections = first("connections", () => connectionFacts(context));
  const kernelLog = first("kernelLog", () => kernelMessages(context));
  const plugin = first("plugin", () => pluginFacts(context));
  const kubelet = first("kubelet", () => kubeletFacts(context));
  const cluster = ask("cluster", FIRST, (signal) => clusterFacts(context, signal));
  const rds = ask("rds", FIRST, (signal, leftMs) => rdsFacts(context, signal, leftMs));
  const mounts = connections.then((found) => first("mounts", () => mountFacts(context, valueOr(found, []))));

  const second = <T>(id: CheckId, run: (signal: AbortSignal) => Promise<Known<T>>): Promise<Known<T>> =>
    ask(id, SECOND, run);
  const storage = Promise.all([connections, cluster]).then(([found, asked]) =>
    second<readonly StorageFacts[]>("storage", async (signal) => {
      const targets = mergeAddresses([
        ...context.config.storageAddresses,
        ...valueOr(found, []).flatMap(({ volume, controllers }) =>
          volume === undefined
            ? []
            : controllers.flatMap(({ endpoint }) =>
                endpoint === undefined ? [] : [{ ...endpoint, source: "connections" }],
              ),
        ),
        ...attachedAddresses(context, asked).map((address) => ({ ...address, source: "VolumeAttachments" })),
      ]);
      if (targets.length === 0) return notAsked("no storage address is known");
      return known(await Promise.all(targets.map((target) => storageFacts(context, target, signal))));
    }),
  );
  const users = connections.then((found) =>
    second("users", async (signal) => {
      // Nobody can be looked for while it is not known on what.
      if (found.state !== "known") return found;
      const numbers = found.value.flatMap(({ volume, devices }) =>
        volume === undefined ? [] : devices.map(({ number }) => number),
      );
      return known(await context.system.helper.users(numbers, signal));
    }),
  );
  const [hung, answering] = [
    Promise.all([connections, mounts]).then(([found, mounted]) =>
      second("hungTasks", async (signal) => {
        const own = valueOr(mounted, { mounts: [], staging: [] }).mounts;
        return known(await hungTasks(context, valueOr(found, []), own, signal));
      }),
    ),
    mounts.then((mounted) =>
      second("answering", async (signal) =>
        mounted.state === "known" ? known(await answerFacts(context, mounted.value.mounts, signal)) : mounted,
      ),
    ),
  ];
  try {
    const facts: Facts = {
      kernel: await kernel,
      tools: await tools,
      access: await access,
      identity: await identity,
      connections: await connections,
      mounts: await mounts,
      kernelLog: await kernelLog,
      plugin: await plugin,
      kubelet: await kubelet,
      cluster: await cluster,
      rds: await rds,
      storage: await storage,
      users: await users,
      hungTasks: await hung,
      answering: await answering,
    };
    return { config: context.config, facts, took: took as Record<CheckId, number> };
  } finally {
    end.abort();
  }
}

/** Storage addresses that VolumeAttachments of this node were given. */
function attachedAddresses(
  { config }: DiagnoseContext,
  cluster: Facts["cluster"],
): readonly StorageAddress[] {
  const attachments = cluster.state === "known" ? valueOr(cluster.value.attachments, []) : [];
  return attachments.flatMap(({ node, address, port }) =>
    node === config.nodeId && address !== undefined && port !== undefined ? [{ address, port }] : [],
  );
}
