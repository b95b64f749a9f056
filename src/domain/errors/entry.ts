import { GrpcCode } from "./grpc-code.ts";

/**
 * One kind of failure. `message` names the failure and its object; `remedy` is the action of a person. Neither may hold secrets
 * or a whole RouterOS command.
 */
export interface ErrorEntry<P> {
  readonly code: GrpcCode;
  readonly message: (params: P) => string;
  readonly remedy: string;
}

/** A parameter of several words. */
export type List = readonly string[];

type Make = <P>(message: (params: P) => string, remedy: string) => ErrorEntry<P>;

/** Declares a catalogue entry by its code, with typed parameters: `entry.NOT_FOUND<{ node: string }>(message, remedy)`. */
export const entry = Object.fromEntries(
  Object.entries(GrpcCode).map(([name, code]): [string, Make] => [
    name,
    (message, remedy) => ({ code, message, remedy }),
  ]),
) as Readonly<Record<keyof typeof GrpcCode, Make>>;
