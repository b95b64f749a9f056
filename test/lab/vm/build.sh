#!/bin/bash
# build.sh DIR MACHINES | build.sh --stamp: the virtual machine that virtual-machine.lab.ts migrates, from the kernel and modules that
# qemu/build.sh left in MACHINES, and Debian's busybox. It boots here once, without a disk of the lab, up to the moment before its first
# record, and its memory is saved: a restored machine needs a second on a machine of the lab, and a boot half a minute. Needs no root.
# Result in DIR: state, records (with the guest's number of slots), slots (that number), machine (its part of QEMU's command line, a word
# a line; `@` stands for DIR). --stamp prints 16 digits that stand for what the result depends on.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# More slots than a scenario writes records, each 4 KiB: none is used twice, so that a record that is lost later is missed at the end.
SLOTS=32768
if [ "$1" = --stamp ]; then
  {
    "$here/../qemu/build.sh" --stamp
    cat "$here"/*.sh "$here/../guest/records.c"
    dpkg-query -W qemu-system-x86 seabios busybox-static
  } | sha256sum | cut -c 1-16
  exit
fi
out=$1
machines=$2
work=$out/build
mkdir -p "$work/root"/{bin,dev,modules}
cd "$work"
step() { echo "lab: $*" >&2; }

step "making the virtual machine"
gcc -O2 -Wall -Wextra -Werror -static "-DSLOTS=$SLOTS" -o "$out/records" "$here/../guest/records.c"
echo "$SLOTS" >"$out/slots"
cp "$out/records" "$(command -v busybox)" root/bin/
cp "$here/init.sh" root/init
chmod 755 root/init
# The first root of the lab's QEMU machines loads just what a virtio disk needs, in this order.
(cd root && cpio -i --quiet 'modules/virtio*' <"$machines/initrd.cpio")
cpio -i --quiet --to-stdout init <"$machines/initrd.cpio" | sed -n 's,.*insmod /modules/\(virtio.*\),\1,p' >root/modules/list
(cd root && find . | cpio -o -H newc --quiet) >"$out/initrd"
cp "$machines/vmlinuz" "$out/"

# Freed memory is zeros, which a migration need not copy. The size is no multiple of 256 KiB: an emulated processor's writes get lost in
# a migration otherwise, before QEMU 9.0 ("physmem: Fix migration dirty bitmap coherency with TCG memory access"). No message of the kernel comes between the records.
append="console=ttyS0 quiet loglevel=0 init_on_free=1"
printf '%s\n' -nodefaults -no-reboot -display none -machine pc,usb=off -accel tcg,tb-size=64 -cpu qemu64 -m 81928K \
  -kernel @/vmlinuz -initrd @/initrd -append "$append" >"$out/machine"
mapfile -t machine < <(sed "s,@,$out,g" "$out/machine")
# The guest keeps the size of the disk that it has met here.
truncate -s $((SLOTS * 4096)) disk
mkfifo monitor go.in go.out
timeout 300 qemu-system-x86_64 "${machine[@]}" -chardev file,id=records,path=console -serial chardev:records \
  -chardev pipe,id=go,path=go -serial chardev:go \
  -blockdev driver=file,node-name=disk,filename=disk -device virtio-blk-pci,drive=disk -monitor stdio \
  <monitor >log 2>&1 &
qemu=$!
exec 3>monitor
step "booting it once"
until grep -qs ready console; do
  kill -0 "$qemu" 2>/dev/null || { cat log console >&2; exit 1; }
  sleep 0.2
done
printf '%s\n' stop "migrate \"exec:cat >$out/state\"" "info migrate" quit >&3
exec 3>&-
wait "$qemu"
grep -q '^Migration status: completed' <(tr -d '\r' <log) || { cat log >&2; exit 1; }
cd "$out"
rm -rf build
step "made the virtual machine: $(du -sh "$out" | cut -f 1)"
