//! TLS to a real broker: whom an agent believes, what its service says of a certificate that it does not believe, and that it
//! goes on by itself once that was renewed.

mod support;

use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Bus, Distrust};
use arame_framework::runtime::{Post, run_at_post};
use arame_framework::testkit::{self, DCMGR, Rabbit, Shown, agent};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::dcmgr::Dcmgr;
use support::manager::Manager;
use support::scripted::{Scripted, common};
use support::{Kit, LIMIT, up};
use tokio_util::sync::CancellationToken;

const AGENT: &str = "sta.s1";

/// Signs brokers' certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// What the broker shows from now on: a certificate for `name`, valid in these years.
    fn sign(&self, shown: &Shown, name: &str, years: std::ops::Range<i32>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // A pair that does not fit, for the moment between, is one more attempt that fails.
        std::fs::write(&shown.key_file, key.serialize_pem()).unwrap();
        std::fs::write(&shown.certificate_file, certificate.pem()).unwrap();
    }
}

async fn distrusted(bus: &Arc<dyn Bus>, why: Distrust) {
    let mut link = bus.link();
    let seen = link.wait_for(|link| !link.up && link.distrust == Some(why));
    tokio::time::timeout(LIMIT, seen).await.unwrap_or_else(|_| panic!("never {why:?}")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_believes_the_broker_that_its_ca_signed_for_that_name_and_no_other_and_tries_on() {
    if testkit::lacks_rabbitmq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (own, stranger) = (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "stranger"));
    let shown = Shown { certificate_file: at("broker.pem"), key_file: at("broker.key") };
    own.sign(&shown, "127.0.0.1", 2020..2021);
    let server = Rabbit::private_with_tls(&shown).unwrap();
    let realm = server.realm().unwrap();

    let broker = realm.broker_by_tls(AGENT, &own.file);
    broker.check().unwrap();
    let bus: Arc<dyn Bus> = AmqpBus::connect(&broker, Role::Agent(agent(AGENT))).await.unwrap();
    let (manager, loops) = Manager::without_watchdog();
    let post = Post::each_of(1, &loops).pop().unwrap();
    let stop = CancellationToken::new();
    let scripted = Arc::new(Scripted::default());
    let settings = common(folder.path(), AGENT, broker);
    let process = tokio::spawn(run_at_post(settings, bus.clone(), scripted, stop.clone(), post));

    distrusted(&bus, Distrust::Expired).await;
    let told = manager.until("expired").await;
    assert!(told.starts_with("STATUS=sta.s1 serves what it knows; ") && told.contains("有効期限"), "{told}");
    own.sign(&shown, "127.0.0.1", 2120..2121);
    distrusted(&bus, Distrust::NotYetValid).await;
    own.sign(&shown, "127.0.0.2", 2020..2120);
    distrusted(&bus, Distrust::Name).await;
    stranger.sign(&shown, "127.0.0.1", 2020..2120);
    distrusted(&bus, Distrust::Signer).await;
    let told = manager.until("nobody in ca_file has signed it").await;
    assert!(told.contains("認証局が署名していません"), "{told}");

    own.sign(&shown, "127.0.0.1", 2020..2120);
    let mut dcmgr = Dcmgr::new(&Kit::Rabbit(realm), AGENT).await;
    dcmgr.welcome().await;
    manager.until("sta.s1 has joined").await;
    assert_eq!(bus.link().borrow().distrust, None);

    // Beside the one that is believed: who believes another signer.
    let realm = server.realm().unwrap();
    let by_tls = realm.broker_by_tls("hva.h1", &stranger.file);
    let other: Arc<dyn Bus> = AmqpBus::connect(&by_tls, Role::Agent(agent("hva.h1"))).await.unwrap();
    distrusted(&other, Distrust::Signer).await;
    let manager_by_tls = realm.broker_by_tls(DCMGR, &own.file);
    let dcmgr_by_tls: Arc<dyn Bus> = AmqpBus::connect(&manager_by_tls, Role::Dcmgr).await.unwrap();
    up(&dcmgr_by_tls).await;
    assert!(!other.link().borrow().up);
    // A file put right is taken at the next attempt.
    std::fs::copy(&own.file, &stranger.file).unwrap();
    up(&other).await;

    stop.cancel();
    process.await.unwrap().unwrap();
}
