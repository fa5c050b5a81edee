//! TLS 1.3 for streams that leave the machine: dcmgr shows a certificate, the agent knows who signs it.
//!
//! Rule: the name in the certificate is the one that the agent's configuration names; there is no way to look away. Who
//! the agent is says the greeting, inside.

use super::BoxedWire;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Whom an agent believes.
#[derive(Clone)]
pub struct Trust(TlsConnector);

impl Trust {
    /// # Errors
    /// The file holds no certificate.
    pub fn of(ca_file: &Path) -> anyhow::Result<Self> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// # Errors
    /// A sentence: it is not who it should be.
    pub(super) async fn connect(&self, host: &str, socket: TcpStream) -> Result<BoxedWire, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` cannot be in a certificate"))?;
        let wire = self.0.connect(name, socket).await.map_err(|e| format!("{host} is not believed: {e}"))?;
        Ok(Box::new(wire))
    }
}

/// The signers that a file names.
///
/// # Errors
/// The file holds no certificate.
pub(crate) fn roots(ca_file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).with_context(|| format!("`{}`", ca_file.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unreadable = || format!("cannot read certificates from `{}`", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).with_context(unreadable)?.collect();
    let found = found.with_context(unreadable)?;
    anyhow::ensure!(!found.is_empty(), "`{}` holds no certificate", path.display());
    Ok(found)
}

/// What dcmgr shows.
///
/// # Errors
/// The files do not hold a certificate and its key.
pub fn acceptor(certificate_file: &Path, key_file: &Path) -> anyhow::Result<TlsAcceptor> {
    let key = PrivateKeyDer::from_pem_file(key_file);
    let key = key.with_context(|| format!("cannot read a key from `{}`", key_file.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates(certificate_file)?, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
