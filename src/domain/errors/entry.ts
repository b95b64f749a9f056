import { GrpcCode } from "./grpc-code.ts";

/**
 * One kind of failure. `message` names the failure and its object; `remedy` is the action of a person. Neither may hold secrets
 * or a whole RouterOS command. `repetition` is said to a caller that repeats its calls (CSI), and in the log: it is false for a
 * command of a person. `remedy` may be empty beside it.
 */
export interface ErrorEntry<P> {
  readonly code: GrpcCode;
  readonly message: (params: P) => string;
  readonly remedy: string;
  readonly repetition?: string;
}

/** The usual repetition: kubelet and the sidecars repeat each call that failed. */
export const REPEATED = "The call is repeated by itself.";

/** The remedy for a caller that repeats its calls. */
export function callRemedy({ remedy, repetition }: ErrorEntry<never>): string {
  return [remedy, repetition ?? ""].filter((text) => text !== "").join(" ");
}

/** The remedy for a person who has run a command once. */
export function commandRemedy({ remedy, repetition }: ErrorEntry<never>): string {
  return repetition === undefined ? remedy : `${remedy} Repeat the command.`.trim();
}

/** A parameter of several words. */
export type List = readonly string[];

type Make = <P>(message: (params: P) => string, remedy: string, repetition?: string) => ErrorEntry<P>;

/** Declares a catalogue entry by its code, with typed parameters: `entry.NOT_FOUND<{ node: string }>(message, remedy)`. */
export const entry = Object.fromEntries(
  Object.entries(GrpcCode).map(([name, code]): [string, Make] => [
    name,
    (message, remedy, repetition) => ({
      ...{ code, message, remedy },
      ...(repetition === undefined ? {} : { repetition }),
    }),
  ]),
) as Readonly<Record<keyof typeof GrpcCode, Make>>;
