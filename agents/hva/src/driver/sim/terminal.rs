//! What a simulated guest shows: a serial port with a prompt that answers, and a screen with its name.
//!
//! Rule: enough for the whole road to be walked without a hypervisor, and no more. A console ends when its guest does.

use super::picture;
use super::{Sim, lock, rfb};
use crate::driver::SeenPower;
use crate::driver::consoles::{Consoles, NotShown};
use crate::screen::Picture;
use arame_framework::stream::BoxedWire;
use arame_schema::model::{ConsoleKind, InstanceId, NoConsole};
use async_trait::async_trait;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const BUFFER: usize = 16 * 1024;

/// Longest line that is kept; more of it is echoed only.
const LINE_MAX: usize = 256;

/// Between two looks at whether the guest still runs.
const LOOK: Duration = Duration::from_millis(100);

impl Sim {
    /// Its hostname and how often it was rebooted, while it is on.
    fn shows(&self, instance: &InstanceId) -> Option<(String, u32, SeenPower)> {
        let world = lock(&self.inner.world);
        let domain = world.domains.get(instance).filter(|domain| domain.power != SeenPower::Off)?;
        let name = world.records.get(instance).map_or_else(|| instance.to_string(), |record| record.hostname.clone());
        Some((name, domain.reboots + domain.starts, domain.power))
    }

    /// Resolves when the guest that runs now does not any more.
    async fn stops(&self, instance: &InstanceId) {
        let starts = |sim: &Sim| lock(&sim.inner.world).domains.get(instance).map_or(0, |domain| domain.starts);
        let began = starts(self);
        while self.shows(instance).is_some() && starts(self) == began {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[async_trait]
impl Consoles for Sim {
    async fn open(&self, instance: &InstanceId, kind: ConsoleKind) -> Result<BoxedWire, NotShown> {
        let (name, _, _) = self.shows(instance).ok_or(NotShown::No(NoConsole::Off))?;
        let picture = self.picture(instance).await?;
        let (viewer, mut guest) = tokio::io::duplex(BUFFER);
        let (sim, instance) = (self.clone(), instance.clone());
        tokio::spawn(async move {
            let speaks = async {
                match kind {
                    ConsoleKind::Serial => terminal(&mut guest, &name).await,
                    ConsoleKind::Vnc => rfb::serve(&mut guest, &picture, &name).await,
                }
            };
            tokio::select! {
                _ = speaks => {}
                () = sim.stops(&instance) => {}
            }
        });
        Ok(Box::new(viewer))
    }

    async fn picture(&self, instance: &InstanceId) -> Result<Picture, NotShown> {
        let (name, boots, power) = self.shows(instance).ok_or(NotShown::No(NoConsole::Off))?;
        Ok(picture::draw(&name, instance.as_str(), boots, power))
    }
}

/// Echoes what is typed, and answers a line.
async fn terminal(port: &mut DuplexStream, name: &str) -> std::io::Result<()> {
    let prompt = format!("{name}:~# ");
    port.write_all(format!("\r\nsimulated guest {name}\r\n{prompt}").as_bytes()).await?;
    let mut line = Vec::new();
    loop {
        let byte = port.read_u8().await?;
        match byte {
            b'\r' | b'\n' => {
                let answer = answer(&String::from_utf8_lossy(&line), name);
                port.write_all(format!("\r\n{answer}{prompt}").as_bytes()).await?;
                line.clear();
            }
            // Backspace and delete.
            8 | 127 if line.is_empty() => {}
            8 | 127 => {
                line.pop();
                port.write_all(b"\x08 \x08").await?;
            }
            byte if line.len() < LINE_MAX => {
                line.push(byte);
                port.write_all(&[byte]).await?;
            }
            _ => {}
        }
    }
}

fn answer(line: &str, name: &str) -> String {
    match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
        ("", _) => String::new(),
        ("echo", words) => format!("{words}\r\n"),
        ("hostname", _) => format!("{name}\r\n"),
        (word, _) => format!("{word}: a simulated guest knows echo and hostname\r\n"),
    }
}
