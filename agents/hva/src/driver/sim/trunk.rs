//! What goes from one simulated host to another: a folder that they share, also when each is a process of its own.
//!
//! ```text
//! <trunk>/<host>/<instance>.<generation>.waiting   made by the host that waits
//!                                       .memory    written by the sender; the guest stands still there
//!                                       .given     `.waiting`, renamed by the sender: from now on it runs here
//! ```
//!
//! Rule: `.waiting` is renamed by the sender or removed by the host that waits, whichever comes first; the other finds
//! nothing. So a guest is given once, or not at all.

use super::world::{Domain, Waiting, World};
use super::{Sim, Told, lock};
use crate::driver::{DriverError, Machine, Mark, SeenPower, Sending};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::Retry;
use arame_schema::model::InstanceId;
use std::io::{ErrorKind, Result as Io};
use std::path::{Path, PathBuf};

fn broken(path: &Path, error: &std::io::Error) -> DriverError {
    DriverError::new("host_disk_error", format!("{}: {error}", path.display()), Retry::Later)
}

/// A name beside a gate.
fn part(gate: &Path, kind: &str) -> PathBuf {
    let mut name = gate.as_os_str().to_owned();
    name.push(".");
    name.push(kind);
    PathBuf::from(name)
}

fn gate(trunk: &Path, host: &str, instance: &InstanceId, generation: u64) -> PathBuf {
    trunk.join(host).join(format!("{instance}.{generation}"))
}

/// Whether it was there.
fn removed(path: &Path) -> Io<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn not_waited_for(sending: &Sending) -> DriverError {
    let Sending { instance, to, generation, .. } = sending;
    let message = format!("{to} does not wait for {instance} of generation {generation}");
    DriverError::new("not_waited_for", message, Retry::Later)
}

impl World {
    /// The guest that was given to this host runs here.
    fn admit(&mut self, instance: &InstanceId, memory: Option<Domain>) {
        let Some(waiting) = self.waiting.remove(instance) else { return };
        let Some(memory) = memory else { return };
        let received = Some(waiting.mark.generation);
        let mark = Mark { operation: memory.mark.operation, arrived: received, released: received, ..waiting.mark };
        let domain = Domain { mark, power: SeenPower::On, left: false, died: false, ..memory };
        self.domains.insert(instance.clone(), domain);
    }
}

impl Sim {
    pub(super) fn trunk(&self) -> Told<&Path> {
        let none = || DriverError::new("no_trunk", "simulated hosts move guests only over a trunk", Retry::Never);
        self.inner.trunk.as_deref().ok_or_else(none)
    }

    pub(super) fn has_trunk(&self) -> bool {
        self.inner.trunk.is_some()
    }

    /// Takes in what was given to this host since the last look.
    pub(super) async fn admit(&self, only: Option<&InstanceId>) -> Told<()> {
        let waiting: Vec<(InstanceId, Waiting)> = {
            let world = lock(&self.inner.world);
            let wanted = world.waiting.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
            wanted.map(|(id, waiting)| (id.clone(), waiting.clone())).collect()
        };
        for (instance, Waiting { gate, .. }) in waiting {
            let given = part(&gate, "given");
            if !given.exists() {
                continue;
            }
            let memory = part(&gate, "memory");
            let bytes = std::fs::read(&memory).map_err(|e| broken(&memory, &e))?;
            let domain = serde_json::from_slice(&bytes).map_err(|e| broken(&memory, &e.into()))?;
            self.change(|world| world.admit(&instance, Some(domain))).await?;
            removed(&given).and_then(|_| removed(&memory)).map_err(|e| broken(&given, &e))?;
        }
        Ok(())
    }

    /// Nobody can give it to this host any more.
    pub(super) async fn close_gate(&self, instance: &InstanceId) -> Told<()> {
        self.admit(Some(instance)).await?;
        let waiting = lock(&self.inner.world).waiting.get(instance).cloned();
        let Some(Waiting { gate, .. }) = waiting else { return Ok(()) };
        let own = part(&gate, "waiting");
        if removed(&own).map_err(|e| broken(&own, &e))? {
            let memory = part(&gate, "memory");
            removed(&memory).map_err(|e| broken(&memory, &e))?;
        } else {
            // It was given in this moment.
            self.admit(Some(instance)).await?;
        }
        self.change(|world| world.admit(instance, None)).await
    }

    pub(super) async fn open_gate(&self, machine: &Machine) -> Told<()> {
        let instance = &machine.spec.instance;
        let gate = gate(self.trunk()?, &self.inner.host, instance, machine.mark.generation);
        let own = part(&gate, "waiting");
        let made = gate.parent().map_or(Ok(()), std::fs::create_dir_all);
        let waiting = Waiting { mark: machine.mark.clone(), gate };
        self.effect("ensure_waiting", instance, |world| {
            world.waiting.insert(instance.clone(), waiting);
            Ok(())
        })
        .await?;
        // Nobody gives it to a host that would not know.
        made.and_then(|()| std::fs::write(&own, [])).map_err(|e| broken(&own, &e))
    }

    pub(super) async fn pause_and_copy(&self, sending: &Sending, work: &Work) -> Result<(), Stopped> {
        let gate = gate(self.trunk()?, sending.to.as_str(), &sending.instance, sending.generation);
        if !part(&gate, "waiting").exists() {
            return Err(not_waited_for(sending).into());
        }
        work.progress(30, "memory 30 %");
        let stopped = self.effect("pause_to_send", &sending.instance, |world| {
            let domain = world.domains.get_mut(&sending.instance).ok_or_else(|| super::missing(&sending.instance))?;
            if domain.power == SeenPower::Off {
                let message = format!("{} went off while it was sent", sending.instance);
                return Err(DriverError::new("guest_is_off", message, Retry::Later));
            }
            domain.power = SeenPower::Paused;
            Ok(domain.clone())
        });
        let domain = stopped.await?;
        work.check()?;
        let memory = part(&gate, "memory");
        let bytes = serde_json::to_vec(&domain).unwrap_or_default();
        std::fs::write(&memory, bytes).map_err(|e| broken(&memory, &e))?;
        Ok(())
    }

    pub(super) async fn let_run(&self, sending: &Sending) -> Told<()> {
        let gate = gate(self.trunk()?, sending.to.as_str(), &sending.instance, sending.generation);
        self.effect("let_run", &sending.instance, |_| {
            match std::fs::rename(part(&gate, "waiting"), part(&gate, "given")) {
                Err(e) if e.kind() == ErrorKind::NotFound => Err(not_waited_for(sending)),
                Err(e) => Err(broken(&gate, &e)),
                Ok(()) => Ok(()),
            }
        })
        .await
    }
}
