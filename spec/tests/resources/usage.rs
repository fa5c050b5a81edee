//! What was used over a time: the totals of an account.

use crate::support::small;
use anyhow::{Context, ensure};
use arame_dcmgr::db;
use arame_dcmgr::db::usage::{Used, Window};
use arame_schema::api::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// By kind: how much, in the smallest units.
fn sum(parts: &[Vec<Used>]) -> BTreeMap<(String, String), [u128; 4]> {
    let mut all = BTreeMap::new();
    for one in parts.iter().flatten() {
        let sum: &mut [u128; 4] = all.entry((one.resource_type.clone(), one.what.clone())).or_default();
        let more = [one.ms, one.cpu_core_ms, one.memory_mib_ms, one.disk_mib_ms];
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    all.retain(|_, sum| sum.iter().any(|one| *one > 0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_in_adjoining_times_adds_up_to_the_whole_for_every_seed() -> anyhow::Result<()> {
    let world = small().await?;
    let begin = Timestamp::parse("2026-03-01 00:00:00 UTC").context("a moment")?;
    let at = |second: i64| Timestamp(begin.0 + time::Duration::seconds(second));
    let (mut windows, mut kinds) = (0, 0);
    for seed in 0..20u64 {
        let mut random = StdRng::seed_from_u64(seed);
        world.db().rows("DELETE FROM usage_intervals WHERE account_id = 'a-other'", ()).await?;
        for n in 0..30 {
            let (resource, what) = [("i-", "running"), ("i-", "kept"), ("vol-", "kept"), ("vif-", "held")][n % 4];
            let begun_ms = random.random_range(-5_000_000..15_000_000i64);
            let length_ms = random.random_range(0..8_000_000i64);
            // Some go on: they are counted to the end of the time.
            let ends = random.random_bool(0.8);
            let statement = "INSERT INTO usage_intervals (resource, account_id, what, cpu_cores, memory_mib, disk_mib, begun_at, \
                ended_at, open) VALUES (?, 'a-other', ?, ?, ?, ?, '2026-03-01' + INTERVAL ? MICROSECOND, \
                IF(?, '2026-03-01' + INTERVAL ? MICROSECOND, NULL), IF(?, NULL, 1))";
            let sizes =
                (random.random_range(0..9u32), random.random_range(0..9000u64), random.random_range(0..90_000u64));
            let values = (format!("{resource}s{seed}n{n}"), what, sizes.0, sizes.1, sizes.2, begun_ms * 1000, ends);
            let (a, b, c, d, e, f, g) = values;
            world.db().rows(statement, (a, b, c, d, e, f, g, (begun_ms + length_ms) * 1000, ends)).await?;
        }
        let mut cuts: Vec<i64> = (0..6).map(|_| random.random_range(0..10_000)).chain([0, 10_000]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut parts = Vec::new();
        for pair in cuts.windows(2) {
            let window = Window { since: at(pair[0]), until: at(pair[1]) };
            parts.push(db::usage::totals(world.db(), "a-other", window).await?);
        }
        let window = Window { since: at(0), until: at(10_000) };
        let whole = sum(&[db::usage::totals(world.db(), "a-other", window).await?]);
        ensure!(sum(&parts) == whole, "seed {seed}: {:?} is not {whole:?}", sum(&parts));
        // Control: a second that is left out is missed.
        let shorter = Window { since: at(0), until: at(9_999) };
        ensure!(sum(&[db::usage::totals(world.db(), "a-other", shorter).await?]) != whole, "seed {seed}: no control");
        windows += parts.len();
        kinds += whole.len();
    }
    println!("20 seeds, {windows} times, {kinds} kinds with use");
    ensure!(windows >= 100 && kinds >= 60, "too little was added up");
    world.ends_clean().await
}
