/**
 * Settles like `work`, or rejects with the signal's reason as soon as it is aborted. `work` then continues, and its result is
 * ignored: for callers that must be answered even when the work hangs.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const leave = () => reject(signal.reason);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}

/** Aborts `child` with the parent's reason once the parent is aborted. Call the result to cut the link. */
export function linkAbort(parent: AbortSignal, child: AbortController): () => void {
  const forward = () => child.abort(parent.reason);
  if (parent.aborted) forward();
  else parent.addEventListener("abort", forward, { once: true });
  return () => parent.removeEventListener("abort", forward);
}
