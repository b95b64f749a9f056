# Sourced by the init.sh of each kind of machine, when /proc, /sys, /dev and the modules are there: what all machines have in
# common. The kernel's command line says the rest: lab.name, lab.ip (interface=address/bits).

argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^lab\.$1=//p"; }

# What is written goes to memory; the root is read-only.
mount_memory() {
  for directory in /run /tmp /mnt /var/lib /etc/nvme; do
    [ -d $directory ] && mount -n -t tmpfs tmpfs $directory
  done
  mkdir -p /run/rds-csi /run/disk
}

set_up_network() {
  mount -n -t configfs none /sys/kernel/config
  ip link set lo up
  for pair in $(argument ip); do
    ip link set "${pair%%=*}" up && ip address add "${pair#*=}" dev "${pair%%=*}"
  done
  hostname "$(argument name)"
}
