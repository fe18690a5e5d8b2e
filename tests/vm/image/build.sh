#!/usr/bin/env bash
# A bootable Debian 12 for arm64, built on any Debian without running a byte of foreign code.
# usage: build.sh OUT SOURCES [PYTHON]   leaves OUT/{root.ext4,vmlinuz,initrd.gz}; PYTHON is a Python 3.11 that precompiles the machine's
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
out=$1 sources=$2 python=${3:-}
if [ -z "${TMPDIR:-}" ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt 3000000 ]; then export TMPDIR=/dev/shm; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"
chmod 755 "$work" "$root"

packages=$(grep -v '^#' "$here/packages" | paste -sd,)
mmdebstrap --quiet --arch=arm64 --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt=path-exclude='/usr/share/doc/*' --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*' \
  --include="$packages" bookworm - ${sources:+"$sources"} | tar x -C "$root"

# What the packages' own scripts would have done, from outside.
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
cat > "$root/usr/lib/sysusers.d/vm.conf" <<'C'
u messagebus - "D-Bus" /nonexistent
u mosquitto - "MQTT broker" /var/lib/mosquitto
C
systemd-sysusers --root="$root" 2>/dev/null
chown -R "$(awk -F: '$1 == "mosquitto" { print $3 }' "$root/etc/passwd")" "$root/var/lib/mosquitto"
printf 'passwd: files systemd\ngroup: files systemd\nshadow: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
echo vm > "$root/etc/hostname"
: > "$root/etc/fstab"; touch -d @0 "$root/etc/fstab"
# Not the first boot: that would enable every unit there is, and take its time.
echo 7061636b7365616c2d746573742d766d > "$root/etc/machine-id"
# What pip in the machine installs from. Where we can compile for it, its wheels carry compiled files; else it compiles them
# itself, as a service may not keep what it compiles. Whether they get along is known here.
# (pip reads "no-warn-conflicts = false" as the option's own effect: no warnings.)
printf '[global]\nno-index = true\nfind-links = /app/wheels\nprogress-bar = off\n' > "$root/etc/pip.conf"
printf '[install]\nno-warn-conflicts = false\n' >> "$root/etc/pip.conf"
[ -z "$python" ] || printf 'compile = false\n' >> "$root/etc/pip.conf"
for stack in account auth password session session-noninteractive; do
  printf '%s required pam_unix.so\n' "${stack%-*}" > "$root/etc/pam.d/common-$stack"
done
ln -sf mawk "$root/usr/bin/awk"
ln -sf dash "$root/usr/bin/sh"
mkdir -p "$root"/{proc,sys,dev,run,tmp,root,host,app,usr/local/bin}
chmod 1777 "$root/tmp"

# The machine's Python is 15 times slower than ours: it gets compiled files, Debian's pip too.
if [ -n "$python" ]; then
  (cd "$root/usr/lib" && "$python" -m compileall -q -j2 --invalidation-mode unchecked-hash \
    -x '/(test|idlelib|pydoc_data|lib2to3/tests)/' -s "$root" -p / python3.11 python3) >/dev/null 2>&1 || true
fi

# Our job, and nothing that neither a Pi needs nor a test.
install -D -m755 "$here/vmjob" "$root/usr/local/sbin/vmjob"
install -m644 "$here/vmjob.service" "$root/etc/systemd/system/"
# At the start udev looks at disks, networks, PCI and USB: a terminal of the kernel's is nothing to a test, and there are many.
install -D -m644 "$here/coldplug.conf" "$root/etc/systemd/system/systemd-udev-trigger.service.d/coldplug.conf"
units() { systemctl -q --root="$root" "$@" 2>/dev/null; }
units set-default multi-user.target
units enable vmjob.service systemd-timesyncd.service
# mosquitto has an init script too, and systemctl would hand it to a foreign program.
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s /lib/systemd/system/mosquitto.service "$root/etc/systemd/system/multi-user.target.wants/mosquitto.service"
units mask getty@.service getty.target serial-getty@.service console-getty.service systemd-logind.service e2scrub_reap.service \
  e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer systemd-resolved.service \
  systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-update-utmp.service systemd-update-utmp-runlevel.service \
  systemd-pcrphase.service systemd-pcrphase-sysinit.service kmod-static-nodes.service modprobe@configfs.service \
  modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@dm_mod.service modprobe@loop.service sys-kernel-config.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount systemd-sysusers.service systemd-firstboot.service systemd-networkd-wait-online.service

# systemd runs every generator at the start and at each daemon-reload, a second or two each time: nothing here needs one.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/*; do
  ln -s /dev/null "$root/etc/systemd/system-generators/${generator##*/}"
done

# The kernel with the few modules we need.
version=$(basename "$root"/usr/lib/modules/*)
cp "$root/boot/vmlinuz-$version" "$out/vmlinuz"
modules=$root/usr/lib/modules/$version
mv "$modules" "$work/all"
mkdir "$modules"
grep -v '^#' "$here/modules" > "$work/kept"
(cd "$work/all" && find kernel -name '*.ko' | grep -E -f "$work/kept" | tar c -T - modules.order modules.builtin modules.builtin.modinfo) | tar x -C "$modules"
depmod -b "$root" "$version"
"$here/initrd.sh" "$root" "$version" "$out/initrd.gz" virtio_mmio virtio_pci virtio_blk crc32c_generic ext4 virtio-rng
cp "$root/boot/config-$version" "$out/config"
rm -rf "$root"/boot/* "$root/usr/lib/firmware"

rm -f "$out/root.ext4"
mke2fs -q -t ext4 -d "$root" -L vmroot -m0 "$out/root.ext4" "${SIZE:-1400M}"
