//! The two requests of a machine that joins or leaves, by TLS 1.3 to the manager.
//!
//! Rule: before anything is said the manager has shown a certificate for the name that was dialed, signed by the one authority
//! that is believed: that whose key the invitation names, or that of `ca.pem`. There is no way to accept anything else, and no
//! second connection that does.

use arame_schema::api::{ErrorBody, Language, join};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// A machine that is not there does not answer; one that is busy does within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Of the whole request: dcmgr asks the broker meanwhile.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Far more than any answer of these two.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Who is believed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The authority whose key has this digest; it is in the chain that the manager shows.
    Pin(String),
    /// The authority of this file.
    Authority(Vec<u8>),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum WireError {
    /// Nobody is there.
    Unreached(String),
    /// Somebody is, and is not believed.
    NotBelieved(NotBelieved),
    /// It is no dcmgr, or of another version.
    Unreadable(String),
    Refused(Box<ErrorBody>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBelieved {
    /// No certificate of the chain has the invitation's key: another data center's, or somebody between.
    AnotherAuthority,
    AnotherName,
    /// Its time is over or has not begun, by this machine's clock.
    Time,
    Other,
}

/// An answer, the authority that was believed (DER), and the address by which this machine reached the manager.
pub struct Answered<T> {
    pub value: T,
    pub authority: Vec<u8>,
    pub own_address: IpAddr,
}

/// The digest of a certificate's key, as an invitation has it.
fn pin(certificate: &CertificateDer<'_>) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let anchor = roots.roots.first()?;
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(join::public_key_info(&anchor.subject_public_key_info))))
}

/// Believes one authority, and keeps which certificate it was.
#[derive(Debug)]
struct One {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    kept: Mutex<(Option<Vec<u8>>, Option<NotBelieved>)>,
}

impl One {
    fn authority(&self, shown: &[CertificateDer<'_>]) -> Option<CertificateDer<'static>> {
        match &self.trust {
            Trust::Authority(der) => Some(CertificateDer::from(der.clone())),
            Trust::Pin(wanted) => {
                let is_it = |one: &&CertificateDer<'_>| pin(one).as_ref() == Some(wanted);
                shown.iter().find(is_it).map(|one| one.clone().into_owned())
            }
        }
    }

    fn verdict(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = self.authority(above).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|_| unknown())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(own, above, name, &[], now)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(authority.to_vec());
        Ok(verified)
    }
}

fn reason(error: &Error) -> NotBelieved {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => NotBelieved::AnotherAuthority,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => NotBelieved::AnotherName,
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => NotBelieved::Time,
        _ => NotBelieved::Other,
    }
}

impl ServerCertVerifier for One {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verdict(own, above, name, now);
        if let Err(error) = &verdict {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(reason(error));
        }
        verdict
    }

    /// Only TLS 1.3 is spoken.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Sends `body` to `https://MANAGER/api/12.03PATH`.
///
/// # Errors
/// Nobody there, not believed, no answer of a dcmgr's, or its refusal.
pub async fn post<T: DeserializeOwned>(
    (host, port): (&str, u16),
    trust: Trust,
    (path, body): (&str, &impl Serialize),
    language: Language,
) -> Result<Answered<T>, WireError> {
    let unreached = |error: &dyn std::fmt::Display| WireError::Unreached(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let one = Arc::new(One { trust, provider: provider.clone(), kept: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| WireError::Unreadable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(one.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreached(&error))?;
    let connecting = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((host, port)));
    let socket = connecting.await.map_err(|error| unreached(&error))?.map_err(|error| unreached(&error))?;
    let own_address = socket.local_addr().map_err(|error| unreached(&error))?.ip();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
    let wire = match tokio::time::timeout(CONNECT_LIMIT, handshake).await {
        Ok(Ok(wire)) => wire,
        Ok(Err(error)) => {
            let distrust = one.kept.lock().unwrap_or_else(PoisonError::into_inner).1;
            return Err(distrust.map_or_else(|| WireError::Unreadable(error.to_string()), WireError::NotBelieved));
        }
        Err(late) => return Err(unreached(&late)),
    };
    let unreadable = |error: &dyn std::fmt::Display| WireError::Unreadable(error.to_string());
    let body = serde_json::to_vec(body).map_err(|error| unreadable(&error))?;
    let request = Request::post(format!("/api/12.03{path}"))
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT_LANGUAGE, language.as_str())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| unreadable(&error))?;
    let asked = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire)).await?;
        let carried = tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        carried.abort();
        Ok::<_, hyper::Error>((status, bytes))
    };
    let (status, bytes) = tokio::time::timeout(ANSWER_LIMIT, asked)
        .await
        .map_err(|late| unreached(&late))?
        .map_err(|e| unreadable(&e))?;
    let bytes = bytes.map_err(|error| unreadable(&error))?.to_bytes();
    if !status.is_success() {
        let refusal = serde_json::from_slice::<ErrorBody>(&bytes);
        return Err(refusal.map_or_else(
            |error| unreadable(&format!("{status}: {error}")),
            |body| WireError::Refused(Box::new(body)),
        ));
    }
    let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    let authority = one.kept.lock().unwrap_or_else(PoisonError::into_inner).0.clone().unwrap_or_default();
    Ok(Answered { value, authority, own_address })
}

/// The authority of a PEM file.
///
/// # Errors
/// It cannot be read, or holds no certificate.
pub fn authority_of(path: &Path) -> Result<Vec<u8>, String> {
    CertificateDer::from_pem_file(path).map(|der| der.to_vec()).map_err(|error| error.to_string())
}

/// A certificate in its textual form (RFC 7468 section 5.1).
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
