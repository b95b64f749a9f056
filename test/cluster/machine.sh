#!/bin/bash
# First process of a machine of the cluster, in namespaces of its own (machine.ts): makes the tree that its programs see, then stays,
# and takes the exit codes of processes that nobody else waits for. Usage: machine.sh NAME DIR BIN REPOSITORY RDS
#   /run/cluster/bin, repository   read-only
#   /run/cluster/machine           DIR, and from it /var/lib
#   /var/lib/kubelet/rds           RDS: the files of the simulated RDS, which loop devices are made of
set -eu
name=$1
hostname "$name"
# Opened first: they may be below a directory that is covered now.
exec 3<"$3" 4<"$4" 5<"$2" 6<"$5"
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/cluster/bin /run/cluster/repository /run/cluster/machine /run/cluster/sysctl /run/lock
mount --bind -o ro /proc/self/fd/3 /run/cluster/bin
mount --bind -o ro /proc/self/fd/4 /run/cluster/repository
mount --bind /proc/self/fd/5 /run/cluster/machine
mkdir -p /run/cluster/machine/lib/kubelet/rds /run/cluster/machine/lib/containerd /run/cluster/machine/lib/rds-csi
mount --bind /run/cluster/machine/lib /var/lib
mount --bind /proc/self/fd/6 /var/lib/kubelet/rds
exec 3<&- 4<&- 5<&- 6<&-
# The hierarchies of control groups as they are from the machine's own group on, so that a node sees no containers but its own.
grep -E ' - cgroup2? ' /proc/self/mountinfo >/run/cluster/cgroups
while read -r _ _ _ _ point _; do umount "$point"; done <<<"$(tac /run/cluster/cgroups)"
while read -r _ _ _ _ point rest; do
  read -r kind _ options <<<"${rest#* - }"
  options=${options#rw}
  options=${options#,}
  if [ "$kind" = cgroup2 ]; then
    mount -t cgroup2 cgroup2 "$point"
  else
    mount -t cgroup -o "${options/#name=/none,name=}" cgroup "$point"
  fi
done </run/cluster/cgroups
# Version 2 has no processes in a group whose children have limits.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir /sys/fs/cgroup/init
  echo 1 >/sys/fs/cgroup/init/cgroup.procs
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done
fi
# kubelet sets these for the whole computer unless it finds them as it wants them.
for each in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
  kernel/keys/root_maxbytes=25000000; do
  [ -e "/proc/sys/${each%=*}" ] || continue
  file=/run/cluster/sysctl/$(basename "${each%=*}")
  echo "${each#*=}" >"$file"
  mount --bind "$file" "/proc/sys/${each%=*}"
done
# Mounts of kubelet appear in the driver's container and the other way round. Only now, as a bind mount of a shared one shares with it.
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
touch /run/cluster/machine/ready
while :; do
  sleep 3600 &
  wait $! || true
done
