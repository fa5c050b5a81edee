#!/bin/bash
# A fabric and hypervisor hosts in network namespaces, for the tests of the real drivers.
#
#   lab.sh up BASE NAME HOSTS     builds it; prints nothing; BASE holds everything
#   lab.sh down BASE NAME         ends what it started and removes the namespaces
#   lab.sh in BASE NAME WHERE CMD…  runs CMD in host h1, h2, … or namespace fab, srv100, srv200
#
# fab: Open vSwitch brT (trunk, real tags) and bridge brU (10.99.0.0/24, storage and images).
# srv100, srv200: a machine on VLAN 100 and one on VLAN 200, both 10.0.0.2/24.
set -eu
DO=$1 BASE=$2 NAME=$3
HERE=$(cd "$(dirname "$0")" && pwd)

ovs() { # DIR: an Open vSwitch of its own under DIR
    local d=$1
    mkdir -p "$d"
    ovsdb-tool create "$d/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    cat > "$d/start" <<E
export OVS_RUNDIR=$d OVS_DBDIR=$d OVS_LOGDIR=$d
ovsdb-server $d/conf.db --remote=punix:$d/db.sock --pidfile --unixctl=$d/ovsdb.ctl --detach --no-chdir --log-file=$d/ovsdb.log
ovs-vsctl --db=unix:$d/db.sock --no-wait init
ovs-vswitchd unix:$d/db.sock --pidfile --unixctl=$d/vswitchd.ctl --detach --no-chdir --log-file=$d/vswitchd.log
E
    bash "$d/start"
}

quiet() { # NS DEV…: no offloads, no IPv6 chatter, up
    local ns=$1; shift
    for dev in "$@"; do
        ip -n "$ns" link set "$dev" addrgenmode none
        ip netns exec "$ns" ethtool -K "$dev" tx off >/dev/null 2>&1 || true
        ip -n "$ns" link set "$dev" up
    done
}

fabric() {
    local f=$NAME-fab
    ip netns add "$f"
    ip -n "$f" link set lo up
    ip -n "$f" link add brU type bridge
    ip -n "$f" addr add 10.99.0.254/24 dev brU
    quiet "$f" brU
    ip netns exec "$f" bash -c "$(declare -f ovs); ovs $BASE/fab/ovs"
    local v="ovs-vsctl --db=unix:$BASE/fab/ovs/db.sock"
    ip netns exec "$f" $v add-br brT -- set bridge brT datapath_type=netdev
    for tag in 100 200; do
        ip netns add "$NAME-srv$tag"
        ip -n "$f" link add "s$tag" type veth peer name eth0 netns "$NAME-srv$tag"
        quiet "$f" "s$tag"; quiet "$NAME-srv$tag" eth0
        ip -n "$NAME-srv$tag" link set lo up
        ip -n "$NAME-srv$tag" addr add 10.0.0.2/24 dev eth0
        ip netns exec "$f" $v add-port brT "s$tag" tag=$tag
    done
}

host() { # N
    local n=$1 h=$NAME-h$1 f=$NAME-fab b=$BASE/h$1 others=
    for other in $(seq "$2"); do [ "$other" = "$n" ] || others+=" $BASE/h$other"; done
    mkdir -p "$b"/{run/openvswitch,lib,log,cache,etc,data}
    ip netns add "$h"
    ip -n "$h" link set lo up
    ip -n "$f" link add "t$n" type veth peer name trunk0 netns "$h"
    ip -n "$f" link add "u$n" type veth peer name up0 netns "$h"
    ip -n "$f" link set "u$n" master brU
    quiet "$f" "t$n" "u$n"; quiet "$h" trunk0 up0
    ip -n "$h" addr add "10.99.0.$n/24" dev up0
    ip netns exec "$f" ovs-vsctl --db=unix:$BASE/fab/ovs/db.sock add-port brT "t$n" -- set port "t$n" vlan_mode=trunk
    cat > "$b/etc/libvirtd.conf" <<E
listen_tls=0
listen_tcp=1
listen_addr="10.99.0.$n"
auth_tcp="none"
auth_unix_rw="none"
unix_sock_group="root"
host_uuid="$(cat /proc/sys/kernel/random/uuid)"
E
    cat > "$b/etc/qemu.conf" <<E
user="root"
group="root"
security_driver="none"
namespaces=[]
cgroup_controllers=[]
stdio_handler="file"
remember_owner=0
dynamic_ownership=0
migration_host="10.99.0.$n"
E
    cat > "$b/init.sh" <<E
mount --make-rprivate /
hostname h$n
mount --bind $b/run /run; mount --bind $b/lib /var/lib/libvirt; mount --bind $b/log /var/log/libvirt
mount --bind $b/cache /var/cache/libvirt; mount --bind $b/etc /etc/libvirt
# A machine of its own: what lies on another host's disk is not seen here.
for other in $others; do mkdir -p \$other; mount -t tmpfs none \$other; done
libvirtd --listen & echo \$! > /run/libvirtd.inner
$(declare -f ovs); ovs /run/openvswitch
ovs-vsctl --db=unix:/run/openvswitch/db.sock add-br ovs0 -- set bridge ovs0 datapath_type=netdev fail_mode=secure \
    -- add-port ovs0 trunk0 -- set port trunk0 vlan_mode=trunk
touch /run/ready
sleep infinity & wait \$!
E
    ip netns exec "$h" unshare -m -u -p -f --kill-child --mount-proc bash "$b/init.sh" > "$b/init.log" 2>&1 &
    echo $! > "$b/pid"
}

up() {
    mkdir -p "$BASE/fab" "$BASE/www"
    fabric
    for n in $(seq "$1"); do host "$n" "$1"; done
    for n in $(seq "$1"); do
        for _ in $(seq 300); do
            [ -e "$BASE/h$n/run/ready" ] && [ -S "$BASE/h$n/run/libvirt/libvirt-sock" ] && break
            sleep 0.1
        done
        [ -e "$BASE/h$n/run/ready" ] || { cat "$BASE/h$n/init.log" >&2; exit 1; }
    done
    ip netns exec "$NAME-fab" busybox httpd -f -p 10.99.0.254:8080 -h "$BASE/www" > /dev/null 2>&1 &
    echo $! > "$BASE/fab/httpd.pid"
}

down() {
    for pid in "$BASE"/h*/pid; do [ -e "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null; done
    for pid in "$BASE"/fab/*.pid "$BASE"/fab/ovs/*.pid; do [ -e "$pid" ] && kill -9 "$(cat "$pid")" 2>/dev/null; done
    for ns in $(ip netns list | awk '{print $1}' | grep "^$NAME-"); do
        for pid in $(ip netns pids "$ns"); do kill -9 "$pid" 2>/dev/null; done
        ip netns del "$ns"
    done
}

inside() {
    local where=$1; shift
    case $where in
        h*) exec nsenter -t "$(ps --ppid "$(cat "$BASE/$where/pid")" -o pid= | head -1 | tr -d ' ')" $SPACES -- "$@" ;;
        *) exec ip netns exec "$NAME-$where" "$@" ;;
    esac
}

case $DO in
    up) up "$4" ;;
    down) set +e; down ;;
    in) shift 3; SPACES="-m -n -u -p"; inside "$@" ;;
    # Without its pid namespace: nsenter need not fork, so that a signal reaches the program itself.
    run) shift 3; SPACES="-m -n -u"; inside "$@" ;;
esac
