import { randomBytes } from "node:crypto";
import { chmod, link, lstat, stat, unlink } from "node:fs/promises";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import { errorCode } from "../domain/error-code.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { listenError, listenErrorId } from "./listen-error.ts";

/** How long a socket that exists is asked whether somebody answers, milliseconds. */
const CONNECT_TIMEOUT_MS = 1_000;

/** Read and write for owner and group. */
const SOCKET_MODE = 0o660;

/**
 * Puts a listening socket at `path` with mode 0660. It is bound under a temporary name in the same directory and
 * linked into place, so that it never appears with other rights, never replaces a file, and the runtime, which removes
 * the name it bound when it closes, cannot remove a successor's socket.
 * @param path absolute
 * @param option the option that the path comes from, without `--`, for errors
 * @param bind listens on the path that it is given
 * @returns removes the socket, if it is still this one; call it after closing
 * @throws the errors of listenError; see claimSocketPath
 */
export async function placeSocket(
  path: string,
  option: string,
  bind: (temporary: string) => Promise<void>,
): Promise<() => Promise<void>> {
  await claimSocketPath(path, option);
  const temporary = join(dirname(path), `.${randomBytes(3).toString("hex")}`);
  try {
    await bind(temporary);
    await chmod(temporary, SOCKET_MODE);
    await link(temporary, path);
  } catch (error) {
    throw listenError(option, path, error);
  } finally {
    await unlink(temporary).catch(() => {});
  }
  const identity = await identityOf(path);
  return async () => {
    if (identity !== undefined && (await identityOf(path)) === identity) await unlink(path);
  };
}

/**
 * Makes `path` free to listen on: its directory must exist, and `path` must be absent or a socket that nobody answers on
 * any more, which is removed. A file of another kind is never touched.
 * @throws the errors of listenError; cannotListen when it cannot be found out whether somebody answers
 */
async function claimSocketPath(path: string, option: string): Promise<void> {
  const refuse = (reason: string, cause?: unknown, id = listenErrorId(errorCode(cause))) =>
    failure(id, { option, address: path, reason }, cause);
  const directory = dirname(path);
  const parent = await stat(directory).catch((error: unknown) => {
    throw refuse(`directory ${directory}: ${errorCode(error) ?? error}`, error);
  });
  if (!parent.isDirectory())
    throw refuse(`${directory} is not a directory`, undefined, "socketDirectoryMissing");
  const found = await lstat(path).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw refuse(errorCode(error) ?? String(error), error);
  });
  if (found === undefined) return;
  if (!found.isSocket())
    throw refuse("a file that is not a socket is in the way", undefined, "socketPathOccupied");
  const answer = await connectCode(path);
  if (answer === "connected") throw refuse("another process serves it", undefined, "addressInUse");
  if (answer !== "ECONNREFUSED") throw refuse(`the socket is there and its state is unclear (${answer})`);
  await unlink(path).catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT")
      throw refuse(`the stale socket cannot be removed (${errorCode(error) ?? error})`, error);
  });
}

/** Which file a path names, to recognise it later; undefined when there is no socket. */
async function identityOf(path: string): Promise<string | undefined> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  return found?.isSocket() === true ? `${found.dev}:${found.ino}` : undefined;
}

function connectCode(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const timer = setTimeout(() => finish("no answer in time"), CONNECT_TIMEOUT_MS);
    const finish = (result: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => finish("connected"));
    socket.on("error", (error) => finish(errorCode(error) ?? String(error)));
  });
}
