import { failure } from "../domain/errors/driver-error.ts";

/** Lets one operation at a time work on a volume. */
export interface InFlight {
  /** @throws operationInFlight (ABORTED) while another operation on `key` runs */
  run<T>(key: string, operation: string, work: () => Promise<T>): Promise<T>;
}

/** Nothing queues: the caller repeats the call, which is what CSI expects. */
export function createInFlight(): InFlight {
  const running = new Map<string, string>();
  return {
    run: async (key, operation, work) => {
      const other = running.get(key);
      if (other !== undefined) throw failure("operationInFlight", { volume: key, running: other });
      running.set(key, operation);
      try {
        return await work();
      } finally {
        running.delete(key);
      }
    },
  };
}
