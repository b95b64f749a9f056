#!/bin/bash
# image.sh DIR EXECUTABLE IMAGE: the read-only root disk of the QEMU machines, from what build.sh left in DIR, the driver's
# executable and the lab's agent. Needs no root. Does nothing when IMAGE is of just these; two seconds otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
executable=$2
image=$3
stamp=$({ echo "$dir"; cat "$executable" "$here"/*.sh "$here"/../guest/*.{ts,sh}; } | sha256sum | cut -c 1-32)
if [ -f "$image" ] && [ "$(cat "$image.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
mkdir -p "$(dirname "$image")"
rm -f "$image.stamp"
work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Files of the same device are linked, not copied.
cp -al "$dir/tree" "$work/tree" 2>/dev/null || cp -a "$dir/tree" "$work/tree"
bun "$here/../../../scripts/lib/compile.ts" --entry "$here/../guest/agent.ts" --outfile "$work/tree/lab/agent" \
  --version lab --commit lab >&2
ln "$executable" "$work/tree/lab/rds-csi" 2>/dev/null || cp "$executable" "$work/tree/lab/rds-csi"
cp "$here/init.sh" "$work/tree/lab/init"
cp "$here/../guest/setup.sh" "$work/tree/lab/setup.sh"
chmod 755 "$work/tree/lab/init"
size=$(($(du -smx --apparent-size "$work/tree" | cut -f 1) * 11 / 10 + 16))
# A machine that is on keeps the image that it has open.
mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$work/tree" "$work/image" "${size}M" >/dev/null
mv "$work/image" "$image"
echo "$stamp" >"$image.stamp"
