//! The console's settings as a file: unknown fields are refused, and each has a value without being said.

use anyhow::Context;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use url::Url;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where browsers come.
    pub listen: SocketAddr,
    /// Where the API is.
    #[serde(deserialize_with = "url")]
    pub api: Url,
    /// Browsers come by HTTPS, through a proxy before this: the cookie goes nowhere else.
    pub behind_tls: bool,
}

impl Default for Config {
    fn default() -> Self {
        let api = "http://127.0.0.1:9001".parse().expect("an address of the right form");
        Self { listen: (Ipv4Addr::LOCALHOST, 9000).into(), api, behind_tls: false }
    }
}

impl Config {
    /// # Errors
    /// The file cannot be read, or is not as it should be.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(toml::from_str(&text)?)
    }
}

fn url<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_without_a_file_and_what_is_unknown_is_refused() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let said: Config = toml::from_str("api = \"https://api.example\"\nbehind_tls = true").unwrap();
        assert_eq!(
            (said.api.as_str(), said.behind_tls, said.listen),
            ("https://api.example/", true, Config::default().listen)
        );
        for wrong in ["apy = \"http://x\"", "api = \"nowhere\""] {
            assert!(toml::from_str::<Config>(wrong).is_err(), "{wrong}");
        }
    }
}
