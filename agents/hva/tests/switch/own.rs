//! What only the bridge switch has: other people's bridges, tables and devices beside ours, and a kernel that lacks something.

use crate::kit::{Cable, Place, until};
use crate::world::{Kind, TRUNK, World, member, open};
use arame_hva::config::{BridgeConfig, SwitchConfig};
use arame_hva::policy::Policy;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Tests of this file that are sent to the lab machine.
pub const SENT: usize = 4;

/// The kernel's modules: one test takes one away, and nobody else is at work then.
static MODULES: RwLock<()> = RwLock::new(());

/// For as long as this is held the kernel has all it has. A test that failed leaves it as it was.
pub fn modules_stay() -> RwLockReadGuard<'static, ()> {
    MODULES.read().unwrap_or_else(PoisonError::into_inner)
}

fn config(bridge: &str, trunk: Option<&str>) -> SwitchConfig {
    SwitchConfig::Bridge(BridgeConfig { bridge: bridge.into(), trunk: trunk.map(str::to_owned) })
}

/// Opens a bridge switch in a place and looks at it: what was wrong, if anything.
fn trouble(place: &Place, config: SwitchConfig) -> Option<String> {
    let looked = place.run(move || async move {
        let switch = open(config, Policy::default(), vec![]).await?;
        switch.survey().await
    });
    looked.err().map(|error| error.to_string())
}

/// Everything of somebody else's, as programs tell it.
fn theirs(place: &Place) -> String {
    let tables = place.must("nft", &["--stateless", "-a", "list", "table", "bridge", "somebody"]);
    let link = place.must("ip", &["-o", "link", "show", "br9"]);
    let port = place.must("bridge", &["-d", "link", "show", "dev", "their1"]);
    tables + &link + &port + &place.must("bridge", &["vlan", "show", "dev", "their1"])
}

mod with_bridge {
    use super::*;

    #[test]
    #[ignore = "sent to the lab machine"]
    fn other_peoples_bridges_tables_and_ports_are_never_touched() {
        let _all = modules_stay();
        let mut world = World::new(Kind::Bridge);
        let place = &world.one.place;
        place.must("ip", &["link", "add", "br9", "type", "bridge", "vlan_filtering", "1"]);
        place.must("ip", &["link", "add", "their1", "type", "veth", "peer", "name", "their2"]);
        // Left down: what a port that is up says of its carrier changes by itself, a moment later.
        place.must("ip", &["link", "set", "their1", "master", "br9"]);
        place.must(
            "nft",
            &["add table bridge somebody; add chain bridge somebody c { type filter hook forward priority 5; }"],
        );
        let before = theirs(place);
        let (a, pa) = member("a", 100, 5, &[80]);
        world.one.allow(vec![pa]);
        let guest = world.one.plug(&a);
        assert_eq!(theirs(&world.one.place), before);
        drop(guest);
        world.one.unplug(&a);
        assert_eq!(theirs(&world.one.place), before);
        // A device that has a guest's name and is not ours stays as it is.
        let (b, pb) = member("b", 100, 6, &[]);
        world.one.allow(vec![pb]);
        world.one.place.must("ip", &["link", "add", "vif-b", "type", "veth", "peer", "name", "vif-b9"]);
        let refused = world.one.ensure(vec![crate::world::wished(&b, 1)]).unwrap_err();
        assert_eq!(refused.code, "port_taken", "{refused}");
        world.one.unplug(&b);
        assert!(world.one.place.tell("ip", &["link", "show", "vif-b"]).0, "nor is it removed");
    }

    #[test]
    #[ignore = "sent to the lab machine"]
    fn what_is_not_ours_to_take_is_named_and_left_alone() {
        let _all = modules_stay();
        let place = Place::new();
        place.must("ip", &["link", "add", "br9", "type", "bridge"]);
        place.must("ip", &["link", "set", "br9", "up"]);
        let taken = trouble(&place, config("br9", None)).expect("somebody's bridge");
        assert!(taken.contains("br9") && taken.contains("name of its own"), "{taken}");
        assert_eq!(trouble(&place, config("arame0", None)), None, "control: a name of its own");
        let place = Place::new();
        let missing = trouble(&place, config("arame0", Some("eth7"))).expect("no uplink");
        assert!(missing.contains("eth7"), "{missing}");
        place.must("ip", &["link", "add", "eth7", "type", "veth", "peer", "name", "eth8"]);
        place.must("ip", &["addr", "add", "192.0.2.1/24", "dev", "eth7"]);
        let used = trouble(&place, config("arame0", Some("eth7"))).expect("the host's own uplink");
        assert!(used.contains("would be cut off"), "{used}");
        place.must("ip", &["addr", "del", "192.0.2.1/24", "dev", "eth7"]);
        assert_eq!(trouble(&place, config("arame0", Some("eth7"))), None, "control: free");
        let place = Place::new();
        place.must("nft", &["add table bridge arame_switch"]);
        let table = trouble(&place, config("arame0", None)).expect("somebody's table");
        assert!(table.contains("arame_switch") && table.contains("left alone"), "{table}");
    }

    #[test]
    #[ignore = "sent to the lab machine"]
    fn the_bridge_keeps_its_vlans_and_its_shape() {
        let _all = modules_stay();
        let mut world = World::new(Kind::Bridge);
        let (a, pa) = member("a", 100, 5, &[80]);
        world.one.allow(vec![pa]);
        let guest = world.one.plug(&a);
        let server = world.server(100, 9);
        guest.echoes(80);
        assert!(server.connect(guest.ip, 80).is_some(), "control");
        let (before, place) = (world.one.rules(), &world.one.place);
        place.must("bridge", &["vlan", "del", "vid", "100", "dev", TRUNK]);
        place.must("bridge", &["vlan", "add", "vid", "200", "dev", "vif-a"]);
        place.must("bridge", &["fdb", "del", "52:54:0a:00:00:05", "dev", "vif-a", "vlan", "100", "master"]);
        place.must("bridge", &["link", "set", "dev", "vif-a", "learning", "on", "flood", "on"]);
        place.must("ip", &["link", "set", "dev", "arame0", "type", "bridge", "vlan_filtering", "0"]);
        until("VLANs and rules are as they were", || world.one.rules() == before);
        until("and the rest", || {
            let link = place.must("bridge", &["-d", "link", "show", "dev", "vif-a"]);
            let bridge = place.must("ip", &["-d", "link", "show", "dev", "arame0"]);
            link.contains("learning off flood off") && bridge.contains("vlan_filtering 1")
        });
        until("the guest is reached", || server.connect(guest.ip, 80).is_some());
    }

    #[test]
    #[ignore = "sent to the lab machine"]
    fn a_kernel_that_lacks_a_part_is_told_by_its_modules_name() {
        let _alone = MODULES.write().unwrap_or_else(PoisonError::into_inner);
        let place = Place::new();
        // The tables of a test that ended go with its namespace, a moment later. Nobody here loads modules by itself.
        until("nobody uses the module", || place.tell("rmmod", &["nft_fwd_netdev"]).0);
        let lacking = trouble(&place, config("arame0", None));
        place.must("insmod", &["/lib/modules/nft_fwd_netdev.ko"]);
        let lacking = lacking.expect("a kernel without nft_fwd_netdev");
        for word in ["modprobe nft_fwd_netdev", "/etc/modules-load.d", "CONFIG_NFT_FWD_NETDEV", "driver \"ovs\""] {
            assert!(lacking.contains(word), "{lacking}");
        }
        assert_eq!(trouble(&place, config("arame0", None)), None, "control: with it");
    }
}

/// Where the kernel has no such bridge at all, the start says so too; where it has all, it starts.
#[test]
fn a_start_is_whole_or_says_what_is_missing() {
    if !crate::ovs_is_here() {
        return;
    }
    let place = Place::new();
    let cable = Cable::default();
    cable.trunk(&place, TRUNK);
    if let Some(why) = trouble(&place, config("arame0", Some(TRUNK))) {
        assert!(why.contains("modprobe ") && why.contains("[hva.switch]"), "{why}");
        assert!(!place.tell("ip", &["link", "show", "arame0"]).0, "nothing is half made");
    }
    cable.end();
}
