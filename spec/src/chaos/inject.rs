//! How each fault is done, and undone.
//!
//! Rule: a fault that names a moment (inside a transaction, before publishing) counts only when that moment was caught:
//! the program is stopped first, then the rows are looked at, and it goes on at once when they say something else.

use super::center::Center;
use super::fabric::Cut;
use super::faults::{Fault, Kind};
use super::files::{BROKER, HOST, REAL};
use super::host;
use super::tap::Tap;
use anyhow::Context;
use nix::sys::signal::Signal;
use rand::Rng;
use rand::rngs::StdRng;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Tries to catch a program at a named moment.
const TRIES: u32 = 60;

/// What a published message takes to the tap, at most, on a busy machine.
const TAP_TAKES: Duration = Duration::from_millis(250);

/// MariaDB's own interval for `information_schema.innodb_trx`, and a little.
const TRANSACTIONS_SHOWN_AFTER: Duration = Duration::from_millis(130);

/// Messages sent again at once.
const REPLAYED: usize = 40;

const REPLAY_LIMIT: Duration = Duration::from_secs(30);

/// What a slow agent's effects take.
const SLOW_MS: std::ops::RangeInclusive<u64> = 200..=1200;

/// What has to be undone.
#[derive(Debug)]
pub enum Heal {
    Nothing,
    Continue(&'static str),
    Mend(Cut),
    Remove(PathBuf),
    Clock(&'static str),
    Fast(&'static str),
}

#[derive(Debug)]
pub struct Injected {
    pub heal: Heal,
    /// Jobs that were open at that moment.
    pub open: u64,
}

/// Does it. `None`: its moment did not come.
///
/// # Errors
/// The kit could not do it: a defect of the kit.
pub async fn inject(center: &Center, tap: &Tap, rng: &mut StdRng, fault: &Fault) -> anyhow::Result<Option<Injected>> {
    // Without an answer nothing is known to be open.
    let open = center.open_jobs().await.unwrap_or(0);
    let program = fault.program;
    let heal = match fault.kind {
        Kind::KillManager | Kind::KillAgent | Kind::KillBroker | Kind::KillDatabase => {
            center.program(program)?.signal(Signal::SIGKILL).then_some(Heal::Nothing)
        }
        Kind::WipeBroker => Some(wipe_broker(center).await?),
        Kind::FreezeManager | Kind::FreezeAgent | Kind::FreezeBroker | Kind::FreezeDatabase => {
            center.program(program)?.signal(Signal::SIGSTOP).then_some(Heal::Continue(program))
        }
        Kind::FreezeInTransaction => {
            catch(center, rng, program, async || in_transaction(center, program).await).await?
        }
        Kind::FreezeRelay => catch(center, rng, program, async || has_unpublished(center, tap).await).await?,
        Kind::CutBetween => {
            let other = fault.other.context("a cut has two ends")?;
            Some(Heal::Mend(center.fabric.cut(&format!("cut{}", rng.random::<u32>()), program, other).await?))
        }
        Kind::CutOff => Some(Heal::Mend(center.fabric.cut_off(program).await?)),
        Kind::FullDisk => Some(fill(center.path(&format!("state/{program}/filler"))).await?),
        Kind::StepClock => {
            center.set_clock(program, fault.step)?;
            Some(Heal::Clock(program))
        }
        Kind::SlowAgent => {
            center.set_latency(program, rng.random_range(SLOW_MS))?;
            Some(Heal::Fast(program))
        }
        Kind::Replay => {
            // Bounded: a broker that is just coming back may keep every message waiting for its confirm.
            let replayed = tokio::time::timeout(REPLAY_LIMIT, tap.replay(center, rng, REPLAYED)).await;
            replayed.unwrap_or(Ok(0))?.gt(&0).then_some(Heal::Nothing)
        }
        Kind::KillGuest => host::kill_one("qemu-system-x86_64", |n| rng.random_range(0..n))?.map(|()| Heal::Nothing),
        Kind::KillLibvirt => host::kill_one("libvirtd", |_| 0)?.map(|()| Heal::Nothing),
        Kind::KillSwitch => host::kill_one("ovs-vswitchd", |_| 0)?.map(|()| Heal::Nothing),
        Kind::LosePower => Some(lose_power(center).await?),
    };
    Ok(heal.map(|heal| Injected { heal, open }))
}

async fn lose_power(center: &Center) -> anyhow::Result<Heal> {
    host::lose_power(center.program(HOST)?, center.program(REAL)?, &center.host().ready_file()).await?;
    Ok(Heal::Nothing)
}

/// # Errors
/// The kit could not do it.
pub async fn heal(center: &Center, heal: &Heal) -> anyhow::Result<()> {
    match heal {
        Heal::Nothing => {}
        Heal::Continue(program) => drop(center.program(program)?.signal(Signal::SIGCONT)),
        Heal::Mend(cut) => center.fabric.mend(cut).await?,
        Heal::Remove(path) => std::fs::remove_file(path)?,
        Heal::Clock(program) => center.set_clock(program, 0)?,
        Heal::Fast(agent) => center.set_latency(agent, 0)?,
    }
    Ok(())
}

async fn wipe_broker(center: &Center) -> anyhow::Result<Heal> {
    let broker = center.program(BROKER)?;
    broker.hold(true);
    broker.signal(Signal::SIGKILL);
    crate::processes::until("the broker is dead", async || Ok(!broker.is_alive())).await?;
    let kept = center.path("broker/mnesia");
    if kept.exists() {
        std::fs::remove_dir_all(kept)?;
    }
    broker.hold(false);
    Ok(Heal::Nothing)
}

/// Writes until there is no room.
async fn fill(path: PathBuf) -> anyhow::Result<Heal> {
    let filled = path.clone();
    let done = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut file = std::fs::File::create(filled)?;
        for size in [64 * 1024, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    });
    done.await??;
    Ok(Heal::Remove(path))
}

/// Stops the program again and again until the moment is the wanted one.
async fn catch(
    center: &Center,
    rng: &mut StdRng,
    program: &'static str,
    is_the_moment: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<Option<Heal>> {
    let stopped = center.program(program)?;
    for _ in 0..TRIES {
        if !stopped.signal(Signal::SIGSTOP) {
            return Ok(None);
        }
        if is_the_moment().await.unwrap_or(false) {
            return Ok(Some(Heal::Continue(program)));
        }
        stopped.signal(Signal::SIGCONT);
        // The random moment of the next try, not a synchronisation.
        tokio::time::sleep(Duration::from_millis(rng.random_range(3..60))).await;
    }
    Ok(None)
}

/// Whether a connection from this dcmgr's address holds locks.
async fn in_transaction(center: &Center, program: &str) -> anyhow::Result<bool> {
    // The server shows transactions as they were at the last look when that was less than 100 ms ago.
    tokio::time::sleep(TRANSACTIONS_SHOWN_AFTER).await;
    let address = center.fabric.address(program)?;
    let statement = format!(
        "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
         ON p.id = t.trx_mysql_thread_id WHERE p.host LIKE '{address}:%' AND p.command = 'Sleep' AND t.trx_lock_structs > 0"
    );
    Ok(center.number(&statement).await? > 0)
}

/// Whether a job is claimed whose message never came to the broker.
async fn has_unpublished(center: &Center, tap: &Tap) -> anyhow::Result<bool> {
    let claimed = "SELECT id FROM arame.jobs WHERE open = 1 AND rings = 1 AND rung_at IS NOT NULL";
    let claimed = center.texts(claimed).await?;
    if claimed.iter().all(|job| tap.was_published(job)) {
        return Ok(false);
    }
    // Perhaps the other dcmgr's, or on its way to the tap.
    tokio::time::sleep(TAP_TAKES).await;
    let unpublished: Vec<String> = claimed.into_iter().filter(|job| !tap.was_published(job)).collect();
    let still = center.texts("SELECT id FROM arame.jobs WHERE open = 1 AND rings = 1").await?;
    Ok(unpublished.iter().any(|job| still.contains(job)))
}
