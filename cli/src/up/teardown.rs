//! The end of a data center: every child in order, then everything that carries its tag outside `--dir`.
//!
//! The same for Ctrl-C, `arame down`, a failed start, and `arame down` after the supervisor was killed. What is not
//! there is no error.

use super::children::{Children, Stage};
use super::layout::Layout;
use super::progress::Progress;
use super::words::Text;
use super::{fabric, hosts};

fn label(stage: Stage) -> Text {
    match stage {
        Stage::Agent => Text::new("Stopping the agents", "エージェントを停止"),
        Stage::Manager => Text::new("Stopping dcmgr", "dcmgr を停止"),
        Stage::Storage => Text::new("Stopping the iSCSI target", "iSCSI ターゲットを停止"),
        Stage::Host => Text::new("Switching the hosts off", "ホストの電源を切断"),
        Stage::Switch => Text::new("Stopping the switch", "スイッチを停止"),
        Stage::Broker => Text::new("Stopping RabbitMQ", "RabbitMQ を停止"),
        Stage::Database => Text::new("Stopping MariaDB", "MariaDB を停止"),
    }
}

pub async fn everything(layout: &Layout, mut children: Children, progress: &Progress) {
    for (stage, names) in children.by_stage() {
        if stage == Stage::Host && hosts::any_up(layout) {
            let step = progress.step(Text::new("Shutting the guests down", "ゲストをシャットダウン"));
            hosts::shut_guests_down(layout).await;
            step.done();
        }
        let step = progress.step(label(stage));
        // Waits for processes: not on a thread of the runtime.
        let stopped = tokio::task::spawn_blocking(move || {
            children.stop_all(&names);
            children
        });
        match stopped.await {
            Ok(back) => children = back,
            Err(error) => {
                tracing::error!(%error, "stopping failed");
                return;
            }
        }
        step.done();
    }
    if !fabric::namespaces(layout).is_empty() {
        let step = progress.step(Text::new("Removing namespaces and the route", "名前空間と経路を削除"));
        fabric::remove(layout).await;
        step.done();
    }
}
