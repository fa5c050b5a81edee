//! The part of the configuration that every agent shares. One TOML file a program; unknown fields are refused. Secrets
//! are paths of files; a file of its own in `state_dir`, `machine_id`, stands for `/etc/machine-id` where several
//! agents share a machine. `agents/framework/common.example.toml` shows every field.

use crate::metrics::Metrics;
use crate::stream::tls::roots;
use arame_schema::model::AgentId;
use arame_service::{Unusable, readable};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;

/// `[common]` of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    pub agent: AgentId,
    /// File with the key made at join (one line).
    pub key_file: PathBuf,
    /// The little an agent keeps of its own: highest epoch, tombstones (DESIGN 3.6).
    pub state_dir: PathBuf,
    pub broker: Broker,
    #[serde(default)]
    pub streams: Streams,
    #[serde(default)]
    pub metrics: Metrics,
}

impl Common {
    /// Whether the files that it names are there for this program.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_files(&self) -> Result<(), Unusable> {
        readable(&self.key_file)?;
        self.broker.check()?;
        self.streams.ca_file.as_deref().map_or(Ok(()), readable)
    }
}

/// `[common.streams]`: where streams (consoles) are brought.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// The ends of every dcmgr, as they call themselves: `10.0.0.1:9003`, or the path of a unix socket. No other is dialed.
    #[serde(default)]
    pub dcmgr: Vec<String>,
    /// Who signs dcmgr's certificates (PEM). Unsaid: only loopback and unix sockets are dialed.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Plain TCP to other addresses. Only the profile of a laboratory says true.
    #[serde(default)]
    pub laboratory: bool,
}

/// `[streams]` of dcmgr: where it takes them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamDoor {
    /// `10.0.0.1:9003`, or the absolute path of a unix socket.
    pub listen: String,
    /// What agents dial, where that is another name. Each dcmgr has its own: no load balancer is between.
    #[serde(default)]
    pub reached_at: Option<String>,
    /// PEM; both are needed where other machines reach it.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Plain TCP off loopback.
    #[serde(default)]
    pub laboratory: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub vhost: String,
    pub user: String,
    /// File with the password (one line).
    pub password_file: PathBuf,
    /// Who signs the broker's certificate (PEM), which must name `host`. With it the connection is TLS (`amqps`, port 5671);
    /// without it plain text, which stays on this machine.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Plain text to another machine, over a network of the infrastructure's own. Whoever is on that network reads the
    /// password, and may give orders with dcmgr's.
    #[serde(default)]
    pub plain_text: bool,
}

impl Broker {
    /// Whether it can be reached as it is said: its files are there, and nothing secret would cross a network in plain text.
    ///
    /// # Errors
    /// A file that is not there or holds no certificate; another machine without TLS.
    pub fn check(&self) -> Result<(), Unusable> {
        readable(&self.password_file)?;
        match &self.ca_file {
            Some(ca_file) => {
                readable(ca_file)?;
                let unusable = |error| Unusable::Wrong { path: ca_file.clone(), reason: format!("{error:#}") };
                roots(ca_file).map(drop).map_err(unusable)
            }
            None if self.plain_text || self.is_here() => Ok(()),
            None => Err(self.in_plain_text()),
        }
    }

    /// Only what cannot be anywhere else: what a name stands for is somebody else's word.
    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn in_plain_text(&self) -> Unusable {
        let host = &self.host;
        Unusable::Rule {
            english: format!(
                "The broker {host} is another machine, and without ca_file the password and every job would go there in \
                 plain text. Set ca_file (who signs the broker's certificate) and the port of amqps, 5671; or, on a network \
                 that nobody else is on, plain_text = true. Then start this service again."
            ),
            japanese: format!(
                "ブローカー {host} は別の機械にあり、ca_file がないため、パスワードとすべてのジョブが平文で流れます。ca_file\
                 (ブローカーの証明書に署名した認証局)と amqps のポート 5671 を設定してください。ほかに誰もいないネットワークであれば \
                 plain_text = true とします。それから、このサービスをもう一度起動してください。"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../common.example.toml");

    #[derive(Deserialize)]
    struct File {
        common: Common,
    }

    #[test]
    fn the_example_is_valid() {
        let file: File = toml::from_str(EXAMPLE).unwrap();
        assert_eq!((file.common.agent.as_str(), file.common.broker.port), ("hva.h1", 5672));
        assert_eq!(file.common.streams.dcmgr, ["10.0.0.1:9003"]);
        assert_eq!(file.common.metrics.listen.map(|at| at.port()), Some(9101));
    }

    fn broker(host: &str) -> Broker {
        let file: File = toml::from_str(EXAMPLE).unwrap();
        Broker { host: host.into(), password_file: "/dev/null".into(), ca_file: None, ..file.common.broker }
    }

    #[test]
    fn plain_text_leaves_this_machine_only_where_somebody_says_so() {
        for here in ["127.0.0.1", "127.8.8.8", "::1", "localhost"] {
            broker(here).check().unwrap();
        }
        for elsewhere in ["10.0.0.1", "dcm.example", "localhost.example", "0.0.0.0", "fe80::1"] {
            let refused = broker(elsewhere).check().unwrap_err();
            assert!(refused.to_string().contains("ca_file") && refused.japanese().contains("平文"), "{refused}");
            Broker { plain_text: true, ..broker(elsewhere) }.check().unwrap();
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_before_anything_starts() {
        for (file, told) in [("/nowhere/ca.pem", "cannot be read"), ("/dev/null", "holds no certificate")] {
            let broker = Broker { ca_file: Some(file.into()), ..broker("dcm.example") };
            let refused = broker.check().unwrap_err().to_string();
            assert!(refused.contains(file) && refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let mistaken = EXAMPLE.replace("vhost", "virtual_host");
        let error = toml::from_str::<File>(&mistaken).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("virtual_host"), "{error}");
    }
}
