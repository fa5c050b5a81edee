//! The mark every thing carries: whose it is and which wish made it (DESIGN 3.6, 3.9).
//!
//! Rule: it appears together with the thing and never after it. It says nothing about the thing's content.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The installation that made it; another's things are listed and never touched.
    pub installation: Uuid,
    /// The resource id (`vol-…`, `wmi-…`).
    pub owner: String,
    pub generation: u64,
}

impl Mark {
    pub fn is_of(&self, installation: Uuid, owner: &str) -> bool {
        self.installation == installation && self.owner == owner
    }
}
