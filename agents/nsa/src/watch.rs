//! The watcher: looks at every link each [`WATCH_INTERVAL`] and mends what is missing, with or without dcmgr.
//!
//! Rule: this is the one place that tries again. An unreachable switch is not a broken link: nothing is torn down or
//! made because nothing could be seen.

use crate::agent::Inner;
use crate::limits::{LINKS_AT_ONCE, MEND_TIMEOUT, WATCH_INTERVAL};
use crate::link::sentence;
use crate::network::{LinkStatus, Network};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use tokio::time::MissedTickBehavior;

pub(crate) async fn run(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        look(&inner).await;
    }
}

async fn look(inner: &Inner) {
    let networks = inner.networks();
    let specs: Vec<_> = networks.iter().map(|network| network.spec()).collect();
    let broken: BTreeSet<_> = match inner.links.broken(&specs).await {
        Ok(broken) => {
            if inner.switch_trouble.swap(None).is_some() {
                tracing::info!("the switch answers again");
                inner.survey();
            }
            broken.into_iter().collect()
        }
        Err(error) => {
            let reason = sentence(&error);
            if inner.switch_trouble.swap(Some(Arc::new(reason.clone()))).is_none() {
                tracing::warn!(reason, "the switch cannot be asked");
            }
            return;
        }
    };
    let mut wanting = Vec::new();
    for network in networks.clone() {
        if broken.contains(&network.id) || !network.is_up().await {
            wanting.push(network);
        }
    }
    let mend = |network: Arc<Network>| async move { mend(inner, &network).await };
    futures_util::stream::iter(wanting).for_each_concurrent(LINKS_AT_ONCE, mend).await;
    let tell = |network: Arc<Network>| async move { network.announce_way(&*inner.links).await };
    futures_util::stream::iter(networks).for_each_concurrent(LINKS_AT_ONCE, tell).await;
}

async fn mend(inner: &Inner, network: &Network) {
    let before = network.status();
    let Ok(done) = tokio::time::timeout(MEND_TIMEOUT, network.bring_up(&*inner.links)).await else {
        tracing::error!(network = %network.id, "the link could not be made within {MEND_TIMEOUT:?}");
        return;
    };
    let after = network.status();
    match (done, &*before) {
        (Ok(()), LinkStatus::Up) => tracing::warn!(network = %network.id, "the link was broken and is mended"),
        (Ok(()), _) => tracing::info!(network = %network.id, "the link is up"),
        (Err(error), _) if before != after => {
            tracing::error!(network = %network.id, error = sentence(&error), "the link cannot be made");
        }
        (Err(_), _) => {}
    }
    if before != after {
        inner.survey();
    }
}
