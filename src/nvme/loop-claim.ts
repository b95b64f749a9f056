import { link, stat, unlink, writeFile } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { isCode, readIfPresent } from "../host/files.ts";
import type { NodeSystem } from "../host/system.ts";
import { bindMount, unmount } from "../mount/mounter.ts";

/**
 * Whether the claim is this image file right now.
 * @throws nodeStateUnknown, also if there is no image
 */
export async function isClaimOf(claim: string, image: string): Promise<boolean> {
  const [held, wanted] = await Promise.all(
    [claim, image].map((path) => readIfPresent(path, () => stat(path), ["ENOENT"])),
  );
  if (wanted === undefined) {
    const detail = "it is exported but does not exist";
    throw failure("nodeStateUnknown", { what: `image ${image}`, detail });
  }
  return held !== undefined && held.ino === wanted.ino && held.dev === wanted.dev;
}

/**
 * Gives the image file a second name: a hard link, or a bind mount if the image is on another filesystem.
 * @throws nodeCommandFailed, mountFailed
 */
export async function claimImage(
  system: NodeSystem,
  claim: string,
  image: string,
  signal?: AbortSignal,
): Promise<void> {
  await dropClaim(system, claim, signal);
  try {
    await link(image, claim);
  } catch (error) {
    if (!isCode(error, "EXDEV")) {
      const what = `claiming ${image} as ${claim}`;
      throw failure("nodeCommandFailed", { what, detail: String(error) }, error);
    }
    await writeFile(claim, "", { flag: "wx", mode: 0o600 });
    await bindMount(system.exec, image, claim, false, `${system.procRoot}/self/mountinfo`, signal);
  }
}

/**
 * Takes a claim away; absent is success. The image itself stays under its own name.
 * @throws unmountFailed, nodeStateUnknown
 */
export async function dropClaim(system: NodeSystem, claim: string, signal?: AbortSignal): Promise<void> {
  if (!(await remove(claim))) {
    await unmount(system.exec, claim, signal);
    await remove(claim);
  }
}

/** Removes a claim. @returns false if it is a mount point */
async function remove(claim: string): Promise<boolean> {
  try {
    await unlink(claim);
    return true;
  } catch (error) {
    if (isCode(error, "ENOENT")) return true;
    if (isCode(error, "EBUSY")) return false;
    throw failure("nodeStateUnknown", { what: claim, detail: String(error) }, error);
  }
}
