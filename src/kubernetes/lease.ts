import type { V1Lease } from "@kubernetes/client-node";
import type { Clock } from "../domain/clock.ts";
import type { KubernetesApi } from "./api.ts";
import { ApiStatusError } from "./api-error.ts";

/** A change of a Lease lost against somebody else's. */
export class LeaseConflict extends Error {}

/** The fields of a Lease that the election reads and writes. */
export interface LeaseRecord {
  /** "" when it is free. */
  readonly holder: string;
  readonly durationSeconds: number;
  /** Changes with every write of the object. */
  readonly version: string;
  readonly transitions: number;
  /** Milliseconds since the epoch; written back unchanged while the holder stays. */
  readonly acquiredAt: number | undefined;
}

export type LeaseObject = ReturnType<typeof leaseObject>;

/** One Lease object (coordination.k8s.io/v1). */
export function leaseObject(api: KubernetesApi, namespace: string, name: string, clock: Clock) {
  const { coordination, k8s } = api;
  const bodyOf = (holder: string, seconds: number, before: LeaseRecord | undefined): V1Lease => {
    const now = new k8s.V1MicroTime(clock.now());
    const same = before !== undefined && before.holder === holder;
    const acquired = same ? before.acquiredAt : undefined;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { namespace, name, ...(before === undefined ? {} : { resourceVersion: before.version }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: seconds,
        acquireTime: acquired === undefined ? now : new k8s.V1MicroTime(acquired),
        renewTime: now,
        leaseTransitions: (before?.transitions ?? 0) + (same || before === undefined ? 0 : 1),
      },
    };
  };
  return {
    /** Undefined when it does not exist. */
    read: async (signal: AbortSignal, timeoutMs: number): Promise<LeaseRecord | undefined> => {
      try {
        const found = await api.attempt(
          signal,
          (options) => coordination.readNamespacedLease({ namespace, name }, options),
          { timeoutMs },
        );
        return recordOf(found);
      } catch (error) {
        if (error instanceof ApiStatusError && error.details?.reason === "NotFound") return undefined;
        throw error;
      }
    },
    /**
     * Makes the Lease, or replaces the version that was read.
     * @throws LeaseConflict when somebody else was faster
     */
    write: async (
      holder: string,
      durationSeconds: number,
      before: LeaseRecord | undefined,
      signal: AbortSignal,
      timeoutMs: number,
    ): Promise<LeaseRecord> => {
      const body = bodyOf(holder, durationSeconds, before);
      try {
        const stored = await api.attempt(
          signal,
          (options) =>
            before === undefined
              ? coordination.createNamespacedLease({ namespace, body }, options)
              : coordination.replaceNamespacedLease({ namespace, name, body }, options),
          { timeoutMs },
        );
        return recordOf(stored);
      } catch (error) {
        if (error instanceof ApiStatusError && error.status === 409) throw new LeaseConflict(error.message);
        throw error;
      }
    },
  };
}

function recordOf({ metadata, spec }: V1Lease): LeaseRecord {
  // Declared as a Date, but the library hands out the text.
  const acquiredAt = new Date(spec?.acquireTime ?? Number.NaN).getTime();
  return {
    holder: spec?.holderIdentity ?? "",
    durationSeconds: spec?.leaseDurationSeconds ?? 0,
    version: metadata?.resourceVersion ?? "",
    transitions: spec?.leaseTransitions ?? 0,
    acquiredAt: Number.isNaN(acquiredAt) ? undefined : acquiredAt,
  };
}
