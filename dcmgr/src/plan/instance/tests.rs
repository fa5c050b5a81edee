//! Single rules of the plan; its histories are walked in `plan::walks::instance`.

use super::*;

#[test]
fn a_disk_that_was_used_and_is_gone_is_never_made_again() {
    let facts = Facts { domain: Fact::No, power: Fact::No, generation: 4, devices_settled: true };
    let around = Surroundings { ready: true, ran_before: true, failed: false };
    for desired in [DesiredInstance::On, DesiredInstance::Off] {
        let wish = Wish { desired, generation: 5, reboot: false, leaving_host: false };
        assert_eq!(next_job(wish, facts, around), None);
    }
}

#[test]
fn a_launch_that_failed_for_good_is_cleaned_up_but_a_used_disk_is_kept() {
    let wish = Wish { desired: DesiredInstance::On, generation: 2, reboot: false, leaving_host: false };
    let facts = Facts { domain: Fact::Yes, power: Fact::No, generation: 2, devices_settled: true };
    let fresh = Surroundings { ready: true, ran_before: false, failed: true };
    let used = Surroundings { ran_before: true, ..fresh };
    assert_eq!(next_job(wish, facts, fresh).map(|w| w.kind), Some(Kind::DeleteInstance));
    assert_eq!(next_job(wish, facts, used), None);
}

#[test]
fn a_host_is_left_only_when_a_delete_was_answered_there() {
    let wish = Wish { desired: DesiredInstance::On, generation: 4, reboot: false, leaving_host: true };
    let around = Surroundings { ready: true, ran_before: false, failed: false };
    let unseen = Facts { domain: Fact::No, power: Fact::No, generation: 0, devices_settled: true };
    assert_eq!(next_job(wish, unseen, around).map(|w| w.kind), Some(Kind::DeleteInstance));
    let answered = Facts { generation: 4, ..unseen };
    assert_eq!(next_job(wish, answered, around), None);
    assert!(has_left(wish, answered));
}
