#!/bin/bash
# build.sh DIR | build.sh --stamp: what the lab's QEMU machines boot, from Debian's own packages: the kernel of
# `linux-image-cloud-amd64`, or of the package that RDS_CSI_LAB_KERNEL names, as it is; a first root with the modules that find
# the disk; and a tree with the installed programs of PACKAGES, the libraries that they need and all modules of the lab. Needs
# no root. Result in DIR: vmlinuz, initrd.cpio, tree/ (image.sh makes the disk of it). Some seconds and a download of 27 MB; the
# result has 100 MB. --stamp prints 16 digits that stand for what the result depends on, as far as it is here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PACKAGES="$(bun "$here/../../../scripts/lib/node-packages.ts") dash mawk grep sed findutils hostname iproute2"
FIRST="virtio_pci virtio_blk ext4"
MODULES="$FIRST virtio_net virtio_console loop xfs configfs nvmet-tcp nvme-tcp"
kernel=${RDS_CSI_LAB_KERNEL:-linux-image-cloud-amd64}
if [ "$1" = --stamp ]; then
  # shellcheck disable=SC2086
  { echo "$kernel" && cat "$here/build.sh" "$here/../guest/records.c" && dpkg-query -W $PACKAGES; } | sha256sum | cut -c 1-16
  exit
fi
out=$1
work=$out/build
tree=$out/tree
mkdir -p "$work"
cd "$work"
step() { echo "lab: $*" >&2; }

step "downloading the kernel"
# Most names stand for the newest kernel of a kind.
newest=$(apt-cache depends "$kernel" | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
kernel=${newest:-$kernel}
apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$kernel"
dpkg-deb -x "$kernel"_*.deb kernel
cp kernel/boot/vmlinuz-* "$out/vmlinuz"
version=$(ls kernel/lib/modules)
modules=kernel/lib/modules/$version
depmod -b kernel "$version"

# with_needs NAME...: the files of modules and of all that they need, which come first.
with_needs() {
  local name line
  for name in "$@"; do
    if grep -q "/$name\.ko$" "$modules/modules.builtin"; then continue; fi
    line=$(grep -E "/$name\.ko(\.xz)?:" "$modules/modules.dep") || { step "the kernel has no module $name" && exit 1; }
    printf '%s\n' "${line#*:}" | tr ' ' '\n' | tac | grep . || true
    printf '%s\n' "${line%%:*}"
  done | awk '!seen[$0]++'
}

# place FILE TO: puts a module at TO, never compressed: an emulated processor unpacks slowly.
place() {
  mkdir -p "$(dirname "$2")"
  case $1 in
    *.xz) xz -dc "$modules/$1" >"$2" ;;
    *) cp "$modules/$1" "$2" ;;
  esac
}

step "making the first root"
mkdir -p first/{bin,dev,proc,sys,sysroot,modules}
cp "$(command -v busybox)" first/bin/busybox
{
  echo "#!/bin/busybox sh"
  echo "/bin/busybox mount -t devtmpfs dev /dev"
  for file in $(with_needs $FIRST); do
    module=$(basename "$file" .xz)
    place "$file" "first/modules/$module"
    echo "/bin/busybox insmod /modules/$module"
  done
  cat <<'END'
/bin/busybox mount -r -t ext4 /dev/vda /sysroot
/bin/busybox mount --move /dev /sysroot/dev
/bin/busybox mount -t proc proc /sysroot/proc
/bin/busybox mount -t sysfs sysfs /sysroot/sys
exec /bin/busybox switch_root /sysroot /lab/init
END
} >first/init
chmod +x first/init
(cd first && find . | cpio -o -H newc --quiet) >"$out/initrd.cpio"

step "collecting programs and modules"
rm -rf "$tree"
mkdir -p "$tree"/{usr/{bin,sbin,lib,lib64,local/sbin,local/bin},dev,proc,sys,run,tmp,mnt,root,lab,etc/nvme,var/lib}
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$tree/$directory"; done
# shellcheck disable=SC2086
dpkg -L $PACKAGES | grep -E '^(/usr)?/s?bin/[^/]+$' | sort -u >programs
# /bin/x and /usr/bin/x are one place; links stay links, e.g. mkfs.ext4.
while read -r program; do
  case $program in /usr/*) to=$program ;; *) to=/usr$program ;; esac
  cp -P "$program" "$tree$to"
done <programs
ln -s mawk "$tree/usr/bin/awk"
# ldd complains of scripts. The last ones are what an executable of Bun wants besides libc.
{
  xargs ldd <programs 2>/dev/null | grep -o '/[^ )]*\.so[^ )]*' || true
  ls /lib/x86_64-linux-gnu/lib{pthread.so.0,dl.so.2,m.so.6,rt.so.1,gcc_s.so.1,nss_files.so.2} 2>/dev/null || true
} | sort -u | while read -r library; do
  case $library in /usr/*) to=$library ;; *) to=/usr$library ;; esac
  mkdir -p "$tree$(dirname "$to")"
  cp -L "$library" "$tree$to"
done
cp /etc/mke2fs.conf "$tree/etc/"
ln -s /proc/mounts "$tree/etc/mtab"
: >"$tree/etc/fstab"
echo 'root:x:0:0:root:/root:/bin/dash' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"
echo '127.0.0.1 localhost' >"$tree/etc/hosts"
mkdir -p "$tree/lib/modules/$version"
cp "$modules"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$version/"
with_needs $MODULES | while read -r file; do
  place "$file" "$tree/lib/modules/$version/${file%.xz}"
done
depmod -b "$tree" "$version"
gcc -O2 -Wall -Wextra -Werror -o "$tree/lab/records" "$here/../guest/records.c"
cd "$out"
rm -rf build
step "built with kernel $version: $(du -sh "$out" | cut -f 1)"
