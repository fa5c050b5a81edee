//! What `GET /healthz` tells: the truth about what dcmgr stands on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    pub database: bool,
    pub broker: bool,
}

impl Health {
    pub fn is_well(self) -> bool {
        self.database && self.broker
    }
}
