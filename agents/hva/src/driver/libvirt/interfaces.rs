//! Interfaces that a running guest gets and loses.
//!
//! Rule: the kept definition has been written before; here only the running guest follows it. A guest that does not let
//! an interface go keeps it, and its port, until it is switched off: that is told, never hidden.

use super::{LIVE, LOOK, Libvirt, QUICK, START, Told, UNPLUG, described, failed, owned, power_of, xml};
use crate::driver::{DriverError, Machine, SeenPower};
use arame_schema::jobs::hva::Nic;
use arame_schema::jobs::report::Retry;
use arame_schema::model::{InstanceId, VifId};
use tokio::time::Instant;

impl Libvirt {
    /// MAC address of the interface in the running guest.
    async fn live_nic(&self, instance: &InstanceId, vif: &VifId) -> Told<Option<String>> {
        let (name, vif) = (instance.to_string(), vif.clone());
        self.call("look for an interface", QUICK, move |link| {
            let Some((domain, _)) = owned(link, &name)? else { return Ok(None) };
            if power_of(&domain)? == SeenPower::Off {
                return Ok(None);
            }
            Ok(described(&domain, 0)?.nics.remove(&vif))
        })
        .await
    }

    pub(super) async fn plug_nic(&self, machine: &Machine, nic: &Nic) -> Told<()> {
        if self.live_nic(&machine.spec.instance, &nic.vif).await?.is_some() {
            return Ok(());
        }
        let (name, device) = (machine.spec.instance.to_string(), xml::interface(nic, self.config.domain_type).render());
        self.call("plug an interface", START, move |link| {
            let Some((domain, _)) = owned(link, &name)? else {
                return Err(DriverError::new("domain_missing", format!("{name} is not defined"), Retry::Later));
            };
            domain.attach_device_flags(&device, LIVE).map(drop).map_err(|e| failed("plug an interface", &e))
        })
        .await
    }

    pub(super) async fn unplug_nic(&self, instance: &InstanceId, vif: &VifId) -> Told<()> {
        let Some(mac) = self.live_nic(instance, vif).await? else { return Ok(()) };
        let name = instance.to_string();
        self.call("unplug an interface", START, move |link| match owned(link, &name)? {
            Some((domain, _)) => {
                let device = xml::interface_to_detach(&mac);
                domain.detach_device_flags(&device, LIVE).map(drop).map_err(|e| failed("unplug an interface", &e))
            }
            None => Ok(()),
        })
        .await?;
        let deadline = Instant::now() + UNPLUG;
        while self.live_nic(instance, vif).await?.is_some() {
            if Instant::now() >= deadline {
                let message = format!("the guest did not let {vif} go within {UNPLUG:?}");
                return Err(DriverError::new("guest_holds_interface", message, Retry::Later));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
