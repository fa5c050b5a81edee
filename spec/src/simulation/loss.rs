//! A host that dies for long, is declared lost, and comes back when it likes, while everything else goes wrong too.
//!
//! ```text
//! quiet ─► a host is killed for a while ─► it is silent ─► declared lost ─► trouble, its disks asked for by others
//!       ─► the host is back at some moment, or not until nothing goes wrong any more ─► quiet: what was freed is free,
//!          what was on it is off and found
//! ```
//!
//! Rule: what is expected afterwards follows from what the declaration answered, and where its answer was lost from the
//! timelines, never from a plan.

use super::orders::{DiskEnd, End, Order};
use super::run::Run;
use super::trouble::bus_faults;
use anyhow::ensure;
use arame_dcmgr::app;
use arame_framework::rehearsal;
use arame_schema::api::{DeclareLost, Role};
use rand::Rng;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A host counts as silent after fifteen seconds; it comes back before or long after that was noticed.
const AWAY_MS: std::ops::Range<u64> = 17_000..60_000;

/// Turns of trouble after the declaration.
const TURNS: u32 = 4;

/// Until the operator has his answer, or the host is heard again.
const PATIENCE: Duration = Duration::from_secs(90);

/// A disk of a lost machine, its account, and a machine elsewhere that shall have it.
struct Freed {
    disk: String,
    account: &'static str,
    machine: String,
}

impl Run {
    pub(super) async fn lose_a_host(&mut self) -> anyhow::Result<()> {
        let (agent, host) = if self.rng.random_bool(0.5) { ("hva.h1", "hn-h1") } else { ("hva.h2", "hn-h2") };
        let away = Duration::from_millis(self.rng.random_range(AWAY_MS));
        self.center.broker.set_faults(self.rng.random(), bus_faults());
        self.trouble.set_on(true);
        self.center.kill(agent, away);
        self.model.forgive(Some(agent));
        self.declare(host).await?;
        let mut freed = self.freed()?;
        for _ in 0..TURNS {
            let pause = self.rng.random_range(50..4_000);
            self.wait(pause).await?;
            freed = self.ask_for(freed)?;
            self.trouble.strike(&self.center);
        }
        self.trouble.heal(&self.center);
        self.expect_what_was_told()?;
        self.settle(super::run::STAYS_QUIET).await?;
        self.model.forgive(None);
        let lost = self.center.machine.number("SELECT COUNT(*) FROM host_nodes WHERE lost_at IS NOT NULL")?;
        ensure!(lost == 0, "{host} is still lost although it is heard and nothing is under way");
        Ok(())
    }

    /// Somebody else wants the disk as soon as it is said to be free.
    fn ask_for(&self, freed: Option<Freed>) -> anyhow::Result<Option<Freed>> {
        let Some(Freed { disk, account, machine }) = freed else { return Ok(None) };
        let state = format!("SELECT state FROM volumes WHERE id = '{disk}'");
        if self.center.machine.lines(&state)? == ["available"] {
            self.clients.send(account, Order::Attach { disk, machine });
            return Ok(None);
        }
        Ok(Some(Freed { disk, account, machine }))
    }

    /// Asks until it is done, refused because the host is heard again, or given up.
    async fn declare(&self, host: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.check()?;
            if let Some((app, process)) = self.center.serving() {
                let operator = super::clients::caller("a-demo", "loss");
                let operator = app::Caller { role: Role::Operator, idempotency_key: None, ..operator };
                let (id, confirm) = (host.to_owned(), Some(host.to_owned()));
                let asked = async move { app::losses::declare(&app, &operator, &id, DeclareLost { confirm }).await };
                match process.spawn(asked).await {
                    Ok(Ok(loss)) => {
                        rehearsal::note(|| format!("declared lost: {loss:?}"));
                        return Ok(());
                    }
                    Ok(Err(refusal)) => rehearsal::note(|| format!("not declared lost: {:?}", refusal.code)),
                    Err(_) => {}
                }
            }
            let done = "SELECT COUNT(*) FROM events WHERE code = 'host_declared_lost'";
            if self.center.machine.number(done)? > 0 {
                return Ok(());
            }
            sleep(Duration::from_millis(700)).await;
        }
        Ok(())
    }

    /// The first disk that the lost host's machines had, if there is a machine for it.
    fn freed(&self) -> anyhow::Result<Option<Freed>> {
        let freed = "SELECT t.volume_id, i.account_id FROM attachments t JOIN instances i ON i.id = t.instance_id \
                     WHERE t.open = 1 AND t.fencing = 1 AND t.wanted = 0 ORDER BY t.id LIMIT 1";
        let other = "SELECT i.id, i.account_id FROM instances i JOIN host_nodes h ON h.id = i.host_node_id \
                     WHERE h.lost_at IS NULL AND i.state = 'running' ORDER BY i.id";
        let Some(disk) = self.center.machine.rows(freed)?.into_iter().next() else { return Ok(None) };
        let machine = self.center.machine.rows(other)?.into_iter().find(|row| row[1] == disk[1]);
        let account = super::orders::ACCOUNTS.into_iter().find(|account| *account == disk[1]);
        Ok(account.zip(machine).map(|(account, machine)| Freed {
            disk: disk[0].clone(),
            account,
            machine: machine[0].clone(),
        }))
    }

    /// What there was to see: how often a host was declared lost, and what that meant.
    pub(super) fn losses(&self) -> anyhow::Result<std::collections::BTreeMap<String, u64>> {
        let codes = ["host_declared_lost", "host_returned", "lost_with_host", "found_with_host", "volume_fenced"];
        let counted = codes.into_iter().map(|code| {
            let count = self.center.machine.number(&format!("SELECT COUNT(*) FROM events WHERE code = '{code}'"))?;
            Ok((format!("loss: {code}"), count))
        });
        counted.collect()
    }

    /// What was lost is off from then on, and has no disk.
    fn expect_what_was_told(&self) -> anyhow::Result<()> {
        let lost = self.center.machine.lines("SELECT resource FROM events WHERE code = 'lost_with_host'")?;
        self.clients.expect(|wishes| {
            for id in &lost {
                if let Some(machine) = wishes.machines.get_mut(id).filter(|machine| machine.end == End::Running) {
                    machine.end = End::Halted;
                }
                for disk in wishes.disks.values_mut().filter(|disk| disk.end == DiskEnd::On(id.clone())) {
                    disk.end = DiskEnd::Free;
                }
            }
        });
        Ok(())
    }
}
