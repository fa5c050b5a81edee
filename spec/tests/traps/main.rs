//! The traps of the one mechanism (DESIGN 3), each with a story of its own, in one process: real MariaDB, application and
//! agents, simulated backends, a bus that keeps messages back on request.
//!
//! Rule: every "does not" has its positive control in the same story, and every story names the sabotage that makes it
//! fail. Each ends with no open job and an empty audit.
//!
//! | trap | where |
//! |---|---|
//! | two agents with one id; a host or storage node reinstalled | [`identity`] |
//! | a pool not imported, a hypervisor that cannot be looked at | [`listings`] |
//! | a fact overtaken; a job frozen in a relay; delete during a long download | [`late`] |
//! | one dead nsa of two | [`naming`] |
//! | a naming service closed, silent, back; a gateway that dies | [`places`] |
//! | a message delivered too often | [`dead`] |
//! | an address given out again while one host is cut off | [`addresses`] |

mod addresses;
mod dead;
mod identity;
mod late;
mod listings;
mod naming;
mod places;
mod support;
