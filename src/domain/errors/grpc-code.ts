/**
 * The gRPC status codes that this driver answers with, by their wire numbers. Kept here so that the
 * domain does not depend on a gRPC library. Source: gRPC core specification, "Status codes".
 */
export const GrpcCode = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

/** The name of a gRPC status code as specifications spell it, for logs, metrics and docs. */
export function grpcCodeName(code: GrpcCode): keyof typeof GrpcCode {
  for (const [name, value] of Object.entries(GrpcCode)) {
    if (value === code) return name as keyof typeof GrpcCode;
  }
  throw new RangeError(`not a gRPC code: ${code}`);
}
