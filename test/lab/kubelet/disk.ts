import { join } from "node:path";
import { archiveOfDriver } from "../../cluster/cluster.ts";
import { makeImages } from "../../cluster/images.ts";
import { INSIDE, Machine as Namespaces, type Place } from "../../cluster/machine.ts";
import { ctr, startContainerd } from "../../cluster/node.ts";
import { run } from "../../cluster/run.ts";

const DISK_SIZE = "6G";

/**
 * Makes the disk of a node before its first boot: /var/lib with the images of all pods. containerd unpacks them in namespaces of this
 * computer, at several times the speed of a machine of the lab.
 * @param file where the disk is made
 * @param archives further images, in the directory of the cluster
 */
export async function makeNodeDisk(place: Place, file: string, archives: readonly string[]): Promise<void> {
  const maker = await Namespaces.start("images", place);
  try {
    await startContainerd(maker);
    const copies = [await makeImages(place.programs), await archiveOfDriver(place), ...archives];
    for (const [index, archive] of copies.entries()) {
      // Through the machine's own directory, the only one that is surely seen there.
      const name = `${index}.tar`;
      await run("cp", ["--reflink=auto", archive, join(maker.directory, name)]);
      // The layout names its image by the version only.
      const naming = index === 1 ? ["--base-name", "docker.io/library/rds-csi"] : [];
      await ctr(maker, "images", "import", ...naming, `${INSIDE.machine}/${name}`);
    }
  } finally {
    await maker.end();
  }
  const options = ["-q", "-m", "0", "-E", "lazy_itable_init=1,root_owner=0:0"];
  await run("mkfs.ext4", [...options, "-d", join(maker.directory, "lib"), file, DISK_SIZE]);
  await run("rm", ["-rf", maker.directory]);
}
