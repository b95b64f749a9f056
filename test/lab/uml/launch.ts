import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { executable, repository } from "../../support/executable.ts";
import type { MachineKind } from "../kind.ts";

const directory = process.env.RDS_CSI_LAB ?? "";

/**
 * User Mode Linux: a kernel of its own that is a process here; its root is this machine's own tree, read-only, its disk a
 * directory. Computes about as fast as the host.
 */
export const uml: MachineKind = {
  name: "uml",
  slowness: 1,
  hasHostTree: true,
  bootLimitMs: 60_000,
  executable: `/run/host${executable}`,
  records: `/run/host${directory}/records`,
  launch: (
    { name, address, mac, cable, logs, memory = "512M", multipath = true, disk, blockDevice, mtu = 1500 },
    n,
  ) => {
    const mailbox = join(logs, `${name}-${n}.mailbox`);
    mkdirSync(mailbox, { recursive: true });
    if (disk !== undefined) mkdirSync(disk, { recursive: true });
    const kernel = [
      join(directory, "linux.uml"),
      ...[`mem=${memory}`, `uml_dir=${logs}/uml/`, `umid=${name}-${n}`],
      ...["root=none", "rootfstype=hostfs", "rootflags=/", "ro"],
      ...["con=null", "con0=null,fd:1", "ssl0=fd:3", "panic=1", "loglevel=7"],
      `init=${join(repository, "test/lab/uml/init.sh")}`,
      `vec0:transport=fd,fd=10,mac=${mac},gro=0,depth=128,mtu=${mtu}`,
      ...[`lab.name=${name}`, `lab.ip=vec0=${address}`, `lab.modules=${directory}/modules`],
      ...[`lab.root=${repository}`, `lab.bun=${process.execPath}`, `lab.multipath=${multipath ? "Y" : "N"}`],
      ...[`lab.mailbox=${mailbox}`, ...(disk === undefined ? [] : [`lab.disk=${disk}`])],
      ...(blockDevice === undefined ? [] : [`ubd0=${blockDevice}`]),
    ];
    const ports = `${cable.machinePort}-${cable.switchPort}`;
    // One CPU for all of an instance: spread over two, the kernel and its traced children cost two to four times as much.
    const cpu = String(n % availableParallelism());
    const child = spawn("taskset", ["-c", cpu, join(directory, "with-cables"), ports, ...kernel], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      detached: true,
      env: { PATH: process.env.PATH ?? "", TMPDIR: "/dev/shm", LD_PRELOAD: join(directory, "xstate.so") },
    });
    // Its serial line stops for good after a few thousand characters towards the machine: only a number goes over it.
    const envelope = (id: number, request: string) => {
      const file = join(mailbox, String(id));
      writeFileSync(file, request);
      return { line: String(id), done: () => rmSync(file, { force: true }) };
    };
    return { child, envelope };
  },
};
