//! Why an image's bytes did not come, each with its code and whether it is worth another attempt.

use crate::store::StoreError;
use arame_framework::agent::Stopped;
use arame_schema::jobs::report::Retry;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url} is not fetched: {reason}")]
    UrlRefused { url: String, reason: String },
    #[error("{host} is at {address}, which is {why}: it is not fetched from there")]
    AddressRefused { host: String, address: IpAddr, why: &'static str },
    #[error("the name {host} was not found: {reason}")]
    HostUnknown { host: String, reason: String },
    #[error("{host} did not take the connection: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{url} answered {status}")]
    NotThere { url: String, status: u16 },
    #[error("{url} answered {status}")]
    Strange { url: String, status: u16 },
    #[error("more than {limit_mib} MiB")]
    TooLarge { limit_mib: u64 },
    #[error("nothing came for {silence:?}")]
    Silent { silence: Duration },
    #[error("it did not end within {limit:?}")]
    TooLong { limit: Duration },
    #[error("the bytes broke off after {received}: {reason}")]
    BrokenOff { received: u64, reason: String },
    #[error("nobody brought the bytes within {limit:?}")]
    NobodyCame { limit: Duration },
    #[error("the upload broke off after {received} bytes: {reason}")]
    UploadBroken { received: u64, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    pub fn code(&self) -> (&'static str, Retry) {
        match self {
            FetchError::UrlRefused { .. } => ("image_url_refused", Retry::Never),
            FetchError::AddressRefused { .. } => ("image_address_refused", Retry::Never),
            FetchError::HostUnknown { .. } => ("image_host_unknown", Retry::Later),
            FetchError::Unreachable { .. } => ("image_server_unreachable", Retry::Later),
            FetchError::NotThere { .. } => ("image_not_found", Retry::Never),
            FetchError::Strange { .. } => ("image_server_error", Retry::Later),
            FetchError::TooLarge { .. } => ("image_too_large", Retry::Never),
            FetchError::Silent { .. } => ("image_server_silent", Retry::Later),
            FetchError::TooLong { .. } => ("image_took_too_long", Retry::Never),
            FetchError::BrokenOff { .. } => ("image_broke_off", Retry::Later),
            FetchError::NobodyCame { .. } => ("upload_broken", Retry::Never),
            FetchError::UploadBroken { .. } => ("upload_broken", Retry::Never),
            FetchError::Store(error) => error.code(),
        }
    }
}

impl From<FetchError> for Stopped {
    fn from(error: FetchError) -> Stopped {
        match error {
            FetchError::Store(error) => error.into(),
            other => {
                let (code, retry) = other.code();
                Stopped::failed(code, other.to_string(), retry)
            }
        }
    }
}
