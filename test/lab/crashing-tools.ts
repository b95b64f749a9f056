import type { Machine } from "./machine.ts";
import type { Service } from "./world.ts";

/** When the node process dies: before a program runs, while it runs (it goes on alone), or after it has ended. */
export type Moment = "before" | "during" | "after";

const DIRECTORY = "/run/crash";
const WRAPPED = [
  ...["nvme", "fuser", "mount", "umount", "blkid", "blockdev", "mkfs.ext4", "mkfs.xfs", "stat"],
  ...["e2fsck", "resize2fs", "xfs_growfs", "dumpe2fs", "tune2fs", "xfs_io"],
];

/**
 * Puts programs of the same names before those that the node executes, which count their runs and kill the node process at a
 * chosen one. (Its own helper process is not among them: it reads, and writes no more than the mark of a filesystem in the making.)
 */
export class CrashingTools {
  readonly #machine: Machine;

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  static async install(machine: Machine): Promise<CrashingTools> {
    const wrapper = `#!/bin/dash
name=\${0##*/}
for real in /usr/sbin/$name /usr/bin/$name /sbin/$name /bin/$name; do [ -x $real ] && break; done
exec 9>${DIRECTORY}/lock
flock 9
n=$(($(cat ${DIRECTORY}/count) + 1))
echo $n >${DIRECTORY}/count
echo "$n $name $*" >>${DIRECTORY}/log
flock -u 9
exec 9>&-
if [ $n != "$(cat ${DIRECTORY}/at)" ]; then exec $real "$@"; fi
moment=$(cat ${DIRECTORY}/moment)
if [ $moment != after ]; then kill -9 $(cat ${DIRECTORY}/pid); fi
if [ $moment = before ]; then exit 1; fi
$real "$@"
code=$?
if [ $moment = after ]; then kill -9 $(cat ${DIRECTORY}/pid); fi
exit $code
`;
    const script = `mkdir -p ${DIRECTORY} && mount -t tmpfs tools /usr/local/sbin && cat >/usr/local/sbin/wrapper <<'END'
${wrapper}END
chmod +x /usr/local/sbin/wrapper
for t in ${WRAPPED.join(" ")}; do ln -s wrapper /usr/local/sbin/$t; done`;
    await machine.sh(script);
    return new CrashingTools(machine);
  }

  /** Kills `service` at the nth program from now on; 0 never. */
  async arm(service: Service, at: number, moment: Moment): Promise<void> {
    await this.#machine.sh(
      `cd ${DIRECTORY} && echo 0 >count && : >log && echo ${at} >at && echo ${moment} >moment && echo ${service.pid} >pid`,
    );
  }

  /** The programs run since, as `1 nvme connect ...`. */
  async log(): Promise<readonly string[]> {
    return (await this.#machine.sh(`cat ${DIRECTORY}/log`)).split("\n").filter((line) => line !== "");
  }
}
