#!/bin/busybox sh
# PID 1 of a lab machine. Its root is the host's own tree, read-only (hostfs); what is written goes to tmpfs. The kernel's command
# line says the rest: lab.name, lab.modules (a directory with `list`), lab.ip (interface=address/bits, repeatable), lab.root
# (the repository), lab.multipath (Y or N), lab.bun,
# lab.mailbox (where requests lie).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
# With its whole path: until then /proc is the host's, and busybox, which runs /proc/self/exe, would run the kernel.
/bin/mount -n -t proc proc /proc
mount -n -t sysfs sysfs /sys
mount -n -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -n -t devpts devpts /dev/pts
mount -n -t tmpfs tmpfs /dev/shm
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^lab\.$1=//p"; }
modules=$(argument modules)
while read -r name; do
  case $name in
    nvme-core.ko) insmod "$modules/$name" "multipath=$(argument multipath)" ;;
    *) insmod "$modules/$name" ;;
  esac
done <"$modules/list"
for directory in /run /tmp /mnt /var/lib /etc/nvme; do [ -d $directory ] && mount -n -t tmpfs tmpfs $directory; done
# The host's whole tree again, also what tmpfs covers, and writable with the rights of who started the lab.
mkdir -p /run/host /run/rds-csi && mount -n -t hostfs -o / none /run/host
mount -n -t configfs none /sys/kernel/config
ip link set lo up
for pair in $(argument ip); do
  ip link set "${pair%%=*}" up && ip address add "${pair#*=}" dev "${pair%%=*}"
done
hostname "$(argument name)"
# One open only of the agent's line.
exec <>/dev/ttyS0 >&0 2>/run/agent.log
stty raw -echo
# Not exec: this shell reaps what the agent's children leave behind. When the agent ends, so does the machine.
"/run/host$(argument bun)" "/run/host$(argument root)/test/lab/guest/agent.ts" "/run/host$(argument mailbox)"
