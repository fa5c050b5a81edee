//! Takes the streams that agents bring, and hands each to whoever waits for it. Who is not waited for is shown out.

use crate::app::App;
use arame_framework::stream::{self, BoxedWire, Door};
use tokio_util::sync::CancellationToken;

pub async fn take(app: App, mut door: Door, stop: CancellationToken) {
    app.streams().come_in_at(&door.name);
    loop {
        let caller = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            caller = door.callers.recv() => match caller {
                Some(caller) => caller,
                None => return,
            },
        };
        tokio::spawn(hear(app.clone(), caller));
    }
}

async fn hear(app: App, mut caller: BoxedWire) {
    let Some((id, secret)) = stream::hear(&mut caller).await else {
        tracing::info!("a caller without a greeting was shown out");
        return;
    };
    let Some(waiting) = app.streams().claim(id, &secret) else {
        tracing::info!(stream = %id, "a stream that nobody waits for was shown out");
        return;
    };
    if stream::let_in(&mut caller).await.is_ok() {
        let _ = waiting.send(Box::new(caller));
    }
}
