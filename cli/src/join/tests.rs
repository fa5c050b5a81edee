//! Whom a machine believes that joins, against a real server of TLS; and what its files say at each step of a join and a leave.

use super::wire::{self, NotBelieved, Trust, WireError};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Somebody who signs.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Signer {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// As `arame join-token create` says it.
    fn pin(&self) -> String {
        use base64::Engine;
        use sha2::Digest;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let whole = arame_schema::api::join::public_key_info(&roots.roots[0].subject_public_key_info);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(whole))
    }

    fn server(&self, name: &str, is_over: bool) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if is_over {
            params.not_after = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        }
        let own = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        config.with_single_cert(vec![own, self.certificate.clone()], key).unwrap()
    }
}

/// A server that answers everybody the same; what it was asked.
async fn serve(config: ServerConfig, status: u16, answer: Value) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let Ok(mut wire) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return Vec::new() };
        let mut asked = Vec::new();
        while !String::from_utf8_lossy(&asked).contains("\"machine\"") {
            let mut part = [0; 4096];
            match wire.read(&mut part).await.unwrap() {
                0 => break,
                read => asked.extend_from_slice(&part[..read]),
            }
        }
        let body = answer.to_string();
        let head =
            format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        wire.shutdown().await.unwrap();
        String::from_utf8_lossy(&asked).lines().map(str::to_owned).collect()
    });
    (port, served)
}

fn joined() -> Value {
    json!({ "agent": "hva.h3", "node_id": "hn-h3", "broker_host": "dcm.example", "broker_port": 5671,
            "broker_vhost": "arame", "streams": null })
}

async fn ask(port: u16, trust: Trust) -> Result<wire::Answered<Joined>, WireError> {
    wire::post(("127.0.0.1", port), trust, ("/join", &json!({ "machine": "x" })), Language::Ja).await
}

#[tokio::test]
async fn the_manager_is_believed_whose_authoritys_key_the_invitation_names() {
    let signer = Signer::new();
    let (port, served) = serve(signer.server("127.0.0.1", false), 200, joined()).await;
    let answered = ask(port, Trust::Pin(signer.pin())).await.unwrap();
    assert_eq!((answered.value.node_id.as_str(), answered.own_address.to_string().as_str()), ("hn-h3", "127.0.0.1"));
    assert_eq!(answered.authority, signer.certificate.to_vec(), "what is written down for the agent");
    let asked = served.await.unwrap().join("\n").to_lowercase();
    assert!(asked.contains("post /api/12.03/join") && asked.contains("accept-language: ja"), "{asked}");
    let (port, _) = serve(signer.server("127.0.0.1", false), 200, joined()).await;
    assert!(ask(port, Trust::Authority(signer.certificate.to_vec())).await.is_ok(), "as a leave does");
}

#[tokio::test]
async fn nobody_else_is_told_anything() {
    let (signer, other) = (Signer::new(), Signer::new());
    let cases = [
        // Somebody between, with an authority of his own.
        (other.server("127.0.0.1", false), NotBelieved::AnotherAuthority),
        (signer.server("dcm.example", false), NotBelieved::AnotherName),
        (signer.server("127.0.0.1", true), NotBelieved::Time),
    ];
    for (config, wanted) in cases {
        let (port, served) = serve(config, 200, joined()).await;
        match ask(port, Trust::Pin(signer.pin())).await {
            Err(WireError::NotBelieved(why)) => assert_eq!(why, wanted),
            other => panic!("{:?}", other.err()),
        }
        assert!(served.await.unwrap().is_empty(), "{wanted:?}: nothing was said");
    }
}

#[tokio::test]
async fn somebody_who_only_shows_the_authority_is_not_it() {
    let (signer, other) = (Signer::new(), Signer::new());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = params.signed_by(&key, &other.issuer).unwrap().der().clone();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    // The right authority's certificate is public: it is in the chain, and has signed nothing of it.
    let config = config.with_single_cert(vec![own, signer.certificate.clone()], key).unwrap();
    let (port, served) = serve(config, 200, joined()).await;
    assert!(matches!(ask(port, Trust::Pin(signer.pin())).await, Err(WireError::NotBelieved(_))));
    assert!(served.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_comes_through_and_what_is_no_answer_is_told_as_that() {
    let signer = Signer::new();
    let refusal = json!({ "error": "x", "reason": "join_token_used", "message": "使用済み", "cause": "c", "next_step": "n",
                          "code": "1", "language": "ja", "request_id": "r" });
    let (port, _) = serve(signer.server("127.0.0.1", false), 403, refusal).await;
    match ask(port, Trust::Pin(signer.pin())).await {
        Err(WireError::Refused(body)) => assert_eq!(body.reason, "join_token_used"),
        other => panic!("{:?}", other.err()),
    }
    let (port, _) = serve(signer.server("127.0.0.1", false), 200, json!({ "hello": 1 })).await;
    assert!(matches!(ask(port, Trust::Pin(signer.pin())).await, Err(WireError::Unreadable(_))));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(matches!(ask(free, Trust::Pin(signer.pin())).await, Err(WireError::Unreached(_))));
}

fn machine() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    for below in ["etc/arame", "usr/bin", "var/lib/arame/hva/state"] {
        std::fs::create_dir_all(folder.path().join(below)).unwrap();
    }
    let machine = Machine { root: folder.path().to_owned() };
    (folder, machine)
}

fn with_package() -> (tempfile::TempDir, Machine) {
    let (folder, machine) = machine();
    let packaged = concat!(env!("CARGO_MANIFEST_DIR"), "/../packages/arame-hva/hva.toml");
    std::fs::copy(packaged, machine.settings(AgentKind::Hva)).unwrap();
    std::fs::write(folder.path().join("usr/bin/arame-hva"), "").unwrap();
    (folder, machine)
}

fn sentence(error: &CliError) -> String {
    error.told(Language::En)
}

#[test]
fn what_is_missing_is_told_before_anything_is_asked() {
    let voice = Voice(Language::En);
    let agent: AgentId = "hva.h3".parse().unwrap();
    let (_folder, bare) = machine();
    let refused = ready(&bare, &voice, &agent, &[]).err().unwrap();
    assert!(sentence(&refused).contains("apt install ./arame-hva_*.deb"), "{}", sentence(&refused));
    let (_folder, machine) = with_package();
    assert!(ready(&machine, &voice, &agent, &[]).is_ok());
    let refused = ready(&machine, &voice, &agent, &["hva.driver".to_owned()]).err().unwrap();
    assert!(sentence(&refused).contains("hva.driver"), "{}", sentence(&refused));
    std::fs::write(machine.settings(AgentKind::Hva), "[common]\nagent = \"hva.h1\"\n").unwrap();
    let refused = ready(&machine, &voice, &agent, &[]).err().unwrap();
    assert!(sentence(&refused).contains("hva.h1 already"), "{}", sentence(&refused));
}

#[test]
fn a_machine_of_another_data_center_does_not_change_whom_it_believes() {
    let (_folder, machine) = with_package();
    let (voice, own, other) = (Voice(Language::Ja), Signer::new(), Signer::new());
    believe(&machine, &voice, &own.certificate).unwrap();
    believe(&machine, &voice, &own.certificate).unwrap();
    let refused = believe(&machine, &voice, &other.certificate).unwrap_err();
    assert!(refused.told(Language::Ja).contains("別のデータセンター"), "{}", refused.told(Language::Ja));
    assert_eq!(wire::authority_of(&machine.authority()).unwrap(), own.certificate.to_vec());
}

#[test]
fn which_agent_leaves_is_asked_where_there_are_several_and_told_where_there_is_none() {
    let (_folder, machine) = with_package();
    let voice = Voice(Language::En);
    assert!(sentence(&which(&machine, &voice, None).unwrap_err()).contains("No such agent joined"));
    for agent in ["hva.h3", "nsa.n3"] {
        let kind = agent.parse::<AgentId>().unwrap().kind();
        std::fs::write(machine.settings(kind), format!("[common]\nagent = \"{agent}\"\n")).unwrap();
        std::fs::write(machine.manager(kind), "dcm.example:9443\n").unwrap();
    }
    assert!(sentence(&which(&machine, &voice, None).unwrap_err()).contains("hva.h3, nsa.n3"));
    let named = which(&machine, &voice, Some("nsa.n3".parse().unwrap())).unwrap();
    clean(&machine, &voice, named.kind()).unwrap();
    assert_eq!(which(&machine, &voice, None).unwrap().as_str(), "hva.h3", "the other has left");
    std::fs::write(machine.state(AgentKind::Hva).join("epoch"), "7").unwrap();
    machine.secret(&machine.key(AgentKind::Hva)).unwrap();
    clean(&machine, &voice, AgentKind::Hva).unwrap();
    assert!(!machine.key(AgentKind::Hva).exists() && !machine.state(AgentKind::Hva).join("epoch").exists());
    assert!(sentence(&which(&machine, &voice, None).unwrap_err()).contains("No such agent joined"));
}
