//! The contract of the host's switch with real frames: on Open vSwitch here, on the kernel's bridge in the lab machine
//! (`scripts/lab-machine`), whose kernel has it.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used)]

#[path = "../support/fixtures.rs"]
mod fixtures;

mod contract;
mod frames;
mod kit;
mod lab;
mod own;
mod world;

use world::Kind;

/// Each sentence of the contract as a test of each driver.
macro_rules! contract {
    ($($sentence:ident),* $(,)?) => {
        mod with_ovs {
            $(#[test]
            fn $sentence() {
                if super::ovs_is_here() {
                    super::contract::$sentence(super::Kind::Ovs);
                }
            })*
        }

        mod with_bridge {
            $(#[test]
            #[ignore = "sent to the lab machine"]
            fn $sentence() {
                let _all = super::own::modules_stay();
                super::contract::$sentence(super::Kind::Bridge);
            })*
        }

        /// How many sentences there are.
        pub const SENTENCES: usize = [$(stringify!($sentence)),*].len();
    };
}

contract![
    equal_subnets_never_hear_each_other,
    a_connection_of_one_network_is_unknown_in_another,
    a_guest_speaks_only_as_itself,
    a_guest_is_no_dhcp_server_and_hears_none,
    groups_decide_who_may_begin,
    rules_change_under_a_living_connection,
    a_new_process_takes_over_what_is_there,
    the_same_wish_twice_changes_nothing,
    what_somebody_took_away_comes_back,
    metadata_knows_who_asks_by_the_port,
    nothing_of_a_guest_is_left,
    a_network_spans_two_hosts_by_its_tag,
];

/// Whether this machine can run Open vSwitch in a namespace; says what is missing.
fn ovs_is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<std::path::PathBuf> = std::env::split_paths(&path).collect();
    let needs = [
        ("root", nix::unistd::geteuid().is_root()),
        ("tun", std::path::Path::new("/dev/net/tun").exists()),
        ("ovs", folders.iter().any(|folder| folder.join("ovs-vswitchd").exists())),
    ];
    match needs.iter().find(|(_, here)| !here) {
        Some((need, _)) => {
            arame_framework::testkit::skip(need);
            false
        }
        None => true,
    }
}
