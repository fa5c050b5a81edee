//! The list envelope of the original: an array with exactly one object, keys total, start, limit, results.
//!
//! Rule: `total` counts what the filter matches, not what the page holds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list. [`Page::into_envelope`] is what goes over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub total: u64,
    pub start: u64,
    pub limit: u64,
    pub results: Vec<T>,
}

impl<T> Page<T> {
    /// A page that holds everything there is, for lists that are never long.
    pub fn whole(results: Vec<T>) -> Self {
        let total = results.len() as u64;
        Self { total, start: 0, limit: crate::api::requests::LIST_LIMIT_DEFAULT, results }
    }

    pub fn into_envelope(self) -> [Page<T>; 1] {
        [self]
    }
}
