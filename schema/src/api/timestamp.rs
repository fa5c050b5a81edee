//! Times as the original writes them in JSON: `2015-04-28 06:22:55 UTC`.
//!
//! Rule: always UTC, always whole seconds on the wire. It reads no clock.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

const FORM: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

/// A moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "2015-04-28 06:22:55 UTC")]
pub struct Timestamp(pub OffsetDateTime);

impl Timestamp {
    /// Reads exactly the form that is written; a moment without a zone word is refused.
    pub fn parse(text: &str) -> Option<Self> {
        PrimitiveDateTime::parse(text, FORM).ok().map(Self::from)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        Self(moment.to_offset(UtcOffset::UTC))
    }
}

/// A DATETIME column: the session is in UTC, the column has no zone.
impl From<PrimitiveDateTime> for Timestamp {
    fn from(moment: PrimitiveDateTime) -> Self {
        Self(moment.assume_utc())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(UtcOffset::UTC);
        f.write_str(&utc.format(FORM).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not like 2015-04-28 06:22:55 UTC")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_is_written_as_the_original_writes_it_and_read_back() {
        let moment = Timestamp::from(datetime!(2015-04-28 15:22:55.7 +9));
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, "\"2015-04-28 06:22:55 UTC\"");
        let back: Timestamp = serde_json::from_str(&text).unwrap();
        assert_eq!(back, Timestamp::from(datetime!(2015-04-28 06:22:55)));
    }

    #[test]
    fn a_time_without_its_zone_is_refused() {
        assert!(Timestamp::parse("2015-04-28 06:22:55").is_none());
    }
}
