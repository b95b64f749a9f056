#!/bin/sh
# Makes a machine of the lab a computer that can be a node of Kubernetes, with the paths of test/cluster/machine.ts.
# Usage: node.sh DIR BIN REPOSITORY LAB, paths of the host: the machine's directory, the programs of the cluster, this repository, and
# what uml/build.sh made.
#   /var/lib         on the machine's block device, which outlives a power-off
#   /lib/modules     modules of this kernel, nvme-tcp among them, which the driver has to load itself
set -eu
host=/run/host
for module in "$host$4"/more-modules/*.ko; do insmod "$module"; done
rmmod nvme-tcp

# The first control group may have processes beside children with limits, so nothing is moved.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done

# Without barriers: a write that is done is in the host's memory, which the end of this machine does not touch.
mount -o nobarrier,noatime /dev/ubda /var/lib
mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/rds-csi
mount -t tmpfs tmpfs /var/log

mkdir -p /run/cluster/bin /run/cluster/repository /run/cluster/machine
mount --bind "$host$2" /run/cluster/bin
mount --bind "$host$3" /run/cluster/repository
mount -t hostfs -o "$1" none /run/cluster/machine

# The root is the host's, read-only, and may have no directory for modules.
modules=/run/cluster/lib/modules/$(uname -r)
mkdir -p "$modules" /run/cluster/work
cp "$host$4"/modules/*.ko "$modules"
: >"$modules/modules.order"
: >"$modules/modules.builtin"
mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=/run/cluster/lib,workdir=/run/cluster/work /usr/lib
depmod "$(uname -r)"

# kubelet ends if it finds no clock speed.
{ cat /proc/cpuinfo && echo "cpu MHz : 1000.000"; } >/run/cluster/cpuinfo
mount --bind /run/cluster/cpuinfo /proc/cpuinfo
echo 1 >/proc/sys/net/ipv4/ip_forward
# As on distributions: mounts of kubelet appear in the driver's container, and the other way round.
mount --make-rshared /
