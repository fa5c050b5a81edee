//! What clients ask for, and how it shall end. Knows no plan, no job and no fact of the product.

use std::collections::{BTreeMap, BTreeSet};

/// Two accounts: the second one's quota is small.
pub const ACCOUNTS: [&str; 2] = ["a-demo", "a-other"];

/// Instances the second account may have.
pub const QUOTA_OTHER: u64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Launch {
        name: String,
        /// From an image that is not what was promised: it must fail, and say why.
        damaged: bool,
    },
    PowerOff {
        machine: String,
    },
    PowerOn {
        machine: String,
    },
    Reboot {
        machine: String,
    },
    /// To the other of the two hosts.
    Move {
        machine: String,
    },
    TakeMoveBack {
        machine: String,
    },
    Delete {
        machine: String,
    },
    MakeDisk {
        name: String,
    },
    Attach {
        disk: String,
        machine: String,
    },
    Detach {
        disk: String,
    },
    DeleteDisk {
        disk: String,
    },
    BackUp {
        disk: String,
    },
    /// A new disk from a backup.
    Restore {
        backup: String,
        name: String,
    },
    DeleteBackup {
        backup: String,
    },
    /// An image of a machine's disk.
    MakeImage {
        machine: String,
    },
    DeleteImage {
        image: String,
    },
    ChangeRules {
        group: String,
        rule: String,
    },
}

impl Order {
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Launch { damaged: false, .. } => "launch",
            Order::Launch { damaged: true, .. } => "launch of a damaged image",
            Order::PowerOff { .. } => "power off",
            Order::PowerOn { .. } => "power on",
            Order::Reboot { .. } => "reboot",
            Order::Move { .. } => "move",
            Order::TakeMoveBack { .. } => "take a move back",
            Order::Delete { .. } => "delete",
            Order::MakeDisk { .. } => "make a disk",
            Order::Attach { .. } => "attach",
            Order::Detach { .. } => "detach",
            Order::DeleteDisk { .. } => "delete a disk",
            Order::BackUp { .. } => "back up",
            Order::Restore { .. } => "restore",
            Order::DeleteBackup { .. } => "delete a backup",
            Order::MakeImage { .. } => "make an image",
            Order::DeleteImage { .. } => "delete an image",
            Order::ChangeRules { .. } => "change rules",
        }
    }

    /// Things that no other order may be about meanwhile: else nobody could say what shall become of them.
    pub fn things(&self) -> Vec<String> {
        match self {
            Order::Launch { name, .. } | Order::MakeDisk { name } => vec![name.clone()],
            Order::PowerOff { machine }
            | Order::PowerOn { machine }
            | Order::Reboot { machine }
            | Order::Move { machine }
            | Order::TakeMoveBack { machine }
            | Order::MakeImage { machine }
            | Order::Delete { machine } => vec![machine.clone()],
            Order::DeleteImage { image } => vec![image.clone()],
            Order::Attach { disk, machine } => vec![disk.clone(), machine.clone()],
            Order::Detach { disk } | Order::DeleteDisk { disk } | Order::BackUp { disk } => vec![disk.clone()],
            Order::Restore { backup, name } => vec![backup.clone(), name.clone()],
            Order::DeleteBackup { backup } => vec![backup.clone()],
            Order::ChangeRules { group, .. } => vec![group.clone()],
        }
    }
}

/// How a machine shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Running,
    Halted,
    Failed,
    Terminated,
}

impl End {
    pub fn as_str(self) -> &'static str {
        match self {
            End::Running => "running",
            End::Halted => "halted",
            End::Failed => "failed",
            End::Terminated => "terminated",
        }
    }
}

/// How a disk shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskEnd {
    Free,
    On(String),
    Deleted,
}

impl DiskEnd {
    pub fn as_str(&self) -> &'static str {
        match self {
            DiskEnd::Free => "available",
            DiskEnd::On(_) => "attached",
            DiskEnd::Deleted => "deleted",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Of<T> {
    pub account: &'static str,
    pub end: T,
}

/// Everything that was asked for and answered.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    pub machines: BTreeMap<String, Of<End>>,
    pub disks: BTreeMap<String, Of<DiskEnd>>,
    /// Those that are wished; one may have failed with its disk.
    pub backups: BTreeMap<String, &'static str>,
    /// Images of machines that are wished; one may have failed with its machine.
    pub images: BTreeMap<String, &'static str>,
    /// Things an order on its way is about.
    pub busy: BTreeSet<String>,
}

impl Wishes {
    /// Remembers an answered order; `made` is the id of what it made.
    pub fn note(&mut self, account: &'static str, order: &Order, made: Option<String>) {
        match order {
            Order::Launch { damaged, .. } => {
                let end = if *damaged { End::Failed } else { End::Running };
                made.map(|id| self.machines.insert(id, Of { account, end }));
            }
            Order::BackUp { .. } => {
                made.map(|id| self.backups.insert(id, account));
            }
            Order::DeleteBackup { backup } => drop(self.backups.remove(backup)),
            Order::MakeImage { .. } => {
                made.map(|id| self.images.insert(id, account));
            }
            Order::DeleteImage { image } => drop(self.images.remove(image)),
            Order::MakeDisk { .. } | Order::Restore { .. } => {
                made.map(|id| self.disks.insert(id, Of { account, end: DiskEnd::Free }));
            }
            Order::PowerOff { machine } => self.set(machine, End::Halted),
            Order::PowerOn { machine } => self.set(machine, End::Running),
            Order::Delete { machine } => {
                self.set(machine, End::Terminated);
                for disk in self.disks.values_mut().filter(|disk| disk.end == DiskEnd::On(machine.clone())) {
                    disk.end = DiskEnd::Free;
                }
            }
            Order::Attach { disk, machine } => self.set_disk(disk, DiskEnd::On(machine.clone())),
            Order::Detach { disk } => self.set_disk(disk, DiskEnd::Free),
            Order::DeleteDisk { disk } => self.set_disk(disk, DiskEnd::Deleted),
            Order::Reboot { .. } | Order::Move { .. } | Order::TakeMoveBack { .. } | Order::ChangeRules { .. } => {}
        }
    }

    fn set(&mut self, machine: &str, end: End) {
        if let Some(known) = self.machines.get_mut(machine) {
            known.end = end;
        }
    }

    fn set_disk(&mut self, disk: &str, end: DiskEnd) {
        if let Some(known) = self.disks.get_mut(disk) {
            known.end = end;
        }
    }

    /// Machines of an account that may be asked for something now.
    pub fn free_machines(&self, account: &str, ends: &[End]) -> Vec<String> {
        let free = self.machines.iter().filter(|(id, machine)| {
            machine.account == account && ends.contains(&machine.end) && !self.busy.contains(*id)
        });
        free.map(|(id, _)| id.clone()).collect()
    }

    /// Of these those without a disk: they can be moved.
    pub fn without_disks(&self, machines: Vec<String>) -> Vec<String> {
        let has = |id: &String| self.disks.values().any(|disk| disk.end == DiskEnd::On(id.clone()));
        machines.into_iter().filter(|id| !has(id)).collect()
    }

    pub fn free_backups(&self, account: &str) -> Vec<String> {
        let free = self.backups.iter().filter(|(id, owner)| **owner == account && !self.busy.contains(*id));
        free.map(|(id, _)| id.clone()).collect()
    }

    pub fn free_images(&self, account: &str) -> Vec<String> {
        let free = self.images.iter().filter(|(id, owner)| **owner == account && !self.busy.contains(*id));
        free.map(|(id, _)| id.clone()).collect()
    }

    pub fn free_disks(&self, account: &str) -> Vec<(String, DiskEnd)> {
        let free = self
            .disks
            .iter()
            .filter(|(id, disk)| disk.account == account && disk.end != DiskEnd::Deleted && !self.busy.contains(*id));
        free.map(|(id, disk)| (id.clone(), disk.end.clone())).collect()
    }
}
