//! Modules below those of instances, moves and volumes.

pub mod figures {
    use super::super::{App, Caller};
    use arame_schema::api::{InstanceUsage, Refusal};

    pub async fn usage(_: &App, _: &Caller, id: &str) -> Result<InstanceUsage, Refusal> {
        Err(Refusal::unknown(id))
    }
}

pub mod forecast {
    use super::super::{App, Caller};
    use arame_schema::api::{MovePlan, Refusal};

    pub async fn plan(_: &App, _: &Caller, id: &str, _: &str) -> Result<MovePlan, Refusal> {
        Err(Refusal::unknown(id))
    }
}

pub mod path {
    use super::super::{App, Caller};
    use arame_schema::api::{Refusal, VolumeWhy};

    pub async fn why(_: &App, _: &Caller, id: &str) -> Result<VolumeWhy, Refusal> {
        Err(Refusal::unknown(id))
    }
}
