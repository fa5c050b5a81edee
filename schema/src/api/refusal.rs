//! Refusals: a code, and the values its sentences speak of. The catalogue has the words, in both languages.

use std::collections::BTreeMap;

/// Every reason for which a request is refused or work fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    Unauthenticated,
    NotPermitted,
    UnknownResource,
    InvalidParameter,
    MissingParameter,
    InvalidBody,
    TooLarge,
    UnknownRoute,
    OutOfHostCapacity,
    OutOfNetworkCapacity,
    OutOfStorageCapacity,
    ExceedQuota,
    DuplicateHostname,
    DuplicateAddress,
    AddressNotInNetwork,
    InvalidInstanceState,
    InvalidVolumeState,
    InvalidImageState,
    InvalidSecurityGroupRule,
    InvalidPublicKey,
    ResourceInUse,
    VolumeAttached,
    VolumeNotAttached,
    Unavailable,
    Internal,
}

/// A refusal on its way to the user. Values fill the `{name}` places of the catalogue's sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub values: BTreeMap<&'static str, String>,
    /// Machine-readable extra, such as the placement's verdicts per host.
    pub detail: Option<Box<serde_json::Value>>,
}

impl Refusal {
    pub fn new(code: Code) -> Self {
        Self { code, values: BTreeMap::new(), detail: None }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.insert(name, value.to_string());
        self
    }

    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}
