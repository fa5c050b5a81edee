//! Fallible reading of rows. A NULL or a strange value is an error that names its column, never a panic.

use super::DbError;
use arame_schema::api::Timestamp;
use mysql_async::Row;
use mysql_async::prelude::FromValue;
use std::net::Ipv4Addr;
use std::str::FromStr;
use time::PrimitiveDateTime;

/// Reads columns by name.
pub trait Columns {
    fn col<T: FromValue>(&self, name: &str) -> Result<T, DbError>;

    fn text(&self, name: &str) -> Result<String, DbError> {
        self.col(name)
    }

    fn flag(&self, name: &str) -> Result<bool, DbError> {
        Ok(self.col::<i64>(name)? != 0)
    }

    fn ipv4(&self, name: &str) -> Result<Ipv4Addr, DbError> {
        Ok(Ipv4Addr::from(self.col::<u32>(name)?))
    }

    /// A time of the database's clock, UTC.
    fn time(&self, name: &str) -> Result<Timestamp, DbError> {
        Ok(Timestamp(self.col::<PrimitiveDateTime>(name)?.assume_utc()))
    }

    fn time_opt(&self, name: &str) -> Result<Option<Timestamp>, DbError> {
        Ok(self.col::<Option<PrimitiveDateTime>>(name)?.map(|t| Timestamp(t.assume_utc())))
    }

    /// A column whose text one of our types reads.
    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, DbError>
    where
        T::Err: std::fmt::Display,
    {
        let text: String = self.col(name)?;
        text.parse().map_err(|e: T::Err| strange(name, e))
    }

    fn parsed_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, DbError>
    where
        T::Err: std::fmt::Display,
    {
        let text: Option<String> = self.col(name)?;
        text.map(|t| t.parse().map_err(|e: T::Err| strange(name, e))).transpose()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, DbError> {
        let text: String = self.col(name)?;
        serde_json::from_str(&text).map_err(|e| strange(name, e))
    }

    fn json_opt<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DbError> {
        let text: Option<String> = self.col(name)?;
        text.map(|t| serde_json::from_str(&t).map_err(|e| strange(name, e))).transpose()
    }
}

impl Columns for Row {
    fn col<T: FromValue>(&self, name: &str) -> Result<T, DbError> {
        match self.get_opt::<T, _>(name) {
            Some(Ok(value)) => Ok(value),
            Some(Err(e)) => Err(strange(name, e)),
            None => Err(strange(name, "the statement did not select it")),
        }
    }
}

pub(super) fn strange(column: &str, reason: impl std::fmt::Display) -> DbError {
    DbError::Column { table: "a row", column: column.to_owned(), reason: reason.to_string() }
}
