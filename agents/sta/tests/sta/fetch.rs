//! Images from elsewhere: what is fetched, what is not, and what strangers' servers do.

use crate::kit::*;
use crate::stranger::{Say, Stranger};
use arame_framework::agent::{Agent, Stopped, Work};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::sta::{ImportImage, StoredImage, UPLOAD};
use arame_schema::model::{Fact, Secret};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

const DRIVERS: [Drivers; 2] = [Drivers::Sim, Drivers::File];

fn disk() -> Vec<u8> {
    (0..300_000u32).map(|at| (at * 7 % 251) as u8).collect()
}

/// A qcow2 as QEMU makes one, perhaps on another.
fn qcow2(backing: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (folder.path().join("base.qcow2"), folder.path().join("top.qcow2"));
    told("qemu-img", &["create", "-q", "-f", "qcow2", &base.display().to_string(), "4M"]);
    if !backing {
        return std::fs::read(base).unwrap();
    }
    let base = base.display().to_string();
    told("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &base, &top.display().to_string()]);
    std::fs::read(top).unwrap()
}

async fn run(kit: &Kit, image: &ImportImage) -> Result<Vec<arame_schema::jobs::report::FactReport>, Stopped> {
    kit.run(Job::ImportImage(image.clone()), 1).await
}

/// It fails with this code and leaves nothing.
async fn fails(kit: &Kit, image: &ImportImage, expected: &str) {
    let answer = run(kit, image).await;
    assert_eq!(code(&answer), expected, "{answer:?}");
    assert_eq!(kit.things().await, [], "{expected}");
    assert_eq!(kit.data_files(), [] as [&str; 0], "{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_measured_verified_and_deleted() {
    let stranger = Stranger::new(|path| match path {
        "/there?key=secret" => Say::Redirect("/a".into()),
        _ => Say::Whole(disk()),
    })
    .await;
    let sum = hex::encode(Sha256::digest(disk()));
    for drivers in DRIVERS {
        let kit = Kit::new(drivers).await.unwrap();
        let unknown = kit.fetch("a", &stranger.url("/there?key=secret"), DiskFormat::Raw);
        let facts = run(&kit, &unknown).await.unwrap();
        assert_eq!(facts[0].value, Fact::Yes);
        let stored: StoredImage = serde_json::from_value(facts[0].detail.clone().unwrap()).unwrap();
        assert_eq!((stored.sha256.as_ref(), stored.size_bytes), (Some(&sum), Some(300_000)));
        assert_eq!(value(&run(&kit, &unknown).await), Fact::Yes, "a duplicate changes nothing");
        let known = ImportImage { sha256: Some(sum.clone()), size_bytes: Some(300_000), ..unknown.clone() };
        assert_eq!(value(&run(&kit, &known).await), Fact::Yes);
        assert_eq!(value(&kit.run(remove_image(&unknown), 2).await), Fact::No);
        let again = kit.run(Job::ImportImage(known.clone()), 3).await;
        assert_eq!(value(&again), Fact::Yes, "from its begin, with its checksum");
        assert_eq!(value(&kit.run(remove_image(&unknown), 4).await), Fact::No);
        let wrong = ImportImage { sha256: Some("00".repeat(32)), ..unknown.clone() };
        fails(&kit, &wrong, "image_checksum_mismatch").await;
        fails(&kit, &ImportImage { size_bytes: Some(299_999), ..unknown.clone() }, "image_checksum_mismatch").await;
        fails(&kit, &ImportImage { size_bytes: Some(300_001), ..unknown }, "image_checksum_mismatch").await;
    }
    for head in stranger.asked() {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("authorization") && !head.contains("cookie") && !head.contains("referer"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_public_internets_is_not_asked_also_not_by_a_redirect() {
    let inside = Arc::new(Stranger::at("127.0.0.2", None, |_| Say::Whole(disk())).await);
    let port = inside.address.port();
    let (there, wrapped) = (inside.url("/metadata"), format!("http://[::ffff:127.0.0.2]:{port}/"));
    let leads = there.clone();
    let outside = Stranger::new(move |path| match path {
        "/inside" => Say::Redirect(leads.clone()),
        "/metadata" => Say::Redirect("http://169.254.169.254/latest/meta-data/".into()),
        "/round" => Say::Redirect("/round".into()),
        "/file" => Say::Redirect("file:///etc/passwd".into()),
        "/nowhere" => Say::Redirect(String::new()),
        _ => Say::Whole(disk()),
    })
    .await;
    for drivers in DRIVERS {
        let kit = Kit::new(drivers).await.unwrap();
        let from = |source: &str| kit.fetch("a", source, DiskFormat::Raw);
        let odd = format!("http://2130706434:{port}/");
        for source in [&there, &wrapped, &odd, &outside.url("/inside"), &outside.url("/metadata")] {
            fails(&kit, &from(source), "image_address_refused").await;
        }
        for source in ["http://10.0.0.1/", "https://192.168.1.1/", "http://[fe80::1]/", "http://[64:ff9b::a00:1]/"] {
            fails(&kit, &from(source), "image_address_refused").await;
        }
        let with_password = outside.url("/a").replace("http://", "http://user:secret@");
        for source in [&outside.url("/round"), &outside.url("/file"), &outside.url("/nowhere"), &with_password] {
            fails(&kit, &from(source), "image_url_refused").await;
        }
        let answer = run(&kit, &from(&with_password)).await;
        assert!(!format!("{answer:?}").contains("secret"), "a password is repeated: {answer:?}");
        assert_eq!(value(&run(&kit, &from(&outside.url("/a"))).await), Fact::Yes, "control: the allowed address");
    }
    assert_eq!(inside.asked(), [] as [&str; 0], "the infrastructure was asked");

    // A name is what it leads to.
    let named = format!("http://localhost:{}/a", outside.address.port());
    let mut kit = Kit::new(Drivers::File).await.unwrap().release().await;
    kit.place.allowed = "127.0.0.9/32";
    let kit = kit.restart().await;
    fails(&kit, &kit.fetch("a", &named, DiskFormat::Raw), "image_address_refused").await;
    fails(&kit, &kit.fetch("a", &outside.url("/a"), DiskFormat::Raw), "image_address_refused").await;

    // The same addresses, where an operator allows them.
    let mut kit = Kit::new(Drivers::File).await.unwrap().release().await;
    kit.place.allowed = "127.0.0.0/8";
    let kit = kit.restart().await;
    for (name, source) in [("a", &there), ("b", &outside.url("/inside")), ("c", &wrapped)] {
        assert_eq!(value(&run(&kit, &kit.fetch(name, source, DiskFormat::Raw)).await), Fact::Yes, "control: {source}");
    }
    assert_eq!(inside.asked().len(), 3, "control: it answers whoever gets there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_stalls_or_never_ends_is_left() {
    let stranger = Stranger::new(|path| match path {
        "/short" => Say::Short(disk(), 400_000),
        "/long" => Say::Long(disk(), 200_000),
        "/stall" => Say::Stall(disk()),
        "/trickle" => Say::Trickle,
        "/endless" => Say::Endless,
        "/huge" => Say::Short(Vec::new(), 9 << 20),
        "/none" => Say::Status(404),
        "/secret" => Say::Status(403),
        "/broken" => Say::Status(500),
        "/gzip" => Say::Compressed(disk()),
        _ => Say::Whole(disk()),
    })
    .await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for drivers in DRIVERS {
        let kit = Kit::new(drivers).await.unwrap();
        for (path, expected) in [
            ("/short", "image_broke_off"),
            ("/stall", "image_server_silent"),
            ("/trickle", "image_server_silent"),
            ("/endless", "image_too_large"),
            ("/huge", "image_too_large"),
            ("/none", "image_not_found"),
            ("/secret", "image_not_found"),
            ("/broken", "image_server_error"),
            ("/gzip", "image_url_refused"),
        ] {
            fails(&kit, &kit.fetch("a", &stranger.url(path), DiskFormat::Raw), expected).await;
        }
        fails(&kit, &kit.fetch("a", &format!("http://{closed}/"), DiskFormat::Raw), "image_server_unreachable").await;
        fails(&kit, &kit.fetch("a", "https://no-such-name.invalid/", DiskFormat::Raw), "image_host_unknown").await;
        // What comes after the announced end belongs to nobody.
        let cut = run(&kit, &kit.fetch("b", &stranger.url("/long"), DiskFormat::Raw)).await.unwrap();
        assert_eq!(cut[0].detail.as_ref().unwrap()["size_bytes"], 200_000);
        assert_eq!(
            value(&run(&kit, &kit.fetch("a", &stranger.url("/a"), DiskFormat::Raw)).await),
            Fact::Yes,
            "control"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_something_else_or_needs_another_file_is_not_let_in() {
    let (alone, on_another) = (qcow2(false), qcow2(true));
    let mut absurd = alone.clone();
    absurd[24..32].copy_from_slice(&(1u64 << 60).to_be_bytes());
    let (whole, refers, large) = (alone.clone(), on_another.clone(), absurd.clone());
    let stranger = Stranger::new(move |path| match path {
        "/alone" => Say::Whole(whole.clone()),
        "/refers" => Say::Whole(refers.clone()),
        "/absurd" => Say::Whole(large.clone()),
        "/page" => Say::Whole(b"<!doctype html><p>Not found, but 200</p>".to_vec()),
        "/vmdk" => Say::Whole(b"KDMV\x01\0\0\0".to_vec()),
        _ => Say::Whole(disk()),
    })
    .await;
    for drivers in DRIVERS {
        let kit = Kit::new(drivers).await.unwrap();
        for (path, format, expected) in [
            ("/refers", DiskFormat::Qcow2, "image_refused"),
            ("/refers", DiskFormat::Raw, "image_broken"),
            ("/alone", DiskFormat::Raw, "image_broken"),
            ("/absurd", DiskFormat::Qcow2, "image_broken"),
            ("/page", DiskFormat::Raw, "image_broken"),
            ("/vmdk", DiskFormat::Raw, "image_broken"),
            ("/disk", DiskFormat::Qcow2, "image_broken"),
        ] {
            fails(&kit, &kit.fetch("a", &stranger.url(path), format), expected).await;
        }
        let good = kit.fetch("a", &stranger.url("/alone"), DiskFormat::Qcow2);
        assert_eq!(value(&run(&kit, &good).await), Fact::Yes, "control");
        if drivers == Drivers::File {
            assert_eq!(value(&kit.run(create_from("k1", 16 * MIB, &good), 1).await), Fact::Yes, "control");
        }
    }
}

/// Until this many requests came, or ten seconds.
async fn asked(stranger: &Stranger, count: usize) {
    for _ in 0..1000 {
        if stranger.asked().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {:?}", stranger.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_fetch_is_watched_by_one_job_after_the_other_and_fetched_once() {
    let stranger = Stranger::new(|_| Say::Gated(disk(), disk())).await;
    for (round, drivers) in DRIVERS.into_iter().enumerate() {
        let kit = Kit::new(drivers).await.unwrap();
        let image = kit.fetch("a", &stranger.url("/a"), DiskFormat::Raw);
        let job = Job::ImportImage(image.clone());
        // Jobs keep twenty seconds to spare: these watch for a moment.
        let short = || Work::for_tests_within(&kit.standing, "wmi-a", 1, Duration::from_millis(20_200));
        for _ in 0..2 {
            let facts = kit.sta().handle(job.clone(), short()).await.unwrap();
            assert_eq!((facts[0].value, facts[0].generation), (Fact::Maybe, 1), "it comes still");
            assert_eq!(kit.things().await, []);
        }
        stranger.gate.add_permits(1);
        assert_eq!(value(&kit.run(job, 1).await), Fact::Yes);
        assert_eq!(stranger.asked().len(), round + 1, "it was fetched once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_ends_the_fetch_and_a_newer_wish_goes_on_with_it() {
    let stranger = Stranger::new(|_| Say::Gated(disk(), disk())).await;
    for (round, drivers) in DRIVERS.into_iter().enumerate() {
        let kit = Kit::new(drivers).await.unwrap();
        let image = kit.fetch("a", &stranger.url("/a"), DiskFormat::Raw);
        let watch = async |generation: u64| {
            let job = Job::ImportImage(image.clone());
            let work = Work::for_tests_in(&kit.standing, "wmi-a", generation);
            let (sta, cancelled) = (kit.sta().clone(), work.cancelled().clone());
            let running = tokio::spawn(async move { sta.handle(job, work).await });
            asked(&stranger, round + 1).await;
            cancelled.cancel();
            running.await.unwrap()
        };
        for generation in [1, 2] {
            let overtaken = watch(generation).await;
            assert!(matches!(overtaken, Err(Stopped::Overtaken { .. })), "{overtaken:?}");
        }
        assert_eq!(stranger.asked().len(), round + 1, "the newer job found the older one's download");
        assert_eq!(value(&kit.run(remove_image(&image), 3).await), Fact::No);
        let left = tokio::time::timeout(Duration::from_secs(10), stranger.left.acquire()).await;
        left.expect("the stranger is still spoken to").unwrap().forget();
        assert_eq!(kit.data_files(), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_meets_its_job_and_a_broken_one_leaves_nothing() {
    for drivers in DRIVERS {
        let kit = Kit::new(drivers).await.unwrap();
        let listener = arame_sta::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}/uploads/wmi-a", listener.local_addr().unwrap());
        tokio::spawn(arame_sta::http::serve(listener, kit.sta().shelf()));
        let upload =
            |ticket: &str| ImportImage { ticket: Some(Secret::new(ticket)), ..kit.fetch("a", UPLOAD, DiskFormat::Raw) };
        let put = |ticket: &'static str, body: reqwest::Body| {
            let request = reqwest::Client::new().put(&url).bearer_auth(ticket).header("arame-length", 300_000);
            async move { request.body(body).send().await }
        };
        let broken = futures_util::stream::iter([Ok(disk()[..9].to_vec()), Err(std::io::Error::other("gone"))]);
        let job = upload("t1");
        let (answer, sent) = tokio::join!(run(&kit, &job), put("t1", reqwest::Body::wrap_stream(broken)));
        assert_eq!(code(&answer), "upload_broken", "{answer:?}");
        assert!(sent.is_err() || !sent.unwrap().status().is_success());
        assert_eq!(kit.data_files(), [] as [&str; 0]);

        let short = put("t2", disk()[..9].to_vec().into());
        let job = upload("t2");
        let (answer, sent) = tokio::join!(run(&kit, &job), short);
        assert_eq!(code(&answer), "upload_broken", "less than was announced: {answer:?}");
        assert_eq!(sent.unwrap().status(), 422);

        let job = upload("t3");
        let (answer, sent) = tokio::join!(run(&kit, &job), put("t3", disk().into()));
        assert_eq!(value(&answer), Fact::Yes, "control");
        let told: serde_json::Value = sent.unwrap().json().await.unwrap();
        assert_eq!(told["sha256"], hex::encode(Sha256::digest(disk())));
        let stranger = reqwest::Client::new().put(&url).body(disk()).send().await.unwrap();
        assert_eq!(stranger.status(), 401, "without a ticket");
    }
}

/// A server's identity, and the authority that vouches for it, into the kit's file.
fn identity(kit: &Kit) -> tokio_rustls::TlsAcceptor {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ServerConfig, crypto};
    let (ca, key) = (kit.place.root.join("ca.pem"), kit.place.root.join("key.pem"));
    told(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=stranger",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key.display().to_string(),
            "-out",
            &ca.display().to_string(),
        ],
    );
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificates = vec![CertificateDer::from_pem_file(&ca).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap()).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_fetched_from_whom_an_authority_vouches_for() {
    let kit = Kit::new(Drivers::File).await.unwrap();
    let known = Stranger::at("127.0.0.1", Some(identity(&kit)), |_| Say::Whole(disk())).await;
    let other = Kit::new(Drivers::File).await.unwrap();
    let unknown = Stranger::at("127.0.0.1", Some(identity(&other)), |_| Say::Whole(disk())).await;
    let of = |stranger: &Stranger| format!("https://{}/a", stranger.address);
    fails(&kit, &kit.fetch("a", &of(&unknown), DiskFormat::Raw), "image_server_unreachable").await;
    let plain = Stranger::new(|_| Say::Whole(disk())).await;
    fails(&kit, &kit.fetch("a", &of(&plain), DiskFormat::Raw), "image_server_unreachable").await;
    assert_eq!(value(&run(&kit, &kit.fetch("a", &of(&known), DiskFormat::Raw)).await), Fact::Yes, "control");
}
