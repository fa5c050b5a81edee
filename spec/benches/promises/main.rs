//! The benches of what is promised about speed and size. Each states its promise and its comparison in its own first
//! comment. One program, so that it is linked once: `cargo bench --bench promises -- [up] [api] [launch] [names] [fresh]
//! [storm] [sustained] [outage] [restart] [many] [idle] [storage]`, all of them unless some are named. `ARAME_BIN` names the folder of the
//! programs that are measured; `ARAME_BENCH_SECONDS=1` makes `names` short, to see that all of it works. It compares with what is
//! installed of dnsmasq-base, knot, nsd, unbound, kea-dhcp4-server and dnsperf, kea-admin (perfdhcp).

mod api;
mod beside;
mod fresh;
mod idle;
mod launch;
mod leases;
mod many;
mod names;
mod outage;
mod peers;
mod plans;
mod restart;
mod storage;
mod storm;
mod sustained;
mod up;

const ALL: [&str; 12] =
    ["up", "api", "launch", "names", "fresh", "storm", "sustained", "outage", "restart", "many", "idle", "storage"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Cargo adds options of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = named.iter().find(|word| !ALL.contains(&word.as_str())) {
        anyhow::bail!("no bench is called {unknown}: {}", ALL.join(", "));
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|word| word == name);
    let mut broken = Vec::new();
    // Each is tried whatever became of the one before.
    if wanted("up") {
        broken.extend(up::run().await.err());
    }
    if wanted("api") {
        broken.extend(api::run().await.err());
    }
    if wanted("launch") {
        broken.extend(launch::run().await.err());
    }
    if wanted("names") {
        broken.extend(names::run().await.err());
    }
    if wanted("fresh") {
        broken.extend(fresh::run().await.err());
    }
    if wanted("storm") {
        broken.extend(storm::run().await.err());
    }
    if wanted("sustained") {
        broken.extend(sustained::run().await.err());
    }
    if wanted("outage") {
        broken.extend(outage::run().await.err());
    }
    if wanted("restart") {
        broken.extend(restart::run().await.err());
    }
    if wanted("many") {
        broken.extend(many::run().await.err());
    }
    if wanted("idle") {
        broken.extend(idle::run().await.err());
    }
    if wanted("storage") {
        broken.extend(storage::run().await.err());
    }
    for error in &broken {
        println!("BROKEN    {error:#}");
    }
    anyhow::ensure!(broken.is_empty(), "{} benches did not end as promised", broken.len());
    Ok(())
}
