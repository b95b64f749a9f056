import { execFileSync } from "node:child_process";
import process from "node:process";
import { kind } from "./kind.ts";
import type { SharingFilesystem } from "./world.ts";

function installed(program: string): boolean {
  try {
    execFileSync("which", [program], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/**
 * The filesystem of the images in scenarios of snapshots: Btrfs, as on an RDS, where its mkfs is installed. Both are built into the kernel
 * of User Mode Linux. RDS_CSI_LAB_IMAGES=xfs chooses the other one.
 */
export const sharing: SharingFilesystem =
  process.env.RDS_CSI_LAB_IMAGES !== "xfs" && installed("mkfs.btrfs") ? "btrfs" : "xfs";

/** Why no snapshot can be of one instant here, for the names of skipped tests; "" when it can. */
export const noSharing: string =
  kind.name === "uml" ? "" : "(skipped: the disk of such machines cannot share blocks between files)";
