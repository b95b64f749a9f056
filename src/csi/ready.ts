/** Whether this process can work: closed while it starts and from its stop signal on. */
export interface ReadyGate {
  /** For Probe and `/readyz`. */
  isReady(): boolean;
  open(): void;
  close(): void;
}

/** A gate that starts closed. */
export function createReadyGate(): ReadyGate {
  let ready = false;
  return {
    isReady: () => ready,
    open: () => {
      ready = true;
    },
    close: () => {
      ready = false;
    },
  };
}
