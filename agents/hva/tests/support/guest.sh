#!/bin/bash
# guest.sh OUT CACHE: a disk image SeaBIOS boots: Debian's cloud kernel, busybox, a shell on the serial console.
# The guest takes its address from the last four octets of its MAC (52:54:0a:00:00:05 has 10.0.0.5/24... of 0a.00.00.05).
set -eu
OUT=$1 CACHE=$2
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
if [ ! -d "$CACHE/boot" ]; then
    P=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2}')
    (cd "$W" && apt-get download "$P" > /dev/null 2>&1)
    mkdir -p "$CACHE.part.$$"
    dpkg -x "$W"/*.deb "$CACHE.part.$$"
    mv -T "$CACHE.part.$$" "$CACHE" 2>/dev/null || rm -rf "$CACHE.part.$$"
fi
MODS="failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net virtio_blk"
mkdir -p "$W"/ir/{bin,dev,proc,sys,etc,mod,www}
cp /bin/busybox "$W/ir/bin/busybox"
for m in $MODS; do cp "$(find "$CACHE/lib/modules" -name "$m.ko" | head -1)" "$W/ir/mod/"; done
cat > "$W/ir/init" <<E
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $MODS; do insmod /mod/\$m.ko; done
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  IFS=: read a b c d e f < /sys/class/net/eth0/address
  ip addr add \$((0x\$c)).\$((0x\$d)).\$((0x\$e)).\$((0x\$f))/24 dev eth0
  ip link set eth0 up
  ip route add default dev eth0
fi
echo hello > /www/index.html
httpd -p 80 -h /www; httpd -p 81 -h /www
echo "GUEST-UP"
exec setsid cttyhack sh -c 'while read -r line; do eval "\$line"; done'
E
chmod +x "$W/ir/init"
(cd "$W/ir" && find . | cpio -o -H newc --quiet | gzip -1 > "$W/initrd.gz")
truncate -s 34M "$W/disk"
mformat -i "$W/disk" -v ARAME -T 69632 -h 64 -s 32 ::
syslinux --install "$W/disk"
cat > "$W/syslinux.cfg" <<E
DEFAULT l
PROMPT 0
TIMEOUT 0
LABEL l
 KERNEL vmlinuz
 INITRD initrd.gz
 APPEND console=ttyS0 panic=-1 quiet nokaslr mitigations=off cryptomgr.notests tsc=reliable no_timer_check
E
mcopy -i "$W/disk" "$CACHE"/boot/vmlinuz-* ::vmlinuz
mcopy -i "$W/disk" "$W/initrd.gz" ::initrd.gz
mcopy -i "$W/disk" "$W/syslinux.cfg" ::syslinux.cfg
qemu-img convert -f raw -O qcow2 "$W/disk" "$W/disk.qcow2"
mv "$W/disk.qcow2" "$OUT.part" && mv "$OUT.part" "$OUT"
