//! Images over HTTP: whole, in ranges, by QEMU, and nothing else.

use crate::kit::*;
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use reqwest::{Client, Method, StatusCode};

struct Served {
    kit: Kit,
    url: String,
    bytes: Vec<u8>,
    tag: String,
}

async fn served() -> Served {
    let kit = Kit::new(Drivers::File).await.unwrap();
    let bytes: Vec<u8> = (0..700_001u32).map(|at| (at * 7 % 251) as u8).collect();
    let image = kit.image("a", &bytes, DiskFormat::Raw);
    kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
    let listener = arame_sta::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(arame_sta::http::serve(listener, kit.sta().shelf()));
    Served { kit, url, bytes, tag: format!("\"{}\"", image.sha256.unwrap()) }
}

async fn get(served: &Served, headers: &[(&str, &str)]) -> (StatusCode, reqwest::header::HeaderMap, Vec<u8>) {
    let mut request = Client::new().get(format!("{}/images/wmi-a", served.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.headers().clone(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn an_image_is_served_whole_with_its_checksum_as_tag() {
    let served = served().await;
    let (status, headers, body) = get(&served, &[]).await;
    assert_eq!((status, &body), (StatusCode::OK, &served.bytes));
    assert_eq!(headers["etag"], served.tag);
    assert_eq!(headers["accept-ranges"], "bytes");
    let head = Client::new().head(format!("{}/images/wmi-a", served.url)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "700001");
    assert!(head.bytes().await.unwrap().is_empty());
    let (status, _, body) = get(&served, &[("if-none-match", &served.tag)]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn ranges_are_answered_in_part_and_impossible_ones_refused() {
    let served = served().await;
    for (range, first, last) in [("bytes=0-0", 0, 0), ("bytes=100-999", 100, 999), ("bytes=-1", 700_000, 700_000)] {
        let (status, headers, body) = get(&served, &[("range", range)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(headers["content-range"], format!("bytes {first}-{last}/700001").as_str());
        assert_eq!(body, served.bytes[first..=last]);
    }
    let (status, headers, _) = get(&served, &[("range", "bytes=700001-")]).await;
    assert_eq!(
        (status, headers["content-range"].to_str().unwrap()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */700001")
    );
    let (status, _, body) = get(&served, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, served.bytes.len()), "another version is sent whole");
    let (status, _, _) = get(&served, &[("range", "bytes=0-0"), ("if-range", &served.tag)]).await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT, "control");
}

#[tokio::test]
async fn nothing_but_verified_images_is_served() {
    let served = served().await;
    let folder = served.kit.place.root.join("data/images");
    std::fs::write(folder.join("wmi-foreign"), "no mark").unwrap();
    let client = Client::new();
    for path in [
        "/",
        "/images",
        "/images/",
        "/images/wmi-none",
        "/images/wmi-foreign",
        "/images/..%2f.arame-store",
        "/images/%2e%2e/volumes",
        "/images/wmi-a/x",
        "/volumes/k1",
        "/images/.lock",
    ] {
        let answer = client.get(format!("{}{path}", served.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = client.request(method, format!("{}/images/wmi-a", served.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(get(&served, &[]).await.0, StatusCode::OK, "control");
}

#[tokio::test]
async fn qemu_reads_the_image_over_http() {
    let served = served().await;
    let copy = served.kit.place.root.join("copy.raw");
    let output = tokio::process::Command::new("timeout")
        .args(["30", "qemu-img", "convert", "-f", "raw", "-O", "raw", &format!("{}/images/wmi-a", served.url)])
        .arg(&copy)
        .output()
        .await;
    let Ok(output) = output else { return lacks("qemu-img") };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("Unknown protocol") {
        return lacks("qemu-block-extra");
    }
    assert!(output.status.success(), "{said}");
    assert_eq!(std::fs::read(copy).unwrap()[..served.bytes.len()], served.bytes);
}
