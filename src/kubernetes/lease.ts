import type { V1Lease } from "@kubernetes/client-node";
import type { Clock } from "../domain/clock.ts";
import type { KubernetesApi } from "./api.ts";
import { ApiStatusError } from "./api-error.ts";
import type { K8s } from "./credentials.ts";

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

/** One Lease object (coordination.k8s.io/v1). */
export class LeaseObject {
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #name: string;
  readonly #clock: Clock;

  constructor(api: KubernetesApi, namespace: string, name: string, clock: Clock) {
    this.#api = api;
    this.#namespace = namespace;
    this.#name = name;
    this.#clock = clock;
  }

  /** Undefined when it does not exist. */
  async read(signal: AbortSignal, timeoutMs: number): Promise<LeaseRecord | undefined> {
    try {
      const found = await this.#api.attempt(
        signal,
        (options) =>
          this.#api.coordination.readNamespacedLease(
            { namespace: this.#namespace, name: this.#name },
            options,
          ),
        { timeoutMs },
      );
      return recordOf(found);
    } catch (error) {
      if (error instanceof ApiStatusError && error.details?.reason === "NotFound") return undefined;
      throw error;
    }
  }

  /**
   * Makes the Lease, or replaces the version that was read.
   * @throws LeaseConflict when somebody else was faster
   */
  async write(
    holder: string,
    durationSeconds: number,
    before: LeaseRecord | undefined,
    signal: AbortSignal,
    timeoutMs: number,
  ): Promise<LeaseRecord> {
    const { coordination, k8s } = this.#api;
    const [namespace, name] = [this.#namespace, this.#name];
    const body = this.#body(k8s, holder, durationSeconds, before);
    try {
      const stored = await this.#api.attempt(
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
  }

  #body(k8s: K8s, holder: string, seconds: number, before: LeaseRecord | undefined): V1Lease {
    const now = new k8s.V1MicroTime(this.#clock.now());
    const same = before !== undefined && before.holder === holder;
    const acquired = same ? before.acquiredAt : undefined;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        namespace: this.#namespace,
        name: this.#name,
        ...(before === undefined ? {} : { resourceVersion: before.version }),
      },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: seconds,
        acquireTime: acquired === undefined ? now : new k8s.V1MicroTime(acquired),
        renewTime: now,
        leaseTransitions: (before?.transitions ?? 0) + (same || before === undefined ? 0 : 1),
      },
    };
  }
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
