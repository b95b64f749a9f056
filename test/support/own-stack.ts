import { afterEach } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ContentSource } from "../../src/controller/content-source.ts";
import { Reconciler, type ReconcilerOptions } from "../../src/controller/reconciler.ts";
import type { Capability } from "../../src/domain/access-mode.ts";
import { DriverError } from "../../src/domain/errors/driver-error.ts";
import { grpcCodeName } from "../../src/domain/errors/grpc-code.ts";
import { silentLogger } from "../../src/observability/log.ts";
import { BLOCK, type ControllerStack, MIB, type Stack, type StackOptions, startStack } from "./rds-stack.ts";

/** Gives the tests of a file a way to start a stack; it is closed after its test. */
export function useStack(): (options?: StackOptions) => Promise<Stack> {
  const open: Stack[] = [];
  afterEach(async () => {
    for (const stack of open.splice(0)) await stack.close();
  });
  return async (options = {}) => {
    const stack = await startStack(options);
    open.push(stack);
    return stack;
  };
}

/** What a test asks of CreateVolume; left out: a block volume `pvc-1` of 1 MiB. Sizes in bytes. */
export interface Wish {
  readonly name?: string;
  readonly required?: bigint;
  readonly limit?: bigint;
  readonly capabilities?: readonly Capability[];
  readonly parameters?: Readonly<Record<string, string>>;
  readonly source?: ContentSource | undefined;
}

export const createVolume = (on: Pick<Stack, "volumes">, wish: Wish = {}) =>
  on.volumes.create({
    name: wish.name ?? "pvc-1",
    range: { requiredBytes: wish.required ?? MIB, limitBytes: wish.limit ?? 0n },
    capabilities: wish.capabilities ?? [BLOCK],
    parameters: wish.parameters ?? {},
    mutableParameters: {},
    source: wish.source,
    signal: AbortSignal.timeout(30_000),
  });

/** Code and message that a call fails with, or `OK`. */
export async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${grpcCodeName(error.code)}: ${error.summary}`;
  }
}

/** The reconcile loop of a controller; without `over` it sees no cluster. */
export function reconcilerOf(
  on: ControllerStack,
  over: Pick<ReconcilerOptions, "clock"> & Partial<ReconcilerOptions>,
): Reconciler {
  const { rds, attachments, reporter, metrics, posted } = on;
  return new Reconciler({
    ...{ rds, attachments, reporter, metrics },
    logger: silentLogger,
    cluster: undefined,
    events: { post: () => {}, postForVolume: (handle, event) => posted.push({ handle, ...event }) },
    ...over,
  });
}

/**
 * Repeats a call as the sidecars do: after errors that leave the outcome open. Anything else would leak or lose something.
 * @throws Error when so many attempts do not end it
 */
export async function untilDone<T>(call: () => Promise<T>, attempts = 8): Promise<T> {
  let last: unknown;
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof DriverError) || (error.code !== 14 && error.code !== 10)) throw error;
      last = error;
    }
    await delay(attempt * 5);
  }
  throw new Error(`the call did not converge: ${last}`);
}
