//! Patient clients of two accounts: each order is sent, with one key, until it is answered for good.
//!
//! Rule: a client sees what a user sees: an answer, a refusal, or nothing. An order in doubt is sent again, and may
//! find itself done.

use super::center::Center;
use super::orders::{DiskEnd, End, Order, Wishes};
use super::report::Asked;
use arame_dcmgr::app::{self, App, Caller};
use arame_framework::rehearsal;
use arame_schema::api::{
    BackUpInstance, BackUpVolume, Code, CreateInstance, CreateVolume, Refusal, Role, UpdateSecurityGroup,
};
use arame_schema::model::instance::Shutdown;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than any outage: an order that is not answered by then is stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(150);

/// How often a client tries what comes too early.
const TRIES_EARLY: u32 = 40;

/// One in so many moves is taken back, within this: what a move takes without trouble.
const CHANGES_MIND_ONE_IN: u32 = 2;
const CHANGES_MIND_WITHIN_MS: u64 = 1_500;

pub struct Clients {
    center: Arc<Center>,
    rng: Mutex<StdRng>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wishes: Wishes,
    made: u32,
    on_the_way: usize,
    asked: BTreeMap<&'static str, Asked>,
    stuck: Option<String>,
}

impl Clients {
    pub fn new(center: Arc<Center>, seed: u64) -> Self {
        let rng = Mutex::new(StdRng::seed_from_u64(seed ^ 0x636c_6965_6e74_7300));
        Self { center, rng, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wishes(&self) -> Wishes {
        self.lock().wishes.clone()
    }

    /// What shall become of things changed without an order.
    pub fn expect(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock().wishes);
    }

    pub fn on_the_way(&self) -> usize {
        self.lock().on_the_way
    }

    pub fn asked(&self) -> BTreeMap<&'static str, Asked> {
        self.lock().asked.clone()
    }

    pub fn stuck(&self) -> Option<String> {
        self.lock().stuck.clone()
    }

    /// Sends an order and remembers what shall become of it.
    pub fn send(self: &Arc<Self>, account: &'static str, order: Order) {
        {
            let mut state = self.lock();
            state.on_the_way += 1;
            state.wishes.busy.extend(order.things());
        }
        let own = self.clone();
        tokio::spawn(async move { own.carry(account, order).await });
    }

    async fn carry(self: Arc<Self>, account: &'static str, order: Order) {
        rehearsal::note(|| format!("{account} asks: {order:?}"));
        let answer = self.insist(account, &order).await;
        rehearsal::note(|| format!("{account} hears about {order:?}: {answer:?}"));
        if let (Order::Move { machine }, Ok(_)) = (&order, &answer) {
            self.perhaps_take_back(account, machine).await;
        }
        let mut state = self.lock();
        state.on_the_way -= 1;
        for thing in order.things() {
            state.wishes.busy.remove(&thing);
        }
        let asked = state.asked.entry(order.kind()).or_default();
        match answer {
            Ok(made) => {
                asked.accepted += 1;
                state.wishes.note(account, &order, made);
            }
            Err(Some(_)) => asked.refused += 1,
            Err(None) => drop(state.stuck.get_or_insert(format!("{order:?} was not answered within {PATIENCE:?}"))),
        }
    }

    /// A person who moved a machine changes their mind while it is on its way.
    async fn perhaps_take_back(&self, account: &str, machine: &str) {
        if !self.rng().random_ratio(1, CHANGES_MIND_ONE_IN) {
            return;
        }
        let pause = Duration::from_millis(self.rng().random_range(0..CHANGES_MIND_WITHIN_MS));
        tokio::time::sleep(pause).await;
        let order = Order::TakeMoveBack { machine: machine.to_owned() };
        let answer = self.insist(account, &order).await;
        rehearsal::note(|| format!("{account} hears about {order:?}: {answer:?}"));
        let mut state = self.lock();
        let asked = state.asked.entry(order.kind()).or_default();
        match answer {
            Ok(_) => asked.accepted += 1,
            Err(Some(_)) => asked.refused += 1,
            Err(None) => drop(state.stuck.get_or_insert(format!("{order:?} was not answered within {PATIENCE:?}"))),
        }
    }

    /// `Err(None)`: never answered.
    async fn insist(&self, account: &str, order: &Order) -> Result<Option<String>, Option<Code>> {
        let key = rehearsal::uuid_v4().to_string();
        let end = tokio::time::Instant::now() + PATIENCE;
        let (mut in_doubt, mut tries) = (false, 0);
        while tokio::time::Instant::now() < end {
            if let Some((app, process)) = self.center.serving() {
                let caller = caller(account, &key);
                match process.spawn(request(app, caller, order.clone())).await {
                    Ok(Ok(made)) => return Ok(made),
                    Ok(Err(refusal)) if is_passing(&refusal) => in_doubt = true,
                    // It is being made, or let go: a person looks again.
                    Ok(Err(refusal)) if is_too_early(order, refusal.code) && tries < TRIES_EARLY => tries += 1,
                    Ok(Err(refusal)) if in_doubt && is_done(order, refusal.code) => return Ok(None),
                    Ok(Err(refusal)) => return Err(Some(refusal.code)),
                    Err(died) if process.is_over() || died.is_cancelled() => in_doubt = true,
                    Err(panicked) => {
                        self.center.note_bad_end(format!("{order:?}: {panicked}"));
                        return Err(None);
                    }
                }
            }
            tokio::time::sleep(rehearsal::jitter(TRY_AGAIN)).await;
        }
        Err(None)
    }

    fn name(&self, prefix: &str) -> String {
        let mut state = self.lock();
        state.made += 1;
        format!("{prefix}{}", state.made)
    }

    /// Something an account may ask for now.
    pub fn draw(&self, account: &'static str) -> Option<Order> {
        let wishes = self.wishes();
        let machines = wishes.free_machines(account, &[End::Running, End::Halted]);
        let machine = machines.choose(&mut *self.rng()).cloned();
        let pick = self.rng().random_range(0..100);
        match (pick, machine) {
            (0..=17, _) | (18..=59, None) => {
                let damaged = self.rng().random_ratio(1, 25);
                Some(Order::Launch { name: self.name("m"), damaged })
            }
            (18..=23, Some(machine)) => Some(Order::PowerOff { machine }),
            (24..=28, Some(machine)) => Some(Order::PowerOn { machine }),
            (29..=31, Some(machine)) => Some(Order::Reboot { machine }),
            (32..=50, Some(_)) => {
                let movable = wishes.without_disks(wishes.free_machines(account, &[End::Running]));
                let machine = movable.choose(&mut *self.rng()).cloned()?;
                Some(Order::Move { machine })
            }
            (51..=59, Some(machine)) => Some(Order::Delete { machine }),
            (60..=64, _) => {
                let rule = format!("tcp:{0},{0},ip4:0.0.0.0", self.rng().random_range(1..1000));
                let group = format!("sg-{}", account.trim_start_matches("a-"));
                (!wishes.busy.contains(&group)).then_some(Order::ChangeRules { group, rule })
            }
            (65..=69, Some(machine)) => Some(self.draw_image(account, &wishes, machine)),
            (_, machine) => self.draw_disk(account, &wishes, machine),
        }
    }

    fn draw_image(&self, account: &str, wishes: &Wishes, machine: String) -> Order {
        let image = wishes.free_images(account).choose(&mut *self.rng()).cloned();
        match image {
            Some(image) if self.rng().random_bool(0.5) => Order::DeleteImage { image },
            _ => Order::MakeImage { machine },
        }
    }

    fn draw_disk(&self, account: &str, wishes: &Wishes, machine: Option<String>) -> Option<Order> {
        // Drawn before it is looked at: what a condition borrows is held until its end.
        let backup = wishes.free_backups(account).choose(&mut *self.rng()).cloned();
        if let Some(backup) = backup
            && self.rng().random_ratio(1, 5)
        {
            return Some(match self.rng().random_bool(0.5) {
                true => Order::Restore { backup, name: self.name("d") },
                false => Order::DeleteBackup { backup },
            });
        }
        let disks = wishes.free_disks(account);
        let known = disks.len();
        let found = disks.choose(&mut *self.rng()).cloned();
        if let Some((disk, _)) = &found
            && self.rng().random_ratio(1, 5)
        {
            return Some(Order::BackUp { disk: disk.clone() });
        }
        match found {
            Some((disk, DiskEnd::On(machine))) if !wishes.busy.contains(&machine) => Some(Order::Detach { disk }),
            Some((_, DiskEnd::On(_))) => None,
            Some((disk, DiskEnd::Free)) if self.rng().random_ratio(1, 6) => Some(Order::DeleteDisk { disk }),
            Some((disk, DiskEnd::Free)) if known > 1 || self.rng().random_bool(0.5) => {
                Some(Order::Attach { disk, machine: machine? })
            }
            _ => Some(Order::MakeDisk { name: self.name("d") }),
        }
    }
}

pub fn caller(account: &str, key: &str) -> Caller {
    Caller {
        token: "tok-demo".into(),
        role: Role::Member,
        account: Some(account.to_owned()),
        request: rehearsal::uuid_v7(),
        address: "127.0.0.1".into(),
        idempotency_key: Some(format!("{account}/{key}")),
    }
}

fn launch(name: &str, damaged: bool) -> CreateInstance {
    let image = if damaged { "wmi-damaged" } else { "wmi-tiny" };
    let text = serde_json::json!({ "image_id": image, "instance_type": "small", "hostname": name });
    serde_json::from_value(text).expect("the smallest request is well formed")
}

async fn request(app: App, caller: Caller, order: Order) -> Result<Option<String>, Refusal> {
    let (app, caller) = (&app, &caller);
    match &order {
        Order::Launch { name, damaged } => {
            Ok(Some(app::instances::create(app, caller, launch(name, *damaged)).await?.id))
        }
        Order::PowerOff { machine } => {
            app::instances::power_off(app, caller, machine, Shutdown::Hard).await.map(|_| None)
        }
        Order::PowerOn { machine } => app::instances::power_on(app, caller, machine).await.map(|_| None),
        Order::Reboot { machine } => app::instances::reboot(app, caller, machine).await.map(|_| None),
        Order::Move { machine } => {
            let here = app::instances::get(app, caller, machine).await?.host_node;
            let to = if here.as_deref() == Some("hn-h1") { "hn-h2" } else { "hn-h1" };
            app::moves::start(app, caller, machine, to).await.map(|()| None)
        }
        Order::TakeMoveBack { machine } => app::moves::cancel(app, caller, machine).await.map(|()| None),
        Order::Delete { machine } => app::instances::delete(app, caller, machine).await.map(|_| None),
        Order::MakeDisk { name } => {
            let request = CreateVolume {
                volume_size: 64,
                display_name: Some(name.clone()),
                backup_object_id: None,
                snapshot_id: None,
                replica_id: None,
            };
            Ok(Some(app::volumes::create(app, caller, request).await?.id))
        }
        Order::BackUp { disk } => {
            let request = BackUpVolume::default();
            Ok(Some(app::backups::back_up_volume(app, caller, disk, request).await?.backup_object_id))
        }
        Order::Restore { backup, name } => {
            let backup_object_id = backup.parse().ok();
            let request = CreateVolume {
                volume_size: 0,
                display_name: Some(name.clone()),
                backup_object_id,
                snapshot_id: None,
                replica_id: None,
            };
            Ok(Some(app::volumes::create(app, caller, request).await?.id))
        }
        Order::DeleteBackup { backup } => app::backups::delete_object(app, caller, backup).await.map(|_| None),
        Order::MakeImage { machine } => {
            let wish = BackUpInstance::default();
            Ok(Some(app::instances::imaging::back_up(app, caller, machine, wish).await?.image_id))
        }
        Order::DeleteImage { image } => delete_image(app, caller, image).await.map(|()| None),
        Order::Attach { disk, machine } => app::volumes::attach(app, caller, disk, machine).await.map(|_| None),
        Order::Detach { disk } => app::volumes::detach(app, caller, disk).await.map(|_| None),
        Order::DeleteDisk { disk } => app::volumes::delete(app, caller, disk).await.map(|_| None),
        Order::ChangeRules { group, rule } => {
            let request = UpdateSecurityGroup { rule: Some(rule.clone()), ..UpdateSecurityGroup::default() };
            app::security_groups::update(app, caller, group, request).await.map(|_| None)
        }
    }
}

/// With the backup that was made with it.
async fn delete_image(app: &App, caller: &Caller, image: &str) -> Result<(), Refusal> {
    if let Some(backup) = app::images::get(app, caller, image).await?.backup_object_id {
        let caller = Caller { request: rehearsal::uuid_v7(), idempotency_key: None, ..caller.clone() };
        match app::backups::delete_object(app, &caller, &backup).await {
            Err(refusal) if refusal.code != Code::UnknownResource => return Err(refusal),
            _ => {}
        }
    }
    app::images::delete(app, caller, image).await.map(drop)
}

/// A refusal that speaks of the server and not of the order.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::Internal | Code::Unavailable)
}

/// A disk that is not free yet may be soon.
fn is_too_early(order: &Order, code: Code) -> bool {
    matches!(order, Order::Attach { .. }) && code == Code::InvalidVolumeState
        || matches!(order, Order::Reboot { .. } | Order::Move { .. } | Order::MakeImage { .. })
            && code == Code::InvalidInstanceState
        // Its disk is being copied.
        || matches!(order, Order::Move { .. } | Order::MakeImage { .. }) && code == Code::ResourceInUse
        || code == Code::InstanceMigrating
}

/// What a repeated order may find when the first try was done and its answer lost.
fn is_done(order: &Order, code: Code) -> bool {
    match order {
        Order::Delete { .. } => matches!(code, Code::InvalidInstanceState | Code::UnknownResource),
        Order::Detach { .. } => code == Code::VolumeNotAttached,
        Order::DeleteDisk { .. } | Order::DeleteBackup { .. } | Order::DeleteImage { .. } => {
            code == Code::UnknownResource
        }
        Order::Reboot { .. } | Order::TakeMoveBack { .. } => code == Code::InvalidInstanceState,
        Order::Move { .. } => matches!(code, Code::InvalidParameter | Code::InstanceMigrating),
        Order::Launch { .. }
        | Order::MakeDisk { .. }
        | Order::BackUp { .. }
        | Order::MakeImage { .. }
        | Order::Restore { .. }
        | Order::Attach { .. }
        | Order::PowerOff { .. }
        | Order::PowerOn { .. }
        | Order::ChangeRules { .. } => false,
    }
}
