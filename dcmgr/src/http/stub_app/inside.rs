//! Modules below those of moves and volumes.

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
