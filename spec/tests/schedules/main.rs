//! Schedules of volumes: [`stories`] on two dcmgr and a real database, with the clock put on by hand; and [`days`] of virtual
//! time on the whole system from a seed, while things go wrong.

mod days;
mod stories;
