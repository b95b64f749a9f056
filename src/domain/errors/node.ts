import { entry } from "./entry.ts";
import { GrpcCode } from "./grpc-code.ts";

/** Failures on a node: connecting, formatting, mounting, releasing. */
export const nodeErrors = {
  toolMissing: entry<{ tool: string }>(
    GrpcCode.FAILED_PRECONDITION,
    (p) => `the program ${p.tool} is not available on this node`,
    "Use the driver's own image, which ships it.",
  ),
} as const;
