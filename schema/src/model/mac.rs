//! MAC addresses: six octets, written with colons in lower case on the wire and in the API.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address (six octets in hex, with or without colons)")]
pub struct MacAddressError(String);

impl FromStr for MacAddress {
    type Err = MacAddressError;
    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let bad = || MacAddressError(text.chars().take(40).collect());
        let digits: String = text.chars().filter(|c| *c != ':' && *c != '-').collect();
        let mut octets = [0u8; 6];
        hex::decode_to_slice(digits, &mut octets).map_err(|_| bad())?;
        Ok(MacAddress(octets))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = MacAddressError;
    fn try_from(text: String) -> Result<Self, MacAddressError> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> String {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_read_and_one_is_written() {
        let mac: MacAddress = "52540012AbFf".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:12:ab:ff");
        assert_eq!("52:54:00:12:ab:ff".parse::<MacAddress>().unwrap(), mac);
        assert!("52:54:00:12:ab".parse::<MacAddress>().is_err());
    }
}
