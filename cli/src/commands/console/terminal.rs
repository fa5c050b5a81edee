//! The terminal of a person who views a console: raw while it lasts, what is typed, and the signals that end it.
//!
//! Rule: it is given back as it was when [`Raw`] is dropped, whatever the way.

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{Read, stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Pieces of input on their way: a person types slowly, a paste comes at once.
const PIECES: usize = 16;
const PIECE: usize = 4096;

/// A terminal whose keys go through unread. Nothing where standard input is none.
pub struct Raw(Option<Termios>);

impl Raw {
    pub fn enter() -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// What is typed. Its thread reads for ever and ends with the process: tokio's own would hold the process back.
pub fn input() -> mpsc::Receiver<Vec<u8>> {
    let (out, typed) = mpsc::channel(PIECES);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(count) = stdin().lock().read(&mut piece) {
            if count == 0 || out.blocking_send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    typed
}

/// What ends a program from outside. Ctrl-C is not among them: while the terminal is raw it goes to the guest.
pub struct Signals([Signal; 3]);

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        let listen = |kind| signal(kind);
        Ok(Self([listen(SignalKind::terminate())?, listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?]))
    }

    pub async fn come(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
