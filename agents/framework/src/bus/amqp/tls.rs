//! TLS 1.3 to the broker: its certificate is checked against `ca_file` and the name that is dialed, and why it is not believed
//! is kept, which the AMQP library only tells as text.
//!
//! Rule: the verdict is the one of rustls's own verifier, unchanged: [`Witness`] asks it and writes down what it said. There is
//! no way to accept anything. The file is read at each attempt, as the password is: one put right is taken without a restart.

use crate::bus::Distrust;
use crate::stream::tls::roots;
use amqprs::tls::TlsAdaptor;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// What the last check of a certificate found, if it did not pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<Distrust>>>);

impl Verdict {
    pub fn get(&self) -> Option<Distrust> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, verdict: &Result<ServerCertVerified, Error>) {
        let distrust = match verdict {
            Err(Error::InvalidCertificate(error)) => Some(Distrust::of(error)),
            _ => None,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = distrust;
    }
}

#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    kept: Verdict,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        self.kept.note(&verdict);
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// For a connection to `host`, a name or an address, whose certificate somebody in `ca_file` signed.
///
/// # Errors
/// The file holds no certificate.
pub(super) fn adaptor(ca_file: &Path, host: &str) -> anyhow::Result<(TlsAdaptor, Verdict)> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(ca_file)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()?;
    let kept = Verdict::default();
    let witness = Arc::new(Witness { verifier, kept: kept.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(witness)
        .with_no_client_auth();
    Ok((TlsAdaptor::new(TlsConnector::from(Arc::new(config)), host.to_owned()), kept))
}
