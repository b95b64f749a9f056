#!/bin/busybox sh
# PID 1 of a lab machine under User Mode Linux. Its root is the host's own tree, read-only (hostfs); what is written goes to
# tmpfs, or to the machine's disk, a directory of the host, at /run/disk. The kernel's command line says the rest: see
# guest/setup.sh, and lab.modules (a directory with `list`), lab.root (the repository), lab.multipath (Y or N), lab.bun,
# lab.mailbox (where requests lie), lab.disk.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
# With its whole path: until then /proc is the host's, and busybox, which runs /proc/self/exe, would run the kernel.
/bin/mount -n -t proc proc /proc
mount -n -t sysfs sysfs /sys
mount -n -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -n -t devpts devpts /dev/pts
mount -n -t tmpfs tmpfs /dev/shm
root=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^lab\.root=//p')
. "$root/test/lab/guest/setup.sh"
modules=$(argument modules)
while read -r name; do
  case $name in
    nvme-core.ko) insmod "$modules/$name" "multipath=$(argument multipath)" ;;
    *) insmod "$modules/$name" ;;
  esac
done <"$modules/list"
mount_memory
# The host's whole tree again, also what tmpfs covers, and writable with the rights of who started the lab.
mkdir -p /run/host && mount -n -t hostfs -o / none /run/host
disk=$(argument disk)
if [ -n "$disk" ]; then mount -n -t hostfs -o "$disk" none /run/disk; fi
set_up_network
# One open only of the agent's line.
exec <>/dev/ttyS0 >&0 2>/run/agent.log
stty raw -echo
# Not exec: this shell reaps what the agent's children leave behind. When the agent ends, so does the machine.
"/run/host$(argument bun)" "/run/host$root/test/lab/guest/agent.ts" "/run/host$(argument mailbox)"
