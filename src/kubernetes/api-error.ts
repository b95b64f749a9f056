import { cancelledBy, DriverError, failure, isFailure } from "../domain/errors/driver-error.ts";

/** A call in messages: `list` `pods in namespace vms`. */
export interface CallName {
  readonly verb: string;
  readonly resource: string;
}

/** The parts of a Kubernetes Status object that the driver reads. */
export interface StatusView {
  readonly reason: string;
  readonly message: string;
}

/** An answer of the API server that is not a success. */
export class ApiStatusError extends Error {
  /** HTTP status code. */
  readonly status: number;
  /** The Status object of the answer; undefined when the body is not one. */
  readonly details: StatusView | undefined;
  /** Of the Retry-After header, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, body: string, headers: Readonly<Record<string, string>>) {
    const details = parseStatus(body);
    super(details?.message || `HTTP ${status} ${body.slice(0, 200)}`.trim());
    this.name = "ApiStatusError";
    this.status = status;
    this.details = details;
    const seconds = Number(headers["retry-after"]);
    this.retryAfterMs = headers["retry-after"] !== undefined && seconds >= 0 ? seconds * 1000 : undefined;
  }
}

function parseStatus(body: string): StatusView | undefined {
  try {
    const value = JSON.parse(body);
    if (value?.kind !== "Status") return undefined;
    return { reason: String(value.reason ?? ""), message: String(value.message ?? "") };
  } catch {
    return undefined;
  }
}

const UNTRUSTED =
  /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER))/;

/** Any failure of a call as the driver reports it. */
export function toFailure(error: unknown, call: CallName, server: string, signal?: AbortSignal): DriverError {
  if (error instanceof DriverError) return error;
  if (signal?.aborted) return cancelledBy(signal, `${call.verb} ${call.resource} in Kubernetes`);
  if (error instanceof ApiStatusError) return statusFailure(error, call);
  const code = String((error as { code?: unknown } | undefined)?.code ?? "");
  const reason = error instanceof Error ? error.message : String(error);
  if (UNTRUSTED.test(code)) return failure("kubernetesUntrusted", { server, reason }, error);
  return failure(
    "kubernetesUnavailable",
    { ...call, reason: code === "" || reason.includes(code) ? reason : `${reason} (${code})` },
    error,
  );
}

function statusFailure(error: ApiStatusError, call: CallName): DriverError {
  if (error.status === 401) return failure("kubernetesUnauthenticated", call, error);
  if (error.status === 403) return failure("kubernetesForbidden", { ...call, detail: error.message }, error);
  const transient = error.status >= 500 || [404, 408, 409, 410, 429].includes(error.status);
  return transient || error.status < 400
    ? failure("kubernetesUnavailable", { ...call, reason: error.message }, error)
    : failure("kubernetesRejected", { ...call, detail: error.message }, error);
}

/** What the driver's account may not read is undefined: these rights are the administrator's to grant. Other failures are thrown. */
export async function ifAllowed<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isFailure(error, "kubernetesForbidden")) return undefined;
    throw error;
  }
}

/**
 * As ifAllowed, for answers that a proof rests on: once an answer came, a later refusal is thrown. An API server that restarts refuses
 * everything until it has read its rules; that is no administrator's choice.
 */
export function optionalRight(): typeof ifAllowed {
  let granted = false;
  return async (ask) => {
    if (!granted) {
      const answer = await ifAllowed(async () => ({ value: await ask() }));
      granted = answer !== undefined;
      return answer?.value;
    }
    return ask();
  };
}
