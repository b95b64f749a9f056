#!/bin/dash
# PID 1 of a lab machine under QEMU, after the first root (build.sh) has handed over. Its root is an image with Debian's own
# programs, read-only; what is written goes to tmpfs, or to the machine's disk at /run/disk. The kernel's command line says
# the rest: see guest/setup.sh.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
. /lab/setup.sh
mkdir -p /dev/pts /dev/shm
mount -n -t devpts devpts /dev/pts
mount -n -t tmpfs tmpfs /dev/shm
modprobe -a virtio_net virtio_console loop nvmet-tcp nvme-tcp
mount_memory
if [ -b /dev/vdb ]; then mount -n -t ext4 /dev/vdb /run/disk; fi
set_up_network
# The only serial port appears a moment after its driver, under a number that depends on the other devices. One open only.
until [ -c "$(echo /dev/vport*p1)" ]; do sleep 0.05; done
exec <>"$(echo /dev/vport*p1)" >&0 2>/run/agent.log
# Not exec: this shell reaps what the agent's children leave behind. When the agent ends, so does the machine.
# It computes little, and compiling that to machine code costs an emulated processor more than it saves.
BUN_JSC_useJIT=0 /lab/agent
