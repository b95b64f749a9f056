import type { Capability } from "../domain/access-mode.ts";
import { capabilityProblem } from "../domain/capability-problem.ts";

/** Requires that every capability is supported. @throws the first problem (INVALID_ARGUMENT) */
export function requireSupported(capabilities: readonly Capability[]): void {
  for (const capability of capabilities) {
    const problem = capabilityProblem(capability);
    if (problem !== undefined) throw problem;
  }
}
