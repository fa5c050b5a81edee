//! The rules of placing naming services, one by one; their histories are walked in `walks/naming.rs`.

use super::*;

fn service(agent: &str, place: Place) -> Service {
    Service {
        agent: agent.into(),
        node: format!("nn-{agent}"),
        place,
        voice: Voice::Heard,
        enabled: true,
        degraded: false,
        serves: place == Place::Wanted,
        may_translate: false,
        networks: 0,
        guests: 0,
    }
}

fn free(agent: &str) -> Service {
    service(agent, Place::None)
}

fn serving(agent: &str) -> Service {
    service(agent, Place::Wanted)
}

fn wish(count: u16) -> Wish {
    Wish { count: Count::of_number(count), has_way: false, gateway: None }
}

fn with_gateway(count: u16, agent: &str) -> Wish {
    Wish { has_way: true, gateway: Some(agent.into()), ..wish(count) }
}

fn placed(wish: &Wish, services: &[Service]) -> Vec<String> {
    changes(wish, services).place
}

fn withdrawn(wish: &Wish, services: &[Service]) -> Vec<String> {
    changes(wish, services).withdraw
}

#[test]
fn the_emptiest_services_are_taken_and_as_many_as_there_are() {
    let services = [
        Service { guests: 9, ..free("a") },
        Service { guests: 3, networks: 2, ..free("b") },
        Service { guests: 3, networks: 1, ..free("c") },
    ];
    assert_eq!(placed(&wish(2), &services), ["c", "b"]);
    assert_eq!(placed(&wish(0), &services), ["c", "b", "a"], "every one");
    assert_eq!(placed(&wish(9), &services).len(), 3);
    assert!(placed(&wish(2), &[]).is_empty());
}

#[test]
fn two_of_one_node_serve_a_network_only_where_there_is_no_other_node() {
    let on = |agent: &str, node: &str, guests| Service { node: node.into(), guests, ..free(agent) };
    let services = [on("a", "one", 0), on("b", "one", 1), on("c", "two", 50)];
    assert_eq!(placed(&wish(2), &services), ["a", "c"]);
    assert_eq!(placed(&wish(2), &services[..2]), ["a", "b"]);
}

#[test]
fn what_is_silent_closed_or_unwell_gets_nothing_and_a_full_one_only_what_would_have_nobody() {
    for spoil in [
        |one: &mut Service| one.voice = Voice::Quiet,
        |one: &mut Service| one.enabled = false,
        |one: &mut Service| one.degraded = true,
    ] {
        let mut spoiled = free("a");
        spoil(&mut spoiled);
        assert_eq!(placed(&wish(2), &[spoiled, free("b")]), ["b"]);
    }
    let full = || Service { networks: NETWORKS_PER_SERVICE_MAX, ..free("a") };
    assert_eq!(placed(&wish(2), &[full(), free("b")]), ["b"]);
    assert_eq!(placed(&wish(2), &[full()]), ["a"]);
}

#[test]
fn what_is_well_placed_stays_however_uneven_the_load_is() {
    let services = [Service { guests: 5000, ..serving("a") }, serving("b"), free("c")];
    assert!(changes(&wish(2), &services).is_nothing());
}

#[test]
fn a_silent_service_is_replaced_after_its_lapse_and_withdrawn_when_the_other_serves() {
    let mut services = [serving("a"), Service { voice: Voice::Silent, ..serving("b") }, free("c")];
    assert!(changes(&wish(2), &services).is_nothing(), "a restart is waited for");
    services[1].voice = Voice::Gone;
    assert_eq!(changes(&wish(2), &services), Changes { place: vec!["c".into()], ..Changes::default() });
    services[2] = Service { serves: false, ..serving("c") };
    assert!(changes(&wish(2), &services).is_nothing(), "the new one does not serve yet");
    services[2].serves = true;
    assert_eq!(withdrawn(&wish(2), &services), ["b"]);
    // Where nobody can take its place it keeps it.
    assert!(changes(&wish(2), &services[..2]).is_nothing());
}

#[test]
fn a_closed_service_gives_its_networks_to_whoever_is_left_and_keeps_what_nobody_else_has() {
    let closed = || Service { enabled: false, ..serving("a") };
    assert_eq!(withdrawn(&wish(2), &[closed(), serving("b")]), ["a"]);
    assert!(withdrawn(&wish(2), &[closed(), Service { serves: false, ..serving("b") }]).is_empty());
    assert!(changes(&wish(1), &[closed()]).is_nothing());
    assert_eq!(changes(&wish(1), &[closed(), free("b")]).place, ["b"]);
}

#[test]
fn too_many_are_withdrawn_when_enough_serve_and_never_the_gateway() {
    let services = [serving("a"), Service { guests: 9, ..serving("b") }, serving("c")];
    assert_eq!(withdrawn(&wish(2), &services), ["b"], "the fullest");
    assert_eq!(withdrawn(&with_gateway(2, "b"), &services).len(), 1);
    assert!(!withdrawn(&with_gateway(2, "b"), &services).contains(&"b".to_owned()));
    let one_is_new = [serving("a"), Service { guests: 9, ..serving("b") }, Service { serves: false, ..serving("c") }];
    assert_eq!(withdrawn(&wish(2), &one_is_new), ["c"], "one that serves nothing is missed by nobody");
    assert!(withdrawn(&wish(0), &services).is_empty());
}

#[test]
fn a_gateway_that_is_not_heard_is_another_service_that_serves() {
    let silent = || Service { voice: Voice::Silent, ..serving("a") };
    let gateway = |services: &[Service]| changes(&with_gateway(2, "a"), services).gateway;
    assert_eq!(gateway(&[serving("a"), serving("b")]), None);
    assert_eq!(gateway(&[Service { voice: Voice::Quiet, ..serving("a") }, serving("b")]), None);
    assert_eq!(gateway(&[silent(), serving("b")]).as_deref(), Some("b"));
    assert_eq!(gateway(&[silent(), Service { serves: false, ..serving("b") }]), None);
    assert_eq!(gateway(&[silent(), free("b")]), None);
    let first = Wish { gateway: None, ..with_gateway(2, "a") };
    assert_eq!(changes(&first, &[free("a"), free("b")]).gateway.as_deref(), Some("a"), "one that is about to serve");
}

#[test]
fn a_closed_gateway_leads_out_until_another_does_and_only_then_leaves() {
    let closed = || Service { enabled: false, ..serving("a") };
    let first = changes(&with_gateway(1, "a"), &[closed(), serving("b")]);
    assert_eq!((first.gateway.as_deref(), first.withdraw.len()), (Some("b"), 0));
    let leaving = Service { may_translate: true, ..closed() };
    assert!(changes(&with_gateway(1, "b"), &[leaving, serving("b")]).is_nothing(), "it has not given it up yet");
    assert_eq!(withdrawn(&with_gateway(1, "b"), &[closed(), serving("b")]), ["a"]);
}
