import { type DriverError, failure } from "../domain/errors/driver-error.ts";

/** Reasons for people, by the code of the operating system's error. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process has it",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "this user may not have it",
  ENOENT: "its directory does not exist",
};

/**
 * The error of a server that cannot listen.
 * @param option the option that names the address, without `--`
 * @param address as the option has it
 */
export function listenError(option: string, address: string, cause: unknown): DriverError {
  const { code = "", message = String(cause) } = cause as { code?: string; message?: string };
  const known = REASONS[code];
  const reason = known === undefined ? message : `${known} (${code})`;
  return failure("cannotListen", { option, address, reason }, cause);
}
