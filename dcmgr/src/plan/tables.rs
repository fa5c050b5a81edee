//! Every plan's whole table, printed and compared with the checked-in text in `tables/`: a change of a plan is read there
//! as the cases it changes. `ARAME_BLESS=1` writes them. Wishes stand at generation 2; a thing carries 1 (older) or 2.

use super::{
    Wanted, attachment, backup, capture, image, instance, migration, moving, replica, rollback, snapshot, volume,
    volume_snapshot,
};
use arame_schema::model::Fact;
use arame_schema::model::instance::DesiredInstance::{Gone, Off, On};
use std::fmt::Write;
use tests::compare;

const FACTS: [Fact; 3] = [Fact::No, Fact::Maybe, Fact::Yes];
const BOTH: [bool; 2] = [false, true];
const GENERATION: u64 = 2;

fn word(so: bool) -> &'static str {
    if so { "yes" } else { "no" }
}

fn age(generation: u64) -> &'static str {
    if generation < GENERATION { "old" } else { "new" }
}

fn job(wanted: Option<Wanted>) -> &'static str {
    wanted.map_or("-", |wanted| wanted.kind.as_str())
}

/// Adds one line in columns as wide as the header's words.
fn line(table: &mut String, header: &str, cells: &[&str]) {
    let mut text = String::new();
    for (cell, word) in cells.iter().zip(header.split(' ')) {
        let _ = write!(text, "{cell:width$} ", width = word.len().max(cell.len()));
    }
    let _ = writeln!(table, "{}", text.trim_end());
}

#[test]
fn the_table_of_an_instance_reads_as_the_checked_in_text() {
    let header = "desired leaving reboot domain power spec. ready ran failed -> job";
    let mut table = format!("{header}\n");
    for desired in [On, Off, Gone] {
        for (leaving_host, reboot) in [(false, false), (false, true), (true, false)] {
            for (domain, power) in FACTS.iter().flat_map(|domain| FACTS.map(|power| (*domain, power))) {
                for (generation, devices_settled, spec) in [(1, true, "old"), (2, false, "disks"), (2, true, "new")] {
                    for bits in 0..8_u8 {
                        let around = instance::Surroundings {
                            ready: bits & 4 != 0,
                            ran_before: bits & 2 != 0,
                            failed: bits & 1 != 0,
                        };
                        let wish = instance::Wish { desired, generation: GENERATION, reboot, leaving_host };
                        let next = instance::next_job(
                            wish,
                            instance::Facts { domain, power, generation, devices_settled },
                            around,
                        );
                        let desired = format!("{desired:?}").to_lowercase();
                        let cells = [
                            &desired,
                            word(leaving_host),
                            word(reboot),
                            domain.as_str(),
                            power.as_str(),
                            spec,
                            word(around.ready),
                            word(around.ran_before),
                            word(around.failed),
                            "->",
                            job(next),
                        ];
                        line(&mut table, header, &cells);
                    }
                }
            }
        }
    }
    compare("instance", &table);
}

#[test]
fn the_table_of_a_volume_reads_as_the_checked_in_text() {
    let header = "wanted present was_present attached snapshots failed -> job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for present in FACTS {
            for bits in 0..16_u8 {
                let (was_present, attached) = (bits & 8 != 0, bits & 4 != 0);
                let (snapshots, failed) = (bits & 2 != 0, bits & 1 != 0);
                let around = volume::Surroundings { was_present, attached, snapshots, failed };
                let next = volume::next_job(volume::Wish { wanted, generation: GENERATION }, present, around);
                let flags = [word(was_present), word(attached), word(snapshots), word(failed)];
                let cells = [word(wanted), present.as_str(), flags[0], flags[1], flags[2], flags[3], "->", job(next)];
                line(&mut table, header, &cells);
            }
        }
    }
    compare("volume", &table);
}

#[test]
fn the_table_of_a_volume_snapshot_reads_as_the_checked_in_text() {
    let header = "wanted present was_present ready needed failed -> job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for present in FACTS {
            for bits in 0..16_u8 {
                let (was_present, ready) = (bits & 8 != 0, bits & 4 != 0);
                let (needed, failed) = (bits & 2 != 0, bits & 1 != 0);
                let around = volume_snapshot::Surroundings { was_present, ready, needed, failed };
                let wish = volume_snapshot::Wish { wanted, generation: GENERATION };
                let next = volume_snapshot::next_job(wish, present, around);
                let flags = [word(was_present), word(ready), word(needed), word(failed)];
                let cells = [word(wanted), present.as_str(), flags[0], flags[1], flags[2], flags[3], "->", job(next)];
                line(&mut table, header, &cells);
            }
        }
    }
    compare("volume_snapshot", &table);
}

#[test]
fn the_table_of_a_replica_reads_as_the_checked_in_text() {
    let header = "wanted present was_present offered needed failed -> job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for present in FACTS {
            for bits in 0..16_u8 {
                let [was_present, offered, needed, failed] = [8, 4, 2, 1].map(|bit| bits & bit != 0);
                let around = replica::Surroundings { was_present, offered, needed, failed };
                let next = replica::next_job(replica::Wish { wanted, generation: GENERATION }, present, around);
                let flags = [word(was_present), word(offered), word(needed), word(failed)];
                let cells = [word(wanted), present.as_str(), flags[0], flags[1], flags[2], flags[3], "->", job(next)];
                line(&mut table, header, &cells);
            }
        }
    }
    let header = "present is_read offered -> job";
    table.push_str(&format!("\n{header}\n"));
    for present in FACTS {
        for is_read in BOTH {
            for offered in FACTS {
                let next = replica::next_offer(GENERATION, present, is_read, offered);
                line(&mut table, header, &[present.as_str(), word(is_read), offered.as_str(), "->", job(next)]);
            }
        }
    }
    compare("replica", &table);
}

#[test]
fn the_table_of_a_rollback_reads_as_the_checked_in_text() {
    let header = "asked carries operation attached newer_snapshots -> next";
    let mut table = format!("{header}\n");
    for asked in [1, GENERATION] {
        for (generation, operation) in [1, GENERATION].iter().flat_map(|g| BOTH.map(|operation| (*g, operation))) {
            for (attached, newer_snapshots) in BOTH.iter().flat_map(|a| BOTH.map(|newer| (*a, newer))) {
                let wish = rollback::Wish { generation: GENERATION, asked };
                let around = rollback::Surroundings { attached, newer_snapshots };
                let next = match rollback::next(wish, rollback::Found { operation, generation }, around) {
                    rollback::Next::Done => "done",
                    rollback::Next::GivenUp => "given up",
                    rollback::Next::Wait => "wait",
                    rollback::Next::Do(wanted) => wanted.kind.as_str(),
                };
                let flags = [word(operation), word(attached), word(newer_snapshots)];
                line(&mut table, header, &[age(asked), age(generation), flags[0], flags[1], flags[2], "->", next]);
            }
        }
    }
    compare("rollback", &table);
}

#[test]
fn the_table_of_an_attachment_reads_as_the_checked_in_text() {
    let header = "wanted volume exported generation plugged -> pluggable over job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for volume in FACTS {
            for (exported, export_generation) in FACTS.iter().flat_map(|e| [(*e, 1), (*e, 2)]) {
                for plugged in FACTS {
                    let wish = attachment::Wish { wanted, generation: GENERATION, fencing: false };
                    let facts = attachment::Facts { volume, exported, export_generation, proved: None, plugged };
                    let cells = [
                        word(wanted),
                        volume.as_str(),
                        exported.as_str(),
                        age(export_generation),
                        plugged.as_str(),
                        "->",
                        word(attachment::is_pluggable(wish, facts)),
                        word(attachment::is_over(wish, facts)),
                        job(attachment::next_job(wish, facts)),
                    ];
                    line(&mut table, header, &cells);
                }
            }
        }
    }
    compare("attachment", &table);
}

#[test]
fn the_table_of_an_attachment_of_a_lost_host_reads_as_the_checked_in_text() {
    let header = "wanted exported proved plugged -> fenced pluggable over job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for (exported, proved) in FACTS.iter().flat_map(|e| [None, Some(1), Some(GENERATION)].map(|p| (*e, p))) {
            for plugged in FACTS {
                let wish = attachment::Wish { wanted, generation: GENERATION, fencing: true };
                let export_generation = proved.unwrap_or(0);
                let facts = attachment::Facts { volume: Fact::Yes, exported, export_generation, proved, plugged };
                let cells = [
                    word(wanted),
                    exported.as_str(),
                    proved.map_or("-", age),
                    plugged.as_str(),
                    "->",
                    word(attachment::is_fenced(wish, facts)),
                    word(attachment::is_pluggable(wish, facts)),
                    word(attachment::is_over(wish, facts)),
                    job(attachment::next_job(wish, facts)),
                ];
                line(&mut table, header, &cells);
            }
        }
    }
    compare("attachment_fencing", &table);
}

#[test]
fn the_table_of_an_image_reads_as_the_checked_in_text() {
    let header = "wanted present obtainable failed -> job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for present in FACTS {
            for (obtainable, failed) in BOTH.into_iter().flat_map(|one| BOTH.map(|other| (one, other))) {
                let wish = image::Wish { wanted, generation: GENERATION, obtainable, failed };
                let words = [word(wanted), present.as_str(), word(obtainable), word(failed)];
                let next = job(image::next_job(wish, present));
                line(&mut table, header, &[words[0], words[1], words[2], words[3], "->", next]);
            }
        }
    }
    compare("image", &table);
}

#[test]
fn the_table_of_a_capture_reads_as_the_checked_in_text() {
    let header = "wanted stored failed over captured dropped -> needed job";
    let mut table = format!("{header}\n");
    for bits in 0..16_u8 {
        let [wanted, stored, failed, over] = [8, 4, 2, 1].map(|bit| bits & bit != 0);
        for (captured, dropped_generation) in FACTS.iter().flat_map(|fact| [1, 2].map(|dropped| (*fact, dropped))) {
            let wish = capture::Wish { wanted, generation: GENERATION, stored, failed, over };
            let next = job(capture::next_job(wish, capture::Facts { captured, dropped_generation }));
            let words =
                [word(wanted), word(stored), word(failed), word(over), captured.as_str(), age(dropped_generation)];
            let cells = [words[0], words[1], words[2], words[3], words[4], words[5], "->", word(wish.needed()), next];
            line(&mut table, header, &cells);
        }
    }
    compare("capture", &table);
}

#[test]
fn the_table_of_a_snapshot_reads_as_the_checked_in_text() {
    let header = "kind version applied -> job";
    let mut table = format!("{header}\n");
    for kind in [super::Kind::ApplyNetwork, super::Kind::ApplyPolicy] {
        for applied in 0..=3 {
            let next = snapshot::next_job(kind, GENERATION, applied);
            line(&mut table, header, &[kind.as_str(), "2", &applied.to_string(), "->", job(next)]);
        }
    }
    compare("snapshot", &table);
}

#[test]
fn the_table_of_a_backup_reads_as_the_checked_in_text() {
    let header = "wanted object snapshot dropped volume copied snapshot_seen was_present failed -> job";
    let mut table = format!("{header}\n");
    for wanted in BOTH {
        for (object, snapshot) in FACTS.iter().flat_map(|object| FACTS.map(|snapshot| (*object, snapshot))) {
            for dropped_generation in [1, 2] {
                for (volume, bits) in FACTS.iter().flat_map(|volume| (0..16_u8).map(|bits| (*volume, bits))) {
                    let around = backup::Surroundings {
                        volume,
                        copied: bits & 8 != 0,
                        snapshot_was_present: bits & 4 != 0,
                        was_present: bits & 2 != 0,
                        failed: bits & 1 != 0,
                    };
                    let facts = backup::Facts { object, snapshot, dropped_generation };
                    let next = backup::next_job(backup::Wish { wanted, generation: GENERATION }, facts, around);
                    let cells = [
                        word(wanted),
                        object.as_str(),
                        snapshot.as_str(),
                        age(dropped_generation),
                        volume.as_str(),
                        word(around.copied),
                        word(around.snapshot_was_present),
                        word(around.was_present),
                        word(around.failed),
                        "->",
                        next.map_or("-", |wanted| wanted.job.as_str()),
                    ];
                    line(&mut table, header, &cells);
                }
            }
        }
    }
    compare("backup", &table);
}

/// Where the job goes, seen from the desired host.
fn told(next: migration::Next) -> String {
    let place = |host| if host == migration::Host::A { "here" } else { "there" };
    match next {
        migration::Next::Settled => "settled".into(),
        migration::Next::Wait(migration::Awaited::OneCopy) => "wait: two copies".into(),
        migration::Next::Wait(migration::Awaited::Sent(host)) => format!("wait: sent by {}", place(host)),
        migration::Next::Wait(migration::Awaited::Guest(host)) => format!("wait: guest {}", place(host)),
        migration::Next::Wait(migration::Awaited::Heard(host)) => format!("wait: {} is heard", place(host)),
        migration::Next::Do { job, host, .. } => format!("{} {}", job.as_str(), place(host)),
    }
}

#[test]
fn the_table_of_a_migration_reads_as_the_checked_in_text() {
    let header = "here.... generation attachment there... attachment silent. -> next";
    let mut table = format!("{header}\n");
    for (here, there) in migration::Guest::ALL.iter().flat_map(|here| migration::Guest::ALL.map(|there| (*here, there)))
    {
        for (generation, attached) in [(1, Fact::Yes), (2, Fact::No), (2, Fact::Yes)] {
            for left in FACTS {
                for (silent, name) in
                    [([false, false], "-"), ([true, false], "here"), ([false, true], "there"), ([true, true], "both")]
                {
                    let attachment_generation = GENERATION;
                    let here_side =
                        migration::Side { guest: here, generation, attachment: attached, attachment_generation };
                    let there_side =
                        migration::Side { guest: there, generation: 1, attachment: left, attachment_generation: 1 };
                    let facts = migration::Facts { sides: [here_side, there_side] };
                    let around = migration::Around { silent, may_fence: true, sending: [false; 2] };
                    let wish = migration::Wish { host: migration::Host::A, generation: GENERATION };
                    let next = migration::next(wish, facts, around);
                    let cells = [
                        here.as_str(),
                        age(generation),
                        attached.as_str(),
                        there.as_str(),
                        left.as_str(),
                        name,
                        "->",
                        &told(next),
                    ];
                    line(&mut table, header, &cells);
                }
            }
        }
    }
    compare("migration", &table);
}

fn stepped(step: moving::Step) -> String {
    let place = |host| if host == migration::Host::A { "here" } else { "there" };
    match step {
        moving::Step::Do { job, host, generation } => told(migration::Next::Do { job, host, generation }),
        moving::Step::Use { host, may: true, .. } => format!("may be used {}", place(host)),
        moving::Step::Use { host, may: false, .. } => format!("may not be used {}", place(host)),
        moving::Step::StaysAt(host) => format!("stays {}", place(host)),
        moving::Step::Wait(awaited) => told(migration::Next::Wait(awaited)),
        moving::Step::Lost => "lost".into(),
        moving::Step::Settled => "settled".into(),
    }
}

#[test]
fn the_table_of_a_move_with_its_disk_reads_as_the_checked_in_text() {
    let header = "here.... generation used there... generation used silent. -> step";
    let mut table = format!("{header}\n");
    let held: Vec<(moving::Held, &str)> = migration::Guest::ALL
        .map(|guest| (moving::Held::Between(guest), guest.as_str()))
        .into_iter()
        .chain([(moving::Held::Off, "off")])
        .collect();
    for ((here, here_word), (there, there_word)) in held.iter().flat_map(|here| held.iter().map(move |t| (here, t))) {
        for bits in 0..16_u8 {
            let [new_here, new_there, used_here, used_there] = [8, 4, 2, 1].map(|bit| bits & bit != 0);
            let of = |new| if new { GENERATION } else { 1 };
            let at =
                |held, new, may_use| moving::At { held, generation: of(new), may_use, use_generation: of(may_use) };
            for (silent, name) in [([false, false], "-"), ([false, true], "there")] {
                let sides = [at(*here, new_here, used_here), at(*there, new_there, used_there)];
                let around = migration::Around { silent, may_fence: false, sending: [false; 2] };
                let wish = migration::Wish { host: migration::Host::A, generation: GENERATION };
                let step = stepped(moving::step(wish, sides, around));
                let (new, used) = ([new_here, new_there].map(|new| age(of(new))), [used_here, used_there].map(word));
                let cells = [*here_word, new[0], used[0], *there_word, new[1], used[1], name, "->", &step];
                line(&mut table, header, &cells);
            }
        }
    }
    compare("moving", &table);
}

#[cfg(test)]
mod tests {
    /// Compares a table with the checked-in text.
    pub(super) fn compare(name: &str, table: &str) {
        let path = format!("{}/src/plan/tables/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("ARAME_BLESS").is_some() {
            std::fs::write(&path, table).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(table == checked_in, "{path} is not what the plan says; ARAME_BLESS=1 rewrites it");
    }
}
