#!/usr/bin/env bash
# The initial file system: loads the modules that the root disk needs, then goes on from /dev/vda.
# usage: initrd.sh ROOT KERNEL_VERSION OUT.gz MODULE...
set -euo pipefail
root=$1 version=$2 out=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{bin,modules,new,proc,sys,dev}
cp "$root/usr/bin/busybox" "$work/bin/busybox"
for module in "$@"; do
  modprobe -d "$root" -S "$version" --show-depends "$module"
done | sed -n 's/^insmod \(.*\.ko\)\( .*\)\{0,1\}$/\1/p' | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$work/modules/"
  basename "$file"
done > "$work/order"
cat > "$work/init" <<'I'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
while read -r module; do $b insmod "/modules/$module" || echo "insmod $module failed"; done </order
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $b sleep 0.05; n=$((n+1)); done
$b mount -t ext4 -o rw /dev/vda /new || exec $b poweroff -f
$b umount /proc
$b umount /sys
$b mount --move /dev /new/dev
exec $b switch_root /new /sbin/init
I
chmod +x "$work/init"
(cd "$work" && find . | cpio -o -H newc --quiet | gzip -1) > "$out"
