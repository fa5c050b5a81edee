//! The ledger: every request that was accepted, how its thing shall end, and how the request ended.
//!
//! Rule: it knows no plan and no fact of the product. A request enters it when it was answered, and leaves *pending*
//! once, to one end.

use crate::wishes::{DiskEnd, End};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How an accepted request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Pending,
    AsAsked,
    /// The same client asked the thing for something else before it was there.
    Overtaken,
    /// The thing failed, and said why.
    Failed {
        code: String,
    },
    /// Nobody was told anything within the client's patience.
    Stuck {
        state: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub what: &'static str,
    pub thing: String,
    pub ended: Ended,
    pub took: Duration,
}

/// What is known of a machine besides how it shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    pub end: End,
    /// It was seen running: its boot disk holds data.
    pub ran: bool,
    /// Reboots asked for, a repeated question counted again: an answer may have been lost.
    pub reboots: u64,
    pub failed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub name: String,
    pub end: DiskEnd,
    pub failed: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Book {
    pub requests: Vec<Request>,
    pub machines: BTreeMap<String, Machine>,
    pub disks: BTreeMap<String, Disk>,
    /// Names of creations nobody answered: they may have been made.
    pub unanswered: BTreeSet<String>,
    /// Refusals by reason.
    pub refused: BTreeMap<String, u64>,
    /// What must never happen, in words.
    pub wrong: Vec<String>,
}

/// The book, shared by all clients.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

/// A request's place in the book.
#[derive(Debug, Clone, Copy)]
pub struct Entry(usize);

impl Ledger {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn accept(&self, what: &'static str, thing: &str) -> Entry {
        let mut book = self.book();
        let request = Request { what, thing: thing.to_owned(), ended: Ended::Pending, took: Duration::ZERO };
        book.requests.push(request);
        Entry(book.requests.len() - 1)
    }

    pub fn end(&self, entry: Entry, ended: Ended, took: Duration) {
        let mut book = self.book();
        if let Some(request) = book.requests.get_mut(entry.0)
            && request.ended == Ended::Pending
        {
            (request.ended, request.took) = (ended, took);
        }
    }

    pub fn refuse(&self, reason: &str) {
        *self.book().refused.entry(reason.to_owned()).or_default() += 1;
    }

    pub fn wrong(&self, what: String) {
        self.book().wrong.push(what);
    }

    /// How a machine shall end from now on. What is attached to a deleted one is free.
    pub fn wish(&self, machine: &str, end: End) {
        let mut book = self.book();
        if let Some(known) = book.machines.get_mut(machine) {
            known.end = end;
        }
        if end == End::Terminated {
            for disk in book.disks.values_mut().filter(|disk| disk.end == DiskEnd::On(machine.to_owned())) {
                disk.end = DiskEnd::Free;
            }
        }
    }

    pub fn wish_disk(&self, disk: &str, end: DiskEnd) {
        if let Some(known) = self.book().disks.get_mut(disk) {
            known.end = end;
        }
    }

    pub fn count(&self, of: impl Fn(&Ended) -> bool) -> usize {
        self.book().requests.iter().filter(|request| of(&request.ended)).count()
    }
}
