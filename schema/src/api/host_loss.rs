//! What it means to declare a host lost: told before, and answered by the declaration itself.

use super::language::{Language, Localise};
use super::{PlannedRefusal, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The operator swears that a host's machines do not run and will not run again by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclareLost {
    /// The host's own id once more: the consent. Without it, and without `plan=true`, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}

/// What is lost with a host, and what is freed of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostLoss {
    pub id: String,
    pub uuid: String,
    /// Whether it was done, or only told.
    pub declared: bool,
    /// When its agent was heard last; null: never.
    pub last_seen_at: Option<Timestamp>,
    pub instances: Vec<LostInstance>,
    pub volumes: Vec<FreedVolume>,
    /// Why it would be refused; empty: it would be accepted.
    #[serde(default)]
    pub refusals: Vec<PlannedRefusal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostInstance {
    pub id: String,
    pub account_id: String,
    pub hostname: String,
    pub fate: InstanceFate,
}

/// What becomes of an instance of a lost host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceFate {
    /// Its disk was on that host: it stays off there, and is found again if the host comes back with it.
    Lost,
    /// It was never seen to run: it is made anew on another host, after its volumes are fenced.
    PlacedAgain,
    /// It is whole on the other host of its move and stays there.
    Stays,
    /// Neither host of its move can be asked: decided when the other one is heard, or declared lost too.
    Undecided,
    /// It was being deleted; nothing is waited for any more.
    Ended,
}

impl InstanceFate {
    pub const ALL: [InstanceFate; 5] = [
        InstanceFate::Lost,
        InstanceFate::PlacedAgain,
        InstanceFate::Stays,
        InstanceFate::Undecided,
        InstanceFate::Ended,
    ];
}

/// A volume that an instance of a lost host had: nobody else gets it before it is fenced with proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FreedVolume {
    pub id: String,
    pub account_id: String,
    pub instance_id: String,
    /// It goes with its instance to another host; else it is detached, and free once it is fenced.
    pub follows_instance: bool,
}

impl Localise for HostLoss {
    fn localise(&mut self, language: Language) {
        self.refusals.localise(language);
    }
}
