#!/bin/bash
# What an administrator does with the packages, on a machine with systemd: installs, fills in, starts, upgrades, removes, purges.
# Every step says what it saw; the first that is not as it should be ends the story.
set -uo pipefail

readonly SERVICES=(arame-dcmgr arame-webui arame-hva arame-sta arame-nsa)

fail() {
    echo "FAILED: $*"
    systemctl --no-pager --lines=15 status "${SERVICES[@]}"
    exit 1
}
step() { echo "== $* ($SECONDS s)"; }
# is WHAT EXPECTED COMMAND...: its output is exactly that.
is() {
    local what=$1 expected=$2 seen
    shift 2
    seen=$("$@" 2>&1)
    [[ $seen == "$expected" ]] || fail "$what: expected '$expected', saw '$seen'"
}
# has WHAT PATTERN COMMAND...: its output has such a line.
has() {
    local what=$1 pattern=$2 seen
    shift 2
    seen=$("$@" 2>&1)
    grep -qE -- "$pattern" <<<"$seen" || fail "$what: no '$pattern' in: $seen"
}
# The same, as soon as it has.
in_time() {
    local what=$1 pattern=$2 seen
    shift 2
    for _ in $(seq 1200); do
        seen=$("$@" 2>&1)
        grep -qE -- "$pattern" <<<"$seen" && return
        sleep 0.1
    done
    fail "$what: never '$pattern', at last: $seen"
}
show() { systemctl show --value --property="$2" "$1"; }
unpack() { dpkg --force-unsafe-io --install "$@" >/dev/null 2>/var/log/story-dpkg || fail "dpkg: $(cat /var/log/story-dpkg)"; }
answers() { curl -sS -o /dev/null -w '%{http_code}' --max-time 5 "$1"; }

step "installed"
dpkg --force-unsafe-io --install /packages/older/*.deb >/tmp/told 2>&1 || fail "dpkg: $(cat /tmp/told)"
has "the package says what it masks" "libvirt-guests.service is masked" cat /tmp/told
has "in both languages" "マスクしました" cat /tmp/told
for service in "${SERVICES[@]}"; do is "$service" enabled systemctl is-enabled "$service"; done
is "libvirt-guests" masked systemctl is-enabled libvirt-guests
is "the user" "arame-dcmgr" id -gn arame-dcmgr
is "who reads dcmgr's settings" "root:arame-dcmgr 640" stat -c '%U:%G %a' /etc/arame/dcmgr.toml
is "who reads the console's settings" "root:arame-webui 640" stat -c '%U:%G %a' /etc/arame/webui.toml
is "who reads an agent's settings" "root:root 640" stat -c '%U:%G %a' /etc/arame/hva.toml
is "guests' disks are passed through to" "root:root 711" stat -c '%U:%G %a' /var/lib/arame/hva
is "what the agent keeps is its own" "root:root 700" stat -c '%U:%G %a' /var/lib/arame/hva/state
is "units" "" systemd-analyze verify --man=no "${SERVICES[@]/%/.service}" arame-certificates.service arame-certificates.timer
has "the command" "^arame [0-9]" arame --version
has "its completion" "_arame" bash -c 'source /usr/share/bash-completion/completions/arame && complete -p arame'

cp -a /etc/arame/{hva,sta,nsa}.toml /root/

step "what agents do is possible behind the walls of their units, and what they do not do is not"
# behind SERVICE COMMAND: the unit with another program in it. `more`: a line beside its own.
behind() {
    local service=$1 command=$2 more=${3-} unit=/run/systemd/system/behind-$1.service
    sed -e '/^ExecStart=/d; /^WatchdogSec=/d; /^Restart/d; s/^Type=notify/Type=oneshot/; s/^NotifyAccess=.*//' \
        -e "s|^\[Service\]|&\nExecStart=/bin/bash -euc '$command'\n$more|" "/lib/systemd/system/$service.service" >"$unit"
    systemctl daemon-reload
    systemctl start "behind-$service" 2>/dev/null
}
can() { behind "$@" || fail "$1 cannot: $2: $(journalctl --no-pager -n 8 -o cat -u "behind-$1")"; }
cannot() { if behind "$@"; then fail "$1 can: $2"; fi; }
truncate -s 1M /var/lib/arame/hva/probe.raw /var/lib/arame/sta/probe.raw
chgrp 59990 /var/lib/arame/sta/probe.raw
nobody="unshare --net prlimit --cpu=10 --as=2147483648 --fsize=0 --nofile=64 --nproc=256 --core=0 setpriv --no-new-privs --reuid=59990 --regid=59990 --clear-groups --inh-caps=-all --bounding-set=-all"
can arame-sta "$nobody qemu-img info -f raw /proc/self/fd/0 </var/lib/arame/sta/probe.raw"
can arame-hva "unshare --net setpriv --no-new-privs --inh-caps=-all --bounding-set=-all qemu-img info -f raw /var/lib/arame/hva/probe.raw"
can arame-hva "chown nobody /var/lib/arame/hva/probe.raw; echo x >>/var/lib/arame/hva/probe.raw"
can arame-hva "ip link add probe0 type veth peer name probe1; ip link set probe0 up; ip link del probe0; nft list ruleset"
can arame-nsa "ip netns add arame-nw-probe; ip netns exec arame-nw-probe ip link set lo up; ip netns exec arame-nw-probe nft list ruleset"
has "a namespace of the naming service is everybody's" "arame-nw-probe" ip netns list
is "and lives on without it" "" ip netns exec arame-nw-probe true
can arame-nsa "ip netns add arame-nw-lost" "PrivateTmp=yes"
is "the control: with mounts of its own it would not" 1 bash -c 'ip netns exec arame-nw-lost true 2>/dev/null; [[ $? == 0 ]] || echo 1'
for service in arame-hva arame-sta; do cannot $service "touch /usr/probe"; done
cannot arame-sta "ip link add probe0 type veth peer name probe1"
for service in arame-hva arame-sta arame-nsa; do cannot $service "unshare --uts true"; done
# Whose control is that the same unit does what is allowed.
for service in arame-dcmgr arame-webui; do
    cannot $service "touch /var/lib/probe"
    cannot $service "touch /run/probe"
    can $service "true"
done
systemctl start libvirtd || fail "libvirtd does not start: $(journalctl -u libvirtd --no-pager | tail -20)"
can arame-hva "virsh -c qemu:///system version"

step "not filled in"
for service in arame-dcmgr arame-hva arame-sta arame-nsa; do
    in_time "$service" failed show $service ActiveState
    is "$service ended with" 78 show $service ExecMainStatus
    is "$service was started again" 0 show $service NRestarts
    has "$service in status" "Status: \"/etc/arame/${service#arame-}.toml is not filled in yet.*記入されていません" systemctl status $service
done
in_time "the console needs nothing" active show arame-webui ActiveState
has "the console answers" "^(200|503)$" answers http://127.0.0.1:9000/
has "the console in status" "serving the console on 127.0.0.1:9000" show arame-webui StatusText

step "a mistake is told by its name"
cp /etc/arame/nsa.toml /tmp/nsa.toml
sed -i 's/^#agent = .*/agnet = "nsa.n1"/' /etc/arame/nsa.toml
systemctl start arame-nsa 2>/dev/null
is "arame-nsa ended with" 78 show arame-nsa ExecMainStatus
has "the mistake" "agnet" show arame-nsa StatusText
cp /tmp/nsa.toml /etc/arame/nsa.toml

step "the broker's certificate, and the authority behind it"
certificate() { arame-dcmgr certificate --name localhost --name 127.0.0.1 --certificate /etc/rabbitmq/arame.pem --key /etc/rabbitmq/arame.key --group rabbitmq; }
has "it is signed" "^/etc/rabbitmq/arame.pem is signed, for a year. Machines that have /etc/arame/ca.pem believe it." certificate
is "who reads its key" "root:rabbitmq 640" stat -c '%U:%G %a' /etc/rabbitmq/arame.key
is "who reads the authority's" "root:root 600" stat -c '%U:%G %a' /etc/arame/ca.key
sum=$(cat /etc/rabbitmq/arame.* /etc/arame/ca.* | md5sum)
has "again, in both languages" "まだ 1 か月以上有効" certificate
is "nothing was changed" "$sum" bash -c 'cat /etc/rabbitmq/arame.* /etc/arame/ca.* | md5sum'

step "filled in"
fill_in() {
    local kind=$1 name=$2
    echo a-key >/etc/arame/$kind.key
    {
        printf '[common]\nagent = "%s"\nkey_file = "/etc/arame/%s.key"\nstate_dir = "/var/lib/arame/%s/state"\n' "$name" $kind $kind
        printf '[common.broker]\nhost = "localhost"\nport = 5671\nvhost = "arame"\nuser = "%s"\n' "$name"
        printf 'password_file = "/etc/arame/%s.broker-password"\nca_file = "/etc/arame/ca.pem"\n' $kind
        cat
    } >/etc/arame/$kind.toml
}
fill_in hva hva.h1 <<'TOML'
[hva]
host = "hn-h1"
driver = "sim"
data_dir = "/var/lib/arame/hva/data"
TOML
fill_in sta sta.s1 <<'TOML'
[sta]
node = "sn-s1"
store = "sim"
[sta.export]
driver = "sim"
portal = "127.0.0.1:3260"
TOML
fill_in nsa nsa.n1 <<'TOML'
[nsa]
driver = "sim"
data_dir = "/var/lib/arame/nsa/networks"
TOML
systemctl start arame-nsa 2>/dev/null
is "arame-nsa without its password" 78 show arame-nsa ExecMainStatus
has "which file is missing" "nsa.broker-password, which the configuration names" show arame-nsa StatusText
for kind in hva sta nsa; do
    echo secret >/etc/arame/$kind.broker-password
    systemctl start arame-$kind || fail "arame-$kind does not start"
    is "arame-$kind" active show arame-$kind ActiveState
    has "arame-$kind without a broker" "serves what it knows; the broker is not reached" show arame-$kind StatusText
done

step "no plain text to another machine"
cp /etc/arame/nsa.toml /tmp/nsa.toml
sed -i -e '/^ca_file/d' -e 's/^host = .*/host = "10.0.0.1"/' /etc/arame/nsa.toml
systemctl restart arame-nsa 2>/dev/null
in_time "arame-nsa" failed show arame-nsa ActiveState
is "arame-nsa ended with" 78 show arame-nsa ExecMainStatus
has "why" "The broker 10.0.0.1 is another machine, and without ca_file .*平文" show arame-nsa StatusText
cp /tmp/nsa.toml /etc/arame/nsa.toml
systemctl start arame-nsa || fail "arame-nsa does not start"

step "a database that is away is waited for, one that is there is served"
sed -i -e 's/^#\(listen = "127.0.0.1:9001"\|secret_key_file\|socket\|user\|password_file\|name\|host = "127\|port = 5672\|vhost\)/\1/' /etc/arame/dcmgr.toml
for name in key database-password broker-password; do
    openssl rand -hex 32 >/etc/arame/dcmgr.$name
    chown root:arame-dcmgr /etc/arame/dcmgr.$name
    chmod 640 /etc/arame/dcmgr.$name
done
systemctl start --no-block arame-dcmgr
in_time "arame-dcmgr is started again and again" '^[1-9]' show arame-dcmgr NRestarts
in_time "its failure is none of its settings" "status=1/FAILURE" journalctl --no-pager -u arame-dcmgr
systemctl start mariadb || fail "mariadb does not start: $(journalctl -u mariadb --no-pager | tail -20)"
mariadb <<SQL || fail "mariadb"
CREATE DATABASE arame CHARACTER SET utf8mb4;
CREATE USER arame@localhost IDENTIFIED BY '$(cat /etc/arame/dcmgr.database-password)';
GRANT ALL ON arame.* TO arame@localhost;
SQL
in_time "arame-dcmgr" '^active' show arame-dcmgr ActiveState
is "it serves when it says so" 401 answers http://127.0.0.1:9001/api/12.03/instances
has "its words" "serving the API on 127.0.0.1:9001; the broker is not reached" show arame-dcmgr StatusText
is "whose process it is" arame-dcmgr stat -c %U /proc/"$(show arame-dcmgr MainPID)"

step "all of them as one data center, as README has it"
examples=/usr/share/doc/arame-dcmgr/examples
echo 'NODENAME=rabbit@localhost' >/etc/rabbitmq/rabbitmq-env.conf
install -D -m 644 $examples/rabbitmq.conf /etc/rabbitmq/conf.d/arame.conf
rabbitmq-plugins enable --offline rabbitmq_management >/tmp/told 2>&1 || fail "rabbitmq-plugins: $(cat /tmp/told)"
systemctl start rabbitmq-server || fail "rabbitmq-server does not start: $(journalctl -u rabbitmq-server --no-pager | tail -20)"
install -o rabbitmq -m 600 $examples/broker.json /var/lib/rabbitmq/broker.json
sed -i "s/PASSWORD-dcmgr/$(cat /etc/arame/dcmgr.broker-password)/" /var/lib/rabbitmq/broker.json
rabbitmqctl import_definitions /var/lib/rabbitmq/broker.json >/tmp/told 2>&1 || fail "rabbitmqctl: $(cat /tmp/told)"
rabbitmqctl delete_user guest >/tmp/told 2>&1 || fail "rabbitmqctl: $(cat /tmp/told)"
for name in admin team; do openssl rand -hex 32 >/etc/arame/token-$name; done
cp $examples/seed.toml /etc/arame/seed.toml
chown root:arame-dcmgr /etc/arame/token-* && chmod 640 /etc/arame/token-*
sed -i 's/^#\(seed_file\)/\1/' /etc/arame/dcmgr.toml
arame-dcmgr certificate --name localhost --certificate /etc/arame/api.pem --key /etc/arame/api.key --group arame-dcmgr >/dev/null || fail "the API's certificate"
sed -i -e '/^#\[https\]/,/^#key_file/s/^#//' -e 's/10\.0\.0\.1:9443/127.0.0.1:9443/' \
    -e '/^#\[join\]/,/^#management/s/^#//' -e 's/^\(manager\|broker\) = "dcm\.example/\1 = "localhost/' /etc/arame/dcmgr.toml
systemctl restart arame-dcmgr || fail "arame-dcmgr does not start with its seed"
by_tls() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$@" https://localhost:9443/api/12.03/instances; }
is "the API by TLS" 401 by_tls --cacert /etc/arame/ca.pem
is "the control: who does not have the authority believes nobody" 000 by_tls
is "certificates are looked at weekly" active show arame-certificates.timer ActiveState
arame-dcmgr certificate --authority /root --name localhost --certificate /etc/arame/api.pem --key /etc/arame/api.key >/dev/null || fail "another authority"
is "one that is not good any more" 000 by_tls --cacert /etc/arame/ca.pem
systemctl start arame-certificates || fail "the renewal: $(journalctl --no-pager -n 20 -o cat -u arame-certificates)"
is "is renewed, and shown without a restart" 401 by_tls --cacert /etc/arame/ca.pem
is "who reads its key is as it was" "root:arame-dcmgr 640" stat -c '%U:%G %a' /etc/arame/api.key
install -m600 /etc/arame/token-admin /root/token
cat >/root/arame <<'ASK'
exec arame --url http://127.0.0.1:9001 --lang en --token-file /root/token --account a-team "$@"
ASK
in_time "dcmgr's words" "the broker is reached" show arame-dcmgr StatusText

step "machines join by one line each"
systemctl stop arame-hva arame-sta arame-nsa
rm -f /etc/arame/{hva,sta,nsa}.{key,broker-password}
cp -a /root/{hva,sta,nsa}.toml /etc/arame/
# line AGENT: what the manager prints for it.
line() { bash /root/arame join-token create "$1" 2>/tmp/remark | grep '^arame join ' || fail "no invitation: $(cat /tmp/remark)"; }
in_time "an invitation" "^arame join hva.h1@localhost:9443/" bash /root/arame join-token create hva.h1
has "which is not listed" "hva.h1 +open" bash /root/arame join-token list
# refused WHAT PATTERN COMMAND...: it fails with such words and has changed nothing that the service reads.
refused() {
    local what=$1 pattern=$2 before
    shift 2
    before=$(cat /etc/arame/{hva,sta,nsa}.toml | md5sum)
    "$@" >/tmp/told 2>&1 && fail "$what: it was not refused"
    grep -qE -- "$pattern" /tmp/told || fail "$what: no '$pattern' in: $(cat /tmp/told)"
    is "$what: the settings" "$before" bash -c 'cat /etc/arame/{hva,sta,nsa}.toml | md5sum'
}
hva=$(line hva.h1)
forged=${hva%/*}/$(printf 'x%.0s' {1..43})
refused "a forged secret" "This join token is not known here" $forged --set hva.driver=sim --lang en
refused "in the other language" "この参加トークンは、ここでは知られていません" $forged --set hva.driver=sim --lang ja
refused "a forged manager" "nothing was said to it" ${hva%%/*}/$(printf 'x%.0s' {1..43})/${hva##*/} --set hva.driver=sim --lang en
refused "half a line" "This is no invitation" ${hva%/*} --lang en
$hva --set hva.driver=sim --lang en >/tmp/told 2>&1 || fail "it does not join: $(cat /tmp/told); $(systemctl --no-pager status arame-hva)"
has "it says so" "hva.h1 has joined as hn-h1" cat /tmp/told
has "the service says so" "^hva.h1 has joined \(incarnation 1\)" show arame-hva StatusText
is "who reads its key" "root:root 600" stat -c '%U:%G %a' /etc/arame/hva.key
is "who reads its password" "root:root 600" stat -c '%U:%G %a' /etc/arame/hva.broker-password
is "who reads its settings" "root:root 640" stat -c '%U:%G %a' /etc/arame/hva.toml
has "typed twice" "hva.h1 has joined as hn-h1" $hva --lang en
sta=$(line sta.s1)
refused "where volumes go is asked" "sta.store.*is not known" $sta --lang en
echo "${sta#arame join }" | arame join --set sta.store=sim --lang en >/tmp/told 2>&1 || fail "it does not join: $(cat /tmp/told)"
nsa=$(line nsa.n9)
stolen() { curl -s --cacert /etc/arame/ca.pem -d secret="${nsa##*/}" -d agent_key="$(openssl rand -hex 32)" -d broker_password="$(openssl rand -hex 32)" -d machine=thief https://localhost:9443/api/12.03/join; }
has "another machine was faster" '"node_id":"nn-n9"' stolen
refused "its token is used" "was used" $nsa --set nsa.driver=sim --lang en
has "by whom is seen" "nsa.n9 +used.* thief" bash /root/arame join-token list
bash /root/arame naming delete nsa.n9 >/tmp/told 2>&1 || fail "it is not taken out: $(cat /tmp/told)"
is "and its user is gone" "" bash -c 'rabbitmqctl list_users --silent | grep nsa.n9'
rm -f /etc/arame/nsa.{key,broker-password}
nsa=$(line nsa.n1)
$nsa --set nsa.driver=sim --lang en >/tmp/told 2>&1 || fail "it does not join: $(cat /tmp/told)"

step "a machine leaves, and joins again"
arame leave nsa.n1 --lang en >/tmp/told 2>&1 || fail "it does not leave: $(cat /tmp/told)"
has "it says so" "nsa.n1 is no part of the data center any more" cat /tmp/told
is "its service" disabled systemctl is-enabled arame-nsa
is "its secrets" "" bash -c 'ls /etc/arame/nsa.key /etc/arame/nsa.broker-password /etc/arame/nsa.manager 2>/dev/null'
is "its user" "" bash -c 'rabbitmqctl list_users --silent | grep nsa.n1'
refused "twice" "No such agent joined" arame leave nsa.n1 --lang en
nsa=$(line nsa.n1)
$nsa --lang en >/tmp/told 2>&1 || fail "it does not join again: $(cat /tmp/told)"
has "what was said of it before is kept" '^driver = "sim"' cat /etc/arame/nsa.toml

step "a broker that another authority signed is believed by nobody"
cp -a /etc/rabbitmq/arame.pem /tmp/believed.pem
arame-dcmgr certificate --authority /root --name localhost --certificate /etc/rabbitmq/arame.pem --key /etc/rabbitmq/arame.key >/dev/null || fail "another authority"
rabbitmqctl eval 'ssl:clear_pem_cache().' >/tmp/told 2>&1 || fail "rabbitmqctl: $(cat /tmp/told)"
rabbitmqctl close_all_connections --vhost arame "another certificate" >/tmp/told 2>&1 || fail "rabbitmqctl: $(cat /tmp/told)"
for kind in hva sta nsa; do
    in_time "arame-$kind does not believe the broker" "nobody in ca_file has signed it.*認証局が署名していません" show arame-$kind StatusText
done
cp -a /tmp/believed.pem /etc/rabbitmq/arame.pem
rabbitmqctl eval 'ssl:clear_pem_cache().' >/tmp/told 2>&1 || fail "rabbitmqctl: $(cat /tmp/told)"
for kind in hva.h1 sta.s1 nsa.n1; do
    in_time "$kind is back" "^$kind has joined" show arame-${kind%.*} StatusText
done
in_time "the host is online" "hn-h1.* online" bash /root/arame host list
in_time "an empty audit" "^Nothing was found" bash /root/arame audit --fresh

step "a process that hangs is killed by the watchdog, one that works is not"
for service in arame-nsa arame-webui; do
    mkdir -p /run/systemd/system/$service.service.d
    printf '[Service]\nWatchdogSec=10\nTimeoutAbortSec=1\n' >/run/systemd/system/$service.service.d/quick.conf
done
systemctl daemon-reload
systemctl restart arame-nsa arame-webui
declare -A first process
for service in arame-nsa arame-webui; do first[$service]=$(show $service WatchdogTimestampMonotonic); done
for service in arame-nsa arame-webui; do
    # Longer than the watchdog waits, as told by its own feeding.
    for _ in $(seq 1200); do
        fed=$(show $service WatchdogTimestampMonotonic)
        ((fed < first[$service] + 12000000)) || break
        sleep 0.1
    done
    ((fed >= first[$service] + 12000000)) || fail "$service: its watchdog is not fed"
    is "$service works" 0 show $service NRestarts
    process[$service]=$(show $service MainPID)
done
kill -STOP "${process[@]}"
for service in arame-nsa arame-webui; do
    in_time "$service is started anew" '^[1-9]' show $service NRestarts
    in_time "$service serves again" '^active' show $service ActiveState
    has "by the watchdog" "Failed with result 'watchdog'" journalctl --no-pager -u $service
    [[ $(show $service MainPID) != "${process[$service]}" ]] || fail "$service: the same process"
done

step "upgraded"
systemctl disable --now arame-sta 2>/dev/null
before=$(show arame-hva MainPID)
unpack /packages/newer/*.deb
has "the new version" '^0\.1\.0~2$' dpkg-query -W -f '${Version}' arame-hva
has "the settings are as they were filled in" '^driver = "sim"' cat /etc/arame/hva.toml
in_time "arame-hva" '^active' show arame-hva ActiveState
[[ $(show arame-hva MainPID) != "$before" ]] || fail "the old program still runs"
in_time "arame-dcmgr" '^active' show arame-dcmgr ActiveState
is "what was disabled stays so" disabled systemctl is-enabled arame-sta
is "and off" inactive show arame-sta ActiveState
is "who reads dcmgr's settings" "root:arame-dcmgr 640" stat -c '%U:%G %a' /etc/arame/dcmgr.toml
for script in /var/lib/dpkg/info/arame-*.postinst; do
    package=$(basename "$script" .postinst)
    DPKG_MAINTSCRIPT_PACKAGE=$package DPKG_MAINTSCRIPT_NAME=postinst "$script" configure 0.1.0~2 >/tmp/told 2>&1 || fail "$script: $(cat /tmp/told)"
    is "$script a second time says" "" cat /tmp/told
done

step "ended"
for service in arame-dcmgr arame-webui arame-hva arame-nsa; do
    systemctl stop $service || fail "$service does not stop"
    is "$service ended" success show $service Result
    is "$service" "0" show $service ExecMainStatus
done

step "removed"
echo data >/var/lib/arame/hva/a-guests-disk
dpkg --remove "${SERVICES[@]}" arame >/tmp/told 2>&1 || fail "dpkg: $(cat /tmp/told)"
[[ ! -e /usr/bin/arame-hva ]] || fail "the program is still there"
for file in dcmgr webui hva sta nsa; do [[ -e /etc/arame/$file.toml ]] || fail "the settings of $file are gone"; done
is "the data" data cat /var/lib/arame/hva/a-guests-disk
is "libvirt-guests" masked systemctl is-enabled libvirt-guests

step "purged"
dpkg --purge "${SERVICES[@]}" arame >/tmp/told 2>&1 || fail "dpkg: $(cat /tmp/told)"
for file in dcmgr webui hva sta nsa; do [[ ! -e /etc/arame/$file.toml ]] || fail "the settings of $file are still there"; done
[[ -e /etc/arame/hva.key ]] || fail "a key that no package brought is gone"
is "the data" data cat /var/lib/arame/hva/a-guests-disk
has "that it is kept is said" "the data in /var/lib/arame/hva is kept" cat /tmp/told
has "in both languages" "/var/lib/arame/hva のデータは残してあります" cat /tmp/told
[[ ! -L /etc/systemd/system/libvirt-guests.service ]] || fail "libvirt-guests is still masked"
is "services that are left" "" find /etc/systemd /var/lib/systemd/deb-systemd-helper-enabled -name 'arame-*'

step "another's mask of libvirt-guests is not undone"
ln -s /dev/null /etc/systemd/system/libvirt-guests.service
unpack /packages/newer/arame-hva_*.deb
dpkg --purge arame-hva >/dev/null 2>&1 || fail "purge"
is "the mask" /dev/null readlink /etc/systemd/system/libvirt-guests.service
step "the end"
