import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { DRIVER, type Lab } from "../../../test/support/loop-node.ts";

let trees = 0;

/** A sysfs like this machine's, except that these devices have vanished (they are still there, so data can be compared). */
export function sysfsWithout(lab: Lab, ...numbers: readonly string[]): string {
  trees += 1;
  const root = `${lab.root}/sys-${trees}`;
  mkdirSync(`${root}/dev/block`, { recursive: true });
  for (const name of readdirSync("/sys")) if (name !== "dev") symlinkSync(`/sys/${name}`, `${root}/${name}`);
  // Loop devices that are made later are there, too.
  const loops = Array.from({ length: 256 }, (_, minor) => `7:${minor}`);
  for (const number of new Set([...readdirSync("/sys/dev/block"), ...loops])) {
    if (!numbers.includes(number)) symlinkSync(`/sys/dev/block/${number}`, `${root}/dev/block/${number}`);
  }
  return root;
}

/** A staging path as kubelet makes it, with kubelet's record; the directory exists. */
export function kubeletStaging(lab: Lab, volumeId: string, driver = DRIVER): string {
  const hash = createHash("sha256").update(volumeId).digest("hex");
  return kubeletPath(lab.path("plugins/kubernetes.io/csi", driver, hash), "globalmount", volumeId, driver);
}

/** A target path as kubelet makes it; its parent exists. */
export function kubeletTarget(lab: Lab, pod: string, volumeId: string): string {
  const directory = lab.path("pods", pod, "volumes/kubernetes.io~csi", `pv-${volumeId}`);
  return kubeletPath(directory, "mount", volumeId, DRIVER);
}

function kubeletPath(directory: string, name: string, volumeHandle: string, driverName: string): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/vol_data.json`, JSON.stringify({ driverName, volumeHandle }));
  if (name === "globalmount") mkdirSync(`${directory}/${name}`, { recursive: true });
  return `${directory}/${name}`;
}
