import { type DriverError, failure } from "../domain/errors/driver-error.ts";

/** The errors of a server that cannot listen; each has its own remedy. */
export type ListenErrorId =
  | "cannotListen"
  | "addressInUse"
  | "addressNotLocal"
  | "listenDenied"
  | "socketDirectoryMissing"
  | "socketPathOccupied";

/** Error and reason for people, by the code of the operating system's error. */
const REASONS: Readonly<Record<string, readonly [ListenErrorId, string]>> = {
  EADDRINUSE: ["addressInUse", "another process has it"],
  EADDRNOTAVAIL: ["addressNotLocal", "this machine has no such address"],
  EACCES: ["listenDenied", "this user may not have it"],
  EPERM: ["listenDenied", "this user may not have it"],
  ENOENT: ["socketDirectoryMissing", "its directory does not exist"],
  ENOTDIR: ["socketDirectoryMissing", "its directory is not a directory"],
};

/** The error for a code of the operating system, such as EACCES; `cannotListen` for an unknown one. */
export function listenErrorId(code: string | undefined): ListenErrorId {
  return REASONS[code ?? ""]?.[0] ?? "cannotListen";
}

/**
 * The error of a server that cannot listen.
 * @param option the option that names the address, without `--`
 * @param address as the option has it
 */
export function listenError(option: string, address: string, cause: unknown): DriverError {
  const { code = "", message = String(cause) } = cause as { code?: string; message?: string };
  const known = REASONS[code];
  const reason = known === undefined ? message : `${known[1]} (${code})`;
  return failure(listenErrorId(code), { option, address, reason }, cause);
}
