import type { MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from "../../src/csi/gen/csi_pb.ts";

export { Mode };
export type Capability = MessageInitShape<typeof VolumeCapabilitySchema>;

export const MIB = 1024n ** 2n;
export const GIB = 1024n ** 3n;

export const block = (mode: Mode = Mode.SINGLE_NODE_WRITER): Capability => ({
  accessMode: { mode },
  accessType: { case: "block", value: {} },
});

export const mount = (
  mode: Mode = Mode.SINGLE_NODE_WRITER,
  fsType = "",
  mountFlags: string[] = [],
): Capability => ({
  accessMode: { mode },
  accessType: { case: "mount", value: { fsType, mountFlags } },
});

/** A grpc-js error, as far as tests look at it. */
interface RpcError extends Error {
  readonly code: number;
  readonly details: string;
  readonly metadata: { getMap(): Record<string, unknown> };
}

function isRpcError(error: unknown): error is RpcError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

/**
 * How a call ended: "OK", or `CODE: message`. Checks on the way what CSI demands of every failure: a message, and no
 * status details.
 */
export async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (!isRpcError(error)) throw error;
    if (error.details === "") throw new Error(`${status[error.code]} without a message`);
    const trailers = Object.keys(error.metadata.getMap()).filter((key) =>
      key.startsWith("grpc-status-details"),
    );
    if (trailers.length > 0) throw new Error(`the failure carries ${trailers.join(", ")}`);
    return `${status[error.code]}: ${error.details}`;
  }
}

/** The code alone. */
export const codeOf = async (call: Promise<unknown>): Promise<string> =>
  (await outcome(call)).split(":")[0] ?? "";
