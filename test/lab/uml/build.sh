#!/bin/bash
# build.sh DIR: what the lab boots, from Debian's own packages: the User Mode Linux kernel (`user-mode-linux`) and the NVMe host
# and target modules, which that package leaves out, compiled from the source of exactly the same kernel with its own
# configuration. Needs no root. Result in DIR: linux.uml, with-cables, tap, records, xstate.so, modules/ (with `list`, the load order)
# and more-modules/, those of the kernel that only a Kubernetes node needs.
# About a minute and 200 MB of downloads; the result has 11 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
work=$out/build
mkdir -p "$work" "$out/modules" "$out/more-modules"
cd "$work"
step() { echo "lab: $*" >&2; }

step "downloading the kernel and its source"
apt-get -qq download user-mode-linux
dpkg-deb -x user-mode-linux_*.deb uml
version=$(ls uml/usr/lib/uml/modules) # e.g. 6.1.176
series=$(echo "$version" | cut -d . -f 1-2)
# The newest source may be newer than the kernel; modules want their own.
source=$(apt-cache madison "linux-source-$series" | awk -v v="$version-" 'index($3, v) == 1 { print $3; exit }')
[ -n "$source" ] || { step "Debian has no linux-source-$series of version $version"; exit 1; }
apt-get -qq download "linux-source-$series=$source"

step "unpacking what the modules need of it"
mkdir source
dpkg-deb --fsys-tarfile linux-source-"$series"_*.deb | tar xO "./usr/src/linux-source-$series.tar.xz" | xz -dc -T0 |
  tar x -C source --strip-components=1 \
    --exclude='*/drivers/[a-mo-z]*.[chS]' --exclude='*/drivers/net/*.[chS]' --exclude='*/sound/*.[chS]' \
    --exclude='*/fs/*.c' --exclude='*/net/*.c' --exclude='*/Documentation/*' --exclude='*/tools/testing/*' \
    --exclude='*/tools/perf/*' --exclude="linux-source-$series/arch/[a-tv-w]*.[chS]" --exclude='*.dts*' \
    --exclude='*/arch/[a-tv-w]*/boot/*'

step "compiling the NVMe modules"
(
  cd source
  mkdir -p Documentation
  : >Documentation/Kconfig
  : >Module.symvers
  zcat ../uml/usr/share/doc/user-mode-linux/config.gz >.config
  printf 'CONFIG_%s\n' NVME_TCP=m NVME_TARGET=m NVME_TARGET_TCP=m NVME_MULTIPATH=y NVME_VERBOSE_ERRORS=y >>.config
  make -s ARCH=um olddefconfig
  make -s ARCH=um -j"$(nproc)" modules_prepare
  # Symbols of the kernel are not known here, and it does not check them (no MODVERSIONS).
  make -s ARCH=um -j"$(nproc)" M=drivers/nvme KBUILD_MODPOST_WARN=1 modules
) >make.log 2>&1 || { tail -n 20 make.log >&2; exit 1; }

step "compiling the small programs of the lab"
gcc -O2 -Wall -Wextra -Werror -shared -fPIC -o "$out/xstate.so" "$here/xstate.c" -ldl
gcc -O2 -Wall -Wextra -Werror -o "$out/with-cables" "$here/with-cables.c"
gcc -O2 -Wall -Wextra -Werror -o "$out/tap" "$here/tap.c"
# Static, as it also runs in images without a C library.
gcc -O2 -Wall -Wextra -Werror -static -o "$out/records" "$here/../guest/records.c"

cp uml/usr/bin/linux.uml "$out/"
kernel=uml/usr/lib/uml/modules/$version/kernel
cp source/drivers/nvme/host/nvme-{core,fabrics,tcp}.ko source/drivers/nvme/target/nvmet{,-tcp}.ko "$out/modules/"
strip -g "$out"/modules/*.ko
cp "$kernel"/fs/configfs/configfs.ko "$kernel"/lib/crc64.ko "$kernel"/crypto/crc64_rocksoft_generic.ko \
  "$kernel"/lib/crc64-rocksoft.ko "$kernel"/block/t10-pi.ko "$kernel"/drivers/block/loop.ko "$out/modules/"
cp "$kernel"/fs/overlayfs/overlay.ko "$kernel"/drivers/net/veth.ko "$out/more-modules/"
printf '%s.ko\n' configfs crc64 crc64_rocksoft_generic crc64-rocksoft t10-pi nvme-core nvme-fabrics nvme-tcp nvmet \
  nvmet-tcp loop >"$out/modules/list"
cd "$out"
rm -rf build
step "built for kernel $version: $(du -sh "$out" | cut -f 1)"
