import { execFileSync, spawn } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { MachineKind } from "../kind.ts";

const directory = process.env.RDS_CSI_LAB ?? "";
const image = process.env.RDS_CSI_LAB_IMAGE ?? "";

/** Room for translated code, in MiB; QEMU takes up to 1 GiB of its own accord, which makes nothing faster. */
const TRANSLATED_MIB = 256;

/** Sparse; more than any scenario writes. */
const DISK_SIZE = "64G";

/** An empty disk with a filesystem; needs no root. */
function makeDisk(file: string): void {
  if (existsSync(file)) return;
  const fresh = `${file}.new`;
  const options = "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1";
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-E", options, fresh, DISK_SIZE]);
  renameSync(fresh, file);
}

/**
 * QEMU with an emulated processor (TCG, no KVM) and Debian's own kernel. Its root is a disk image (image.sh) that all machines
 * share, read-only. Computes 10 to 20 times slower than the host.
 */
export const qemu: MachineKind = {
  name: "qemu",
  slowness: 4,
  hasHostTree: false,
  bootLimitMs: 180_000,
  executable: "/lab/rds-csi",
  records: "/lab/records",
  launch: ({ name, address, mac, cable, memory = "512M", multipath = true, disk }) => {
    const drive = (file: string, more: string) => ["-drive", `file=${file},format=raw,if=virtio,${more}`];
    if (disk !== undefined) makeDisk(disk);
    const kernel = [
      ...["console=ttyS0", "loglevel=4", "panic=1", "mitigations=off", "audit=0", "cryptomgr.notests"],
      ...[`nvme_core.multipath=${multipath ? "Y" : "N"}`, `lab.name=${name}`, `lab.ip=eth0=${address}`],
    ];
    const args = [
      // All features of the emulated processor: Bun needs more than the default has.
      ...[
        "-machine",
        "q35",
        "-accel",
        `tcg,tb-size=${TRANSLATED_MIB}`,
        "-cpu",
        "max",
        "-smp",
        "1",
        "-m",
        memory,
      ],
      ...["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"],
      ...["-kernel", join(directory, "vmlinuz"), "-initrd", join(directory, "initrd.cpio")],
      ...drive(image, "readonly=on"),
      // A machine that loses power has lost nothing that this process was given: no need to wait for the host's disk.
      ...(disk === undefined ? [] : drive(disk, "cache=unsafe,discard=unmap")),
      ...[
        "-netdev",
        dgram(cable.machinePort, cable.switchPort),
        "-device",
        `virtio-net-pci,netdev=n0,mac=${mac}`,
      ],
      ...["-device", "virtio-serial-pci", "-chardev", "socket,id=agent,fd=3"],
      ...["-device", "virtserialport,chardev=agent,name=agent"],
      ...["-append", kernel.join(" ")],
    ];
    const child = spawn("qemu-system-x86_64", args, {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      detached: true,
      env: { PATH: process.env.PATH ?? "" },
    });
    return { child, envelope: (_id, request) => ({ line: request, done: () => {} }) };
  },
};

/** A network card's cable: an Ethernet frame is a datagram between two UDP ports of loopback. */
function dgram(here: number, there: number): string {
  const place = (end: string, port: number) => `${end}.type=inet,${end}.host=127.0.0.1,${end}.port=${port}`;
  return `dgram,id=n0,${place("local", here)},${place("remote", there)}`;
}
