#!/bin/bash
# A machine for one story: this machine's files with a layer above them that is thrown away, systemd as its first process, and no
# network. Nothing of it is left, and nothing of this machine is changed.
#
#   machine.sh FOLDER STORY PACKAGES     FOLDER: empty; STORY: a shell script; PACKAGES: a folder it sees as /packages
#
# The story's output is FOLDER/said, its exit code FOLDER/code. Needs root, overlayfs, systemd and systemd-nspawn. To be run in a mount
# namespace of its own (unshare --mount).
set -euo pipefail
folder=$1 story=$2 packages=$3
root=$folder/root

# systemd-nspawn leaves control groups behind: below one of our own they are found again.
groups=()
for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [[ -w $hierarchy/cgroup.procs && ! -d /run/systemd/system ]] || continue
    mkdir "$hierarchy/arame-packages-$$"
    groups+=("$hierarchy/arame-packages-$$")
    echo $$ >"$hierarchy/arame-packages-$$/cgroup.procs"
done
clean_up() {
    for group in "${groups[@]}"; do
        echo $$ >"${group%/*}/cgroup.procs"
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}
trap clean_up EXIT

mount --make-rprivate /
mkdir -p "$folder/layer"
mount -t tmpfs -o mode=755 tmpfs "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$root"

# Of what this machine starts nothing is started; what the packages bring is.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/arame-* "$root/etc/machine-id" "$root"/usr/sbin/policy-rc.d
: >"$root/etc/machine-id"
install -m755 "$story" "$root/story"
cat >"$root/etc/systemd/system/story.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 SYSTEMD_PAGER=
TimeoutStartSec=infinity
StandardOutput=file:/said
StandardError=inherit
ExecStart=-/bin/bash -c '/story; echo $? >/code'
ExecStartPost=systemctl --no-block poweroff
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../story.service "$root/etc/systemd/system/multi-user.target.wants/story.service"

timeout --kill-after=10 "${ARAME_STORY_LIMIT:-840}" systemd-nspawn --quiet --directory="$root" --machine="arame-story-$$" --boot \
    --private-network --register=no --keep-unit --link-journal=no --console=pipe --bind-ro="$packages:/packages" \
    </dev/null >"$folder/console" 2>&1 || echo "systemd-nspawn ended with $?" >>"$folder/console"
cp "$root/said" "$folder/said" 2>/dev/null || true
cp "$root/code" "$folder/code" 2>/dev/null || true
