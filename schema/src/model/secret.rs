//! A secret travels on the wire and nowhere else: it cannot be printed, and its owner must ask for it by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A secret value inside a job body. `Debug` and `Display` never show it. Serialising it is what the relay does as
/// it publishes; job rows, events and logs never hold a body (spec/decisions/0002).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
